// YOLO detectors of the shapes of v5 (anchors) and v8 (without), written from descriptions of their layers and of the names in their
// weights. The config is read off the weights (models/recognise.h). Papers: arXiv:1804.02767 (anchors), arXiv:2006.04388
// (distributions of distances).
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/yolo_layers.h"
#include "models/yolo_loss.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/inputs.h"

namespace mynah {
namespace {

using nn::Weights;

constexpr int64_t kBins = 16;  // of a distance's distribution

struct YoloConfig {
  explicit YoloConfig(const Json& c) : v8(nn::config_string(c, "model_type", "") == "yolov8"), channels(nn::config_ints(c, "channels", {16, 32, 64, 128, 256})),
                                   depths(nn::config_ints(c, "depths", v8 ? std::vector<int64_t>{1, 2, 2, 1} : std::vector<int64_t>{1, 2, 3, 1})),
                                   neck_depth(nn::config_int(c, "neck_depth", 1, 1, 1000)), classes(nn::label_count(c, 80)), anchors(nn::config_int(c, "num_anchors", 3, 1, 100)),
                                   box_channels(nn::config_int(c, "box_channels", 64)), class_channels(nn::config_int(c, "class_channels", 80)),
                                   stem_kernel(nn::config_int(c, "stem_kernel", v8 ? 3 : 6, 1, 16)) {
    require(channels.size() == 5 && depths.size() == 4, "config.json: {} channels and {} depths, expected 5 and 4", channels.size(), depths.size());
  }
  bool v8;
  std::vector<int64_t> channels, depths;
  int64_t neck_depth, classes, anchors, box_channels, class_channels, stem_kernel;
};

// v8's block: one half of the channels goes on, and what each bottleneck makes of it is kept.
struct SplitBlock {
  SplitBlock(const Weights& w, int64_t in, int64_t out, int64_t count, bool shortcut) : half(out / 2), first(w / "cv1", in, 2 * half, 1), last(w / "cv2", (2 + count) * half, out, 1) {
    for (int64_t i = 0; i < count; ++i) blocks.emplace_back(w / "m" / i, "cv", half, 3, shortcut, false);
  }
  Tensor operator()(const Tensor& x) const {
    JoinedMaps parts(first.answers(x), x, static_cast<int64_t>(2 + blocks.size()) * half);
    const Tensor y = first(x, parts.slot(2 * half));
    parts.put(y);
    Tensor part = narrow(y, 1, half, half);
    for (const YoloBottleneck& block : blocks) parts.put(part = block(part, parts.slot(half)));
    return last(parts.map());
  }

  int64_t half;
  YoloConv first, last;
  std::vector<YoloBottleneck> blocks;
};

// A block of either line.
struct YoloBlock {
  YoloBlock(const YoloConfig& c, const Weights& w, int64_t in, int64_t out, int64_t count, bool shortcut) {
    if (c.v8) split.emplace(w, in, out, count, shortcut);
    else csp.emplace(w, "cv", in, out, count, shortcut);
  }
  Tensor operator()(const Tensor& x) const { return split ? (*split)(x) : (*csp)(x); }

  std::optional<SplitBlock> split;
  std::optional<YoloCsp> csp;
};

// Pooling over 5, 9 and 13 places by pooling over 5 three times.
struct PoolPyramid {
  PoolPyramid(const Weights& w, int64_t size) : in(w / "cv1", size, size / 2, 1), out(w / "cv2", size / 2 * 4, size, 1) {}
  Tensor operator()(const Tensor& x) const {
    const int64_t half = in.outputs();
    JoinedMaps all(in.answers(x), x, 4 * half);
    Tensor y = in(x, all.slot(half));
    all.put(y);
    for (int i = 0; i < 3; ++i) all.put(y = pooled(y, 5, all.slot(half)));
    return out(all.map());
  }

  YoloConv in, out;
};

struct YoloBackbone {
  YoloBackbone(const YoloConfig& c, const Weights& w) : stem(w / 0, 3, c.channels[0], c.stem_kernel, 2, c.stem_kernel == 6 ? 2 : -1), pool(w / 9, c.channels[4]) {
    for (int64_t i = 0; i < 4; ++i) {
      const auto at = static_cast<size_t>(i);
      down.emplace_back(w / (2 * i + 1), c.channels[at], c.channels[at + 1], 3, 2);
      blocks.emplace_back(c, w / (2 * i + 2), c.channels[at + 1], c.channels[at + 1], c.depths[at], true);
    }
  }
  // Maps of strides 8, 16, 32.
  std::vector<Tensor> forward(const Tensor& pixels) const {
    Tensor x = stem(pixels);
    std::vector<Tensor> out;
    for (size_t i = 0; i < 4; ++i) {
      x = blocks[i](down[i](x));
      if (i > 0) out.push_back(x);
    }
    out.back() = pool(out.back());
    return out;
  }

