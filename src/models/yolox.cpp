// YOLOX: a one-stage detector without anchors, its head decoupled. Paper: arXiv:2107.08430. Checkpoints: YOLOX-nano to -x of
// github.com/Megvii-BaseDetection/YOLOX (.pth with {"model": ...}), or their weights in other files; the config is read off the
// weights (models/recognise.h).

#include "models/model_entry.h"
#include "models/yolo_layers.h"
#include "models/yolo_loss.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/inputs.h"

namespace mynah {
namespace {

using nn::Weights;

struct YoloxConfig {
  explicit YoloxConfig(const Json& c)
      : base(nn::config_int(c, "base_channels", 32)),
        depth(nn::config_int(c, "depth", 1, 1, 1000)),
        head(nn::config_int(c, "head_channels", 4 * base)),
        classes(nn::label_count(c, 80)),
        depthwise(nn::config_bool(c, "depthwise", false)) {}
  int64_t base, depth, head, classes;
  bool depthwise;
};

// Pixels two by two as channels, then the network that gives maps of strides 8, 16 and 32.
struct YoloxBackbone {
  YoloxBackbone(const YoloxConfig& c, const Weights& w) : stem(w / "stem" / "conv", 12, c.base, 3), pool_in(w / "dark5" / 1 / "conv1", 16 * c.base, 8 * c.base, 1),
                                                pool_out(w / "dark5" / 1 / "conv2", 32 * c.base, 16 * c.base, 1) {
    for (int64_t i = 0; i < 4; ++i) {
      const Weights stage = w / ("dark" + std::to_string(i + 2));
      const int64_t in = c.base << i, out = in * 2;
      down.emplace_back(stage / 0, in, out, 3, 2, c.depthwise);
      const bool last = i == 3;
      blocks.emplace_back(stage / (last ? 2 : 1), "conv", out, out, i == 0 || last ? c.depth : 3 * c.depth, !last, c.depthwise);
    }
  }
  std::vector<Tensor> forward(const Tensor& pixels) const {
    const Tensor wide = reshape(pixels, {pixels.size(0), 3, pixels.size(2) / 2, 2, pixels.size(3) / 2, 2});
    const auto quarter = [&](int64_t y, int64_t x) { return select(select(wide, 5, x), 3, y); };
    Tensor x = stem(cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 1));
    std::vector<Tensor> out;
    for (size_t i = 0; i < 4; ++i) {
      x = down[i](x);
      if (i == 3) {
        const int64_t half = pool_in.outputs();
        JoinedMaps all(pool_in.answers(x), x, 4 * half);
        const Tensor y = pool_in(x, all.slot(half));
        all.put(y);
        for (const int64_t size : {5, 9, 13}) all.put(pooled(y, size, all.slot(half)));
        x = pool_out(all.map());
      }
      x = blocks[i](x);
      if (i > 0) out.push_back(x);
    }
    return out;
  }

  YoloConv stem;
  std::vector<YoloWide> down;
  std::vector<YoloCsp> blocks;
  YoloConv pool_in, pool_out;
};

// From the coarsest map to the finest and back (arXiv:1803.01534).
struct YoloxNeck {
  YoloxNeck(const YoloxConfig& c, const Weights& w)
      : lateral(w / "lateral_conv0", 16 * c.base, 8 * c.base, 1),
        p4(w / "C3_p4", "conv", 16 * c.base, 8 * c.base, c.depth, false, c.depthwise),
        reduce(w / "reduce_conv1", 8 * c.base, 4 * c.base, 1),
        p3(w / "C3_p3", "conv", 8 * c.base, 4 * c.base, c.depth, false, c.depthwise),
        down3(w / "bu_conv2", 4 * c.base, 4 * c.base, 3, 2, c.depthwise),
        n3(w / "C3_n3", "conv", 8 * c.base, 8 * c.base, c.depth, false, c.depthwise),
        down4(w / "bu_conv1", 8 * c.base, 8 * c.base, 3, 2, c.depthwise),
        n4(w / "C3_n4", "conv", 16 * c.base, 16 * c.base, c.depth, false, c.depthwise) {}
  std::vector<Tensor> forward(const std::vector<Tensor>& maps) const {
    const bool answering = lateral.answers(maps[2]);
    const auto finer = [&](const Tensor& coarse, const Tensor& own) { return beside(answering, coarse.size(1), [&](const Tensor& into) { return doubled(coarse, into); }, own); };
    const auto coarser = [&](const YoloWide& step, const Tensor& fine, const Tensor& own) {
      return beside(answering, step.outputs(), [&](const Tensor& into) { return step(fine, into); }, own);
    };
    const Tensor top = lateral(maps[2]), middle = reduce(p4(finer(top, maps[1])));
    const Tensor fine = p3(finer(middle, maps[0])), medium = n3(coarser(down3, fine, middle));
    return {fine, medium, n4(coarser(down4, medium, top))};
  }

