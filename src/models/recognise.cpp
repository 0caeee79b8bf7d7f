#include "models/recognise.h"


#include "base/require.h"
#include "mynah/json.h"

namespace mynah {
namespace {

// The classes of COCO in the order that detectors of 80 classes have them.
constexpr const char* kCoco[] = {"person",       "bicycle",    "car",           "motorcycle",   "airplane",     "bus",          "train",         "truck",        "boat",
                                 "traffic light", "fire hydrant", "stop sign",   "parking meter", "bench",       "bird",         "cat",           "dog",          "horse",
                                 "sheep",        "cow",        "elephant",      "bear",         "zebra",        "giraffe",      "backpack",      "umbrella",     "handbag",
                                 "tie",          "suitcase",   "frisbee",       "skis",         "snowboard",    "sports ball",  "kite",          "baseball bat", "baseball glove",
                                 "skateboard",   "surfboard",  "tennis racket", "bottle",       "wine glass",   "cup",          "fork",          "knife",        "spoon",
                                 "bowl",         "banana",     "apple",         "sandwich",     "orange",       "broccoli",     "carrot",        "hot dog",      "pizza",
                                 "donut",        "cake",       "chair",         "couch",        "potted plant", "bed",          "dining table",  "toilet",       "tv",
                                 "laptop",       "mouse",      "remote",        "keyboard",     "cell phone",   "microwave",    "oven",          "toaster",      "sink",
                                 "refrigerator", "book",       "clock",         "vase",         "scissors",     "teddy bear",   "hair drier",    "toothbrush"};

class Names {
 public:
  Names(const std::map<std::string, Shape>& weights, std::string prefix) : weights_(weights), prefix_(std::move(prefix)) {}
  const Shape* find(const std::string& name) const {
    const auto it = weights_.find(prefix_ + name);
    return it == weights_.end() ? nullptr : &it->second;
  }
  // The first dimension of a weight that must be there.
  int64_t rows(const std::string& name) const {
    const Shape* shape = find(name);
    require(shape != nullptr && shape->rank() > 0, "weights: {}{} is missing; the checkpoint is incomplete", prefix_, name);
    return (*shape)[0];
  }
  // How many of "<before>0<after>", "<before>1<after>" ... there are.
  int64_t count(const std::string& before, const std::string& after) const {
    int64_t n = 0;
    while (find(before + std::to_string(n) + after)) ++n;
    return n;
  }

 private:
  const std::map<std::string, Shape>& weights_;
  std::string prefix_;
};

Json named_classes(int64_t classes) {
  Json names = Json::object();
  for (int64_t i = 0; i < classes; ++i)
    names[std::to_string(i)] = classes == static_cast<int64_t>(std::size(kCoco)) ? std::string(kCoco[i]) : "LABEL_" + std::to_string(i);
  return names;
}

Json yolox(const Names& n) {
  const std::string trunk = "backbone.backbone.";
  const bool depthwise = n.find("head.cls_convs.0.0.dconv.conv.weight") != nullptr;
  const int64_t base = n.rows(trunk + "stem.conv.conv.weight");
  // The smallest ones are made for smaller pictures.
  const int64_t side = base < 32 ? 416 : 640;
  return {{"model_type", "yolox"},
          {"architectures", {"YoloxForObjectDetection"}},
          {"base_channels", base},
          {"depth", n.count(trunk + "dark2.1.m.", ".conv1.conv.weight")},
          {"head_channels", n.rows("head.stems.0.conv.weight")},
          {"depthwise", depthwise},
          {"id2label", named_classes(n.rows("head.cls_preds.0.weight"))},
          {"score_threshold", 0.3},
          {"iou_threshold", 0.45},
          {"image_processor", {{"image_processor_type", "YoloxImageProcessor"}, {"size", {{"height", side}, {"width", side}}}}}};
}

Json yolo(const Names& n, bool v8) {
  Json channels = Json::array(), depths = Json::array();
  for (const int number : {0, 1, 3, 5, 7}) channels.push_back(n.rows(fmt::format("model.{}.conv.weight", number)));
  for (const int number : {2, 4, 6, 8}) depths.push_back(n.count(fmt::format("model.{}.m.", number), ".cv1.conv.weight"));
  Json config = {{"model_type", v8 ? "yolov8" : "yolov5"},
                 {"architectures", {v8 ? "Yolov8ForObjectDetection" : "Yolov5ForObjectDetection"}},
                 {"channels", channels},
                 {"depths", depths},
                 {"neck_depth", n.count(v8 ? "model.12.m." : "model.13.m.", ".cv1.conv.weight")}};
  const Shape& stem = *n.find("model.0.conv.weight");
  require(stem.rank() == 4, "weights: model.0.conv.weight has shape {}, expected four dimensions", stem.str());
  config["stem_kernel"] = stem[2];
  int64_t classes = 0;
  if (v8) {
    config["box_channels"] = n.rows("model.22.cv2.0.0.conv.weight");
    config["class_channels"] = n.rows("model.22.cv3.0.0.conv.weight");
    classes = n.rows("model.22.cv3.0.2.weight");
  } else {
    const Shape& anchors = *n.find("model.24.anchors");
    require(anchors.rank() == 3 && anchors[1] > 0, "weights: model.24.anchors has shape {}, expected [3,A,2]", anchors.str());
    config["num_anchors"] = anchors[1];
    classes = n.rows("model.24.m.0.weight") / anchors[1] - 5;
  }
  require(classes > 0, "weights: the detector has {} classes, expected 1 or more", classes);
  config["id2label"] = named_classes(classes);
  config["score_threshold"] = 0.25;
  config["iou_threshold"] = v8 ? 0.7 : 0.45;
  config["image_processor"] = {{"image_processor_type", "YoloImageProcessor"}, {"size", {{"height", 640}, {"width", 640}}}};
  return config;
}

}  // namespace

Json recognised_config(const std::map<std::string, Shape>& weights) {
  for (const char* prefix : {"", "model."}) {
    const Names n(weights, prefix);
    if (n.find("backbone.backbone.stem.conv.conv.weight") && n.find("head.cls_preds.0.weight")) return yolox(n);
    if (!n.find("model.0.conv.weight")) continue;
    if (n.find("model.22.cv3.0.2.weight")) return yolo(n, true);
    if (n.find("model.24.m.0.weight") && n.find("model.24.anchors")) return yolo(n, false);
  }
  return nullptr;
}

}  // namespace mynah