  YoloConv stem;
  std::vector<YoloConv> down;
  std::vector<YoloBlock> blocks;
  PoolPyramid pool;
};

// From the coarsest map to the finest and back. v5 makes the coarser map narrower before it grows.
struct YoloNeck {
  YoloNeck(const YoloConfig& c, const Weights& w) : v8(c.v8) {
    const int64_t a = c.channels[2], b = c.channels[3], top = c.channels[4];
    const int64_t numbers_v8[] = {12, 15, 16, 18, 19, 21}, numbers_v5[] = {13, 17, 18, 20, 21, 23};
    const int64_t* n = v8 ? numbers_v8 : numbers_v5;
    if (!v8) {
      lateral.emplace_back(w / 10, top, b, 1);
      lateral.emplace_back(w / 14, b, a, 1);
    }
    blocks.emplace_back(c, w / n[0], v8 ? top + b : 2 * b, b, c.neck_depth, false);
    blocks.emplace_back(c, w / n[1], v8 ? a + b : 2 * a, a, c.neck_depth, false);
    down.emplace_back(w / n[2], a, a, 3, 2);
    blocks.emplace_back(c, w / n[3], v8 ? a + b : 2 * a, b, c.neck_depth, false);
    down.emplace_back(w / n[4], b, b, 3, 2);
    blocks.emplace_back(c, w / n[5], v8 ? b + top : 2 * b, top, c.neck_depth, false);
  }
  std::vector<Tensor> forward(const std::vector<Tensor>& maps) const {
    const bool answering = down[0].answers(maps[0]);
    const auto finer = [&](const Tensor& coarse, const Tensor& own) { return beside(answering, coarse.size(1), [&](const Tensor& into) { return doubled(coarse, into); }, own); };
    const auto coarser = [&](const YoloConv& step, const Tensor& fine, const Tensor& own) {
      return beside(answering, step.outputs(), [&](const Tensor& into) { return step(fine, into); }, own);
    };
    const Tensor top = v8 ? maps[2] : lateral[0](maps[2]);
    Tensor middle = blocks[0](finer(top, maps[1]));
    if (!v8) middle = lateral[1](middle);
    const Tensor fine = blocks[1](finer(middle, maps[0])), medium = blocks[2](coarser(down[0], fine, middle));
    return {fine, medium, blocks[3](coarser(down[1], medium, top))};
  }

  bool v8;
  std::vector<YoloConv> lateral, down;
  std::vector<YoloBlock> blocks;
};

// Two wide convolutions and a 1x1, v8's branches of boxes and classes.
struct Branch {
  Branch(const Weights& w, int64_t in, int64_t inner, int64_t out, nn::Init bias)
      : first(w / 0, in, inner, 3), second(w / 1, inner, inner, 3), last(w, "2", inner, out, bias) {}
  Tensor operator()(const Tensor& x) const { return last(second(first(x))); }

  YoloConv first, second;
  YoloLast last;
};

const std::vector<int64_t> kStrides = {8, 16, 32};

// Rows of places [B,N,C] of maps.
Tensor rows_of_all(const std::vector<Tensor>& maps) {
  std::vector<Tensor> rows;
  for (const Tensor& y : maps) rows.push_back(place_rows(y));
  return cat(rows, 1);
}

class Yolo : public nn::Model {
 public:
  Yolo(const Json& json, const Weights& weights) : json_(json), c_(json), backbone_(c_, weights / "model"), neck_(c_, weights / "model") {
    const Weights head = weights / "model" / (c_.v8 ? 22 : 24);
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t in = c_.channels[static_cast<size_t>(i + 2)];
      if (c_.v8) {
        boxes_.emplace_back(head / "cv2" / i, in, c_.box_channels, 4 * kBins, nn::Init::ones());
        classes_.emplace_back(head / "cv3" / i, in, c_.class_channels, c_.classes, rare());
      } else {
        anchored_.emplace_back(head / "m", std::to_string(i), in, c_.anchors * (5 + c_.classes), nn::Init::zeros());
      }
    }
    if (!c_.v8) anchors_ = head.buffer("anchors", {3, c_.anchors, 2});
  }

  nn::HeadKind kind() const override { return nn::HeadKind::object_detection; }

  // Input: pixel_values [B,3,H,W], red first, 0..1, sides multiples of 32. Outputs: predictions as the line gives them, v5 [B,N,5+L]
  // (centre, size, object, classes), v8 [B,4+L,N] (centre, size, classes); pred_boxes [B,N,4], corners in pixels of the input, and
  // scores [B,N,L].
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions&) const override {
    const nn::Inputs in(inputs, {"pixel_values", "labels.*"});
    const Tensor pixels = yolo_pixels(in);
    const std::vector<Tensor> maps = neck_.forward(backbone_.forward(pixels));
    if (in.has("labels.0.class_labels")) {
      require(c_.v8, "forward: only the loss of v8 is here, not that of v5");
      return loss_of(maps, {grid_places(maps, kStrides), static_cast<double>(pixels.size(3)), static_cast<double>(pixels.size(2)), nn::read_objects(in, pixels.size(0), c_.classes)});
    }
    return c_.v8 ? distances(maps) : anchored(maps);
  }

 private:
  static nn::NamedTensors outputs(const Tensor& predictions, const Tensor& centres, const Tensor& sizes, const Tensor& scores) {
    return {{"predictions", predictions}, {"pred_boxes", cat({centres - sizes * 0.5f, centres + sizes * 0.5f}, 2)}, {"scores", scores}};
  }