  YoloConv lateral;
  YoloCsp p4;
  YoloConv reduce;
  YoloCsp p3;
  YoloWide down3;
  YoloCsp n3;
  YoloWide down4;
  YoloCsp n4;
};

struct Head {
  Head(const YoloxConfig& c, const Weights& w, int64_t level)
      : stem(w / "stems" / level, (4 << level) * c.base, c.head, 1),
        classes(w / "cls_preds", std::to_string(level), c.head, c.classes, rare()),
        boxes(w / "reg_preds", std::to_string(level), c.head, 4, nn::Init::zeros()),
        objects(w / "obj_preds", std::to_string(level), c.head, 1, rare()) {
    for (int64_t i = 0; i < 2; ++i) {
      class_steps.emplace_back(w / "cls_convs" / level / i, c.head, c.head, 3, 1, c.depthwise);
      box_steps.emplace_back(w / "reg_convs" / level / i, c.head, c.head, 3, 1, c.depthwise);
    }
  }
  // [B, 4 + 1 + classes, h, w]: box, and the logits of object and classes.
  Tensor forward(const Tensor& map) const {
    const Tensor x = stem(map), a = class_steps[1](class_steps[0](x)), b = box_steps[1](box_steps[0](x));
    JoinedMaps parts(boxes.answers(b), b, 5 + classes.conv.weight.size(0));
    parts.put(boxes(b, parts.slot(4)));
    parts.put(objects(b, parts.slot(1)));
    parts.put(classes(a, parts.slot(classes.conv.weight.size(0))));
    return parts.map();
  }

  YoloConv stem;
  std::vector<YoloWide> class_steps, box_steps;
  YoloLast classes, boxes, objects;
};

class Yolox : public nn::Model {
 public:
  Yolox(const Json& json, const Weights& w) : json_(json), c_(json), backbone_(c_, w / "backbone" / "backbone"), neck_(c_, w / "backbone") {
    for (int64_t level = 0; level < 3; ++level) heads_.emplace_back(c_, w / "head", level);
  }

  nn::HeadKind kind() const override { return nn::HeadKind::object_detection; }

  // Input: pixel_values [B,3,H,W], blue first, 0..255, sides multiples of 32. Outputs: predictions [B,N,5+L] (centre, size, object,
  // classes) as the original gives them; pred_boxes [B,N,4], corners in pixels of the input, and scores [B,N,L], object times class.
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions&) const override {
    const nn::Inputs in(inputs, {"pixel_values", "labels.*"});
    const Tensor pixels = yolo_pixels(in);
    const std::vector<Tensor> maps = neck_.forward(backbone_.forward(pixels));
    std::vector<Tensor> rows;
    for (size_t i = 0; i < 3; ++i) rows.push_back(place_rows(heads_[i].forward(maps[i])));
    const Tensor raw = cat(rows, 1);
    const std::vector<GridPlace> places = grid_places(maps, {8, 16, 32});
    const auto count = static_cast<int64_t>(places.size());
    Tensor at = Tensor::zeros({1, count, 2}), strides = Tensor::zeros({1, count, 1});
    for (int64_t i = 0; i < count; ++i) {
      const GridPlace& place = places[static_cast<size_t>(i)];
      at.data<float>()[2 * i] = place.x;
      at.data<float>()[2 * i + 1] = place.y;
      strides.data<float>()[i] = place.stride;
    }
    const Tensor centres = (narrow(raw, 2, 0, 2) + at) * strides, sizes = exp(narrow(raw, 2, 2, 2)) * strides;
    const Tensor objects = narrow(raw, 2, 4, 1), classes = narrow(raw, 2, 5, c_.classes);
    if (in.has("labels.0.class_labels")) {
      const YoloInput targets{places, static_cast<double>(pixels.size(3)), static_cast<double>(pixels.size(2)), nn::read_objects(in, pixels.size(0), c_.classes)};
      return {{"loss", yolox_loss(json_, targets, cat({centres, sizes}, 2), objects, classes)}};
    }
    const Tensor object_chances = sigmoid(objects), class_chances = sigmoid(classes);
    return {{"predictions", cat({centres, sizes, object_chances, class_chances}, 2)},
            {"pred_boxes", cat({centres - sizes * 0.5f, centres + sizes * 0.5f}, 2)},
            {"scores", class_chances * object_chances}};
  }

 private:
  const Json json_;
  YoloxConfig c_;
  YoloxBackbone backbone_;
  YoloxNeck neck_;
  std::vector<Head> heads_;
};

std::unique_ptr<nn::Model> make_yolox(const Json& config, const Weights& weights) { return std::make_unique<Yolox>(config, weights); }

}  // namespace

extern const ModelEntry model_yolox{"yolox", {"YoloxForObjectDetection"}, make_yolox, "model.", {".num_batches_tracked"}, {}};

}  // namespace mynah