  // Logits of sides [B,N,4*K] and classes [B,N,L].
  std::pair<Tensor, Tensor> branches(const std::vector<Tensor>& maps) const {
    std::vector<Tensor> boxes, classes;
    for (size_t i = 0; i < 3; ++i) {
      boxes.push_back(boxes_[i](maps[i]));
      classes.push_back(classes_[i](maps[i]));
    }
    return {rows_of_all(boxes), rows_of_all(classes)};
  }

  nn::NamedTensors loss_of(const std::vector<Tensor>& maps, const YoloInput& input) const {
    const auto [sides, classes] = branches(maps);
    return {{"loss", yolo_aligned_loss(json_, input, reshape(sides, {sides.size(0), sides.size(1), 4, kBins}), classes)}};
  }

  nn::NamedTensors distances(const std::vector<Tensor>& maps) const {
    const auto [rows, logits] = branches(maps);
    const Tensor scores = sigmoid(logits);
    const int64_t images = rows.size(0), count = rows.size(1);
    Tensor bins = Tensor::zeros({kBins});
    for (int64_t i = 0; i < kBins; ++i) bins.data<float>()[i] = static_cast<float>(i);
    const Tensor sides = sum(softmax(reshape(rows, {images, count, 4, kBins})) * bins, 3);
    const std::vector<GridPlace> places = grid_places(maps, kStrides);
    Tensor at = Tensor::zeros({1, count, 2}), strides = Tensor::zeros({1, count, 1});
    for (int64_t i = 0; i < count; ++i) {
      const GridPlace& place = places[static_cast<size_t>(i)];
      at.data<float>()[2 * i] = place.x + 0.5f;
      at.data<float>()[2 * i + 1] = place.y + 0.5f;
      strides.data<float>()[i] = place.stride;
    }
    const Tensor low = at - narrow(sides, 2, 0, 2), high = at + narrow(sides, 2, 2, 2);
    const Tensor centres = (low + high) * 0.5f * strides, sizes = (high - low) * strides;
    return outputs(transpose(cat({centres, sizes, scores}, 2), 1, 2), centres, sizes, scores);
  }

  nn::NamedTensors anchored(const std::vector<Tensor>& maps) const {
    std::vector<Tensor> all, scores, centres_all, sizes_all;
    for (size_t level = 0; level < 3; ++level) {
      const Tensor y = anchored_[level](maps[level]);
      const int64_t images = y.size(0), height = y.size(2), width = y.size(3), places = height * width, fields = 5 + c_.classes;
      // Anchor by anchor, each over all places.
      const Tensor rows = sigmoid(transpose(reshape(y, {images, c_.anchors, fields, places}), 2, 3));
      const auto stride = static_cast<float>(kStrides[level]);
      Tensor at = Tensor::zeros({1, 1, places, 2}), anchors = Tensor::zeros({1, c_.anchors, 1, 2});
      for (int64_t i = 0; i < places; ++i) {
        at.data<float>()[2 * i] = static_cast<float>(i % width) - 0.5f;
        at.data<float>()[2 * i + 1] = static_cast<float>(i / width) - 0.5f;
      }
      const std::vector<float> sizes = select(anchors_, 0, static_cast<int64_t>(level)).to_vector();
      for (size_t i = 0; i < sizes.size(); ++i) anchors.data<float>()[i] = sizes[i] * stride;
      const Tensor centres = (narrow(rows, 3, 0, 2) * 2.0f + at) * stride, extents = square(narrow(rows, 3, 2, 2) * 2.0f) * anchors, rest = narrow(rows, 3, 4, fields - 4);
      const auto flat = [&](const Tensor& x) { return reshape(x, {images, c_.anchors * places, x.size(3)}); };
      all.push_back(flat(cat({centres, extents, rest}, 3)));
      centres_all.push_back(flat(centres));
      sizes_all.push_back(flat(extents));
      scores.push_back(flat(narrow(rest, 3, 1, c_.classes) * narrow(rest, 3, 0, 1)));
    }
    return outputs(cat(all, 1), cat(centres_all, 1), cat(sizes_all, 1), cat(scores, 1));
  }

  const Json json_;
  YoloConfig c_;
  YoloBackbone backbone_;
  YoloNeck neck_;
  std::vector<Branch> boxes_, classes_;
  std::vector<YoloLast> anchored_;
  Tensor anchors_;
};

std::unique_ptr<nn::Model> make_yolo(const Json& config, const Weights& weights) { return std::make_unique<Yolo>(config, weights); }

}  // namespace

extern const ModelEntry model_yolov5{"yolov5", {"Yolov5ForObjectDetection"}, make_yolo, "model.model.", {".num_batches_tracked", ".anchor_grid", ".stride"}, {}};
extern const ModelEntry model_yolov8{"yolov8", {"Yolov8ForObjectDetection"}, make_yolo, "model.model.", {".num_batches_tracked", ".dfl.conv.weight", ".stride"}, {}};

}  // namespace mynah
