// SegFormer: a pyramid of overlapping patches with attention to a smaller map, and a head of linear maps that labels every pixel.
// Paper: arXiv:2105.15203. Checkpoints: nvidia/mit-b0 to b5 (classifiers), nvidia/segformer-b0 to b5.
// Shapes: B images, N rows of all images, C hidden, h and w the size of a map.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/maps.h"
#include "models/model_entry.h"
#include "models/stochastic_depth.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/layers.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

constexpr float kSegformerEps = 1e-5f;  // whatever layer_norm_eps says, as in the reference

struct SegformerConfig {
  explicit SegformerConfig(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        blocks(static_cast<size_t>(nn::config_int(c, "num_encoder_blocks", 4, 1, 64))),
        depths(list(c, "depths", {2, 2, 2, 2})),
        sr_ratios(list(c, "sr_ratios", {8, 4, 2, 1})),
        hidden_sizes(list(c, "hidden_sizes", {32, 64, 160, 256})),
        patch_sizes(list(c, "patch_sizes", {7, 3, 3, 3})),
        strides(list(c, "strides", {4, 2, 2, 2})),
        heads(list(c, "num_attention_heads", {1, 2, 5, 8})),
        decoder_hidden_size(nn::config_int(c, "decoder_hidden_size", 256)),
        act(activation(nn::config_string(c, "hidden_act", "gelu"))),
        hidden_dropout_prob(nn::dropout_rate(c, "hidden_dropout_prob", 0)),
        attention_probs_dropout_prob(nn::dropout_rate(c, "attention_probs_dropout_prob", 0)),
        drop_path_rate(nn::dropout_rate(c, "drop_path_rate", 0.1)),
        classifier_dropout_prob(nn::dropout_rate(c, "classifier_dropout_prob", 0.1)),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
        reshape_last_stage(nn::config_bool(c, "reshape_last_stage", true)) {
    for (size_t i = 0; i < blocks; ++i) {
      require(hidden_sizes[i] % heads[i] == 0, "config.json: hidden_sizes has {}, which is not a multiple of num_attention_heads {}", hidden_sizes[i], heads[i]);
      const auto it = c.find("mlp_ratios");
      const bool given = it != c.end() && it->is_array();
      require(!given || (it->size() >= blocks && (*it)[i].is_number()), "config.json: mlp_ratios is {}, expected {} numbers", given ? it->dump() : "null", blocks);
      inner.push_back(static_cast<int64_t>(static_cast<double>(hidden_sizes[i]) * (given ? (*it)[i].get<double>() : 4.0)));
      require(inner[i] > 0, "config.json: mlp_ratios leaves no inner size for a hidden size of {}", hidden_sizes[i]);
    }
  }
  std::vector<int64_t> list(const Json& c, const char* key, std::vector<int64_t> otherwise) const {
    std::vector<int64_t> values = nn::config_ints(c, key, std::move(otherwise));
    require(values.size() >= blocks, "config.json: {} has {} entries, expected {}", key, values.size(), blocks);
    return values;
  }
  int64_t num_channels;
  size_t blocks;
  std::vector<int64_t> depths, sr_ratios, hidden_sizes, patch_sizes, strides, heads, inner;
  int64_t decoder_hidden_size;
  Activation act;
  float hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate, classifier_dropout_prob;  // while training
  float initializer_range;
  bool reshape_last_stage;
  Init init() const { return Init::with_std(initializer_range); }
};

struct SegformerLayer {
  SegformerLayer(const SegformerConfig& c, const Weights& w, size_t block, float path)
      : heads(c.heads[block]),
        ratio(c.sr_ratios[block]),
        size(c.hidden_sizes[block]),
        before(w, "layer_norm_1", size, kSegformerEps),
        q(w / "attention" / "self", "query", size, size, c.init()),
        kv(w / "attention" / "self", {"key", "value"}, size, {size, size}, c.init()),
        out(w / "attention" / "output", "dense", size, size, c.init()),
        after(w, "layer_norm_2", size, kSegformerEps),
        up(w / "mlp", "dense1", size, c.inner[block], c.init()),
        depthwise(w / "mlp" / "dwconv", "dwconv", c.inner[block], c.inner[block], 3, c.init(), c.inner[block]),
        down(w / "mlp", "dense2", c.inner[block], size, c.init()),
        act(c.act),
        drop(c.hidden_dropout_prob),
        attention_drop(c.attention_probs_dropout_prob),
        path_drop(path) {
    if (ratio == 1) return;
    reduce.emplace(w / "attention" / "self", "sr", size, size, ratio, c.init());
    reduced_norm = nn::LayerNorm(w / "attention" / "self", "layer_norm", size, kSegformerEps);
  }

  // Rows of maps [B,h,w].
  Tensor forward(const Tensor& x, const MapSize& map) const {
    const Tensor y = x + nn::drop_path(attend(before(x), map), map.images, path_drop);
    const Tensor inner = nn::dropout(activate(map_rows(depthwise.same(maps_of(up(after(y)), map))), act), drop);
    return y + nn::drop_path(nn::dropout(down(inner), drop), map.images, path_drop);
  }

 private:
  Tensor attend(const Tensor& x, const MapSize& map) const {
    Tensor seen = x;
    if (ratio > 1) {
      require(map.height >= ratio && map.width >= ratio, "forward: a map of {}x{} for sr_ratios of {}; give a larger picture", map.height, map.width, ratio);
      seen = reduced_norm(map_rows(reduce->forward(maps_of(x, map), {ratio, ratio}, {0, 0})));
    }
    const int64_t rows = x.size(0), sources = seen.size(0), head = size / heads;
    const Tensor both = kv(seen);
    std::vector<Sequence> sequences;
    for (int64_t b = 0; b < map.images; ++b) sequences.push_back({b * (rows / map.images), rows / map.images, b * (sources / map.images), sources / map.images});
    AttentionConfig config;
    config.causal = false;
    const Tensor y = nn::attention_with_dropout(reshape(q(x), {rows, heads, head}), reshape(narrow(both, 1, 0, size), {sources, heads, head}),
                                                reshape(narrow(both, 1, size, size), {sources, heads, head}), sequences, config, attention_drop);
    return nn::dropout(out(reshape(y, {rows, size})), drop);
  }

  int64_t heads, ratio, size;
  nn::LayerNorm before;
  nn::Linear q;
  nn::JoinedLinear kv;
  nn::Linear out;
  nn::LayerNorm after;
  nn::Linear up;
  MapConvolution depthwise;
  nn::Linear down;
  Activation act;
  float drop, attention_drop, path_drop;
  std::optional<MapConvolution> reduce;
  nn::LayerNorm reduced_norm;
};

struct SegformerBlock {
  SegformerBlock(const SegformerConfig& c, const Weights& w, size_t i, StochasticDepth* paths)
      : patches(w / "patch_embeddings" / static_cast<int64_t>(i), "proj", i == 0 ? c.num_channels : c.hidden_sizes[i - 1], c.hidden_sizes[i], c.patch_sizes[i], c.init()),
        patch_norm(w / "patch_embeddings" / static_cast<int64_t>(i), "layer_norm", c.hidden_sizes[i], kSegformerEps),
        norm(w / "layer_norm", std::to_string(i), c.hidden_sizes[i], kSegformerEps),
        stride(c.strides[i]) {
    for (int64_t j = 0; j < c.depths[i]; ++j) layers.emplace_back(c, w / "block" / static_cast<int64_t>(i) / j, i, paths->next());
  }
  // Maps [B,C,H,W] -> maps of this block.
  Tensor forward(const Tensor& x) const {
    const int64_t padding = patches.weight.size(2) / 2;
    const Tensor planes = patches.forward(x, {stride, stride}, {padding, padding});
    const MapSize map(planes);
    Tensor rows = patch_norm(map_rows(planes));
    for (const SegformerLayer& layer : layers) rows = nn::recomputed([&layer, map](const std::vector<Tensor>& t) { return layer.forward(t[0], map); }, {rows});
    return maps_of(norm(rows), map);
  }

  MapConvolution patches;
  nn::LayerNorm patch_norm, norm;
  int64_t stride;
  std::vector<SegformerLayer> layers;
};

// All maps at the size of the first one, mixed, and a class for each place.
struct DecodeHead {
  DecodeHead(const SegformerConfig& c, const Weights& w, int64_t labels)
      : fuse((w / "linear_fuse").tensor("weight", {c.decoder_hidden_size, c.decoder_hidden_size * static_cast<int64_t>(c.blocks), 1, 1}, c.init())),
        norm(w, "batch_norm", c.decoder_hidden_size, kSegformerEps),
        classifier(w, "classifier", c.decoder_hidden_size, labels, 1, c.init()),
        drop(c.classifier_dropout_prob) {
    for (size_t i = 0; i < c.blocks; ++i) projections.emplace_back(w / "linear_c" / static_cast<int64_t>(i), "proj", c.hidden_sizes[i], c.decoder_hidden_size, c.init());
  }
  Tensor forward(const std::vector<Tensor>& maps) const {
    std::vector<Tensor> all;
    for (size_t i = maps.size(); i-- > 0;) {
      const MapSize map(maps[i]);
      all.push_back(interpolate(maps_of(projections[i](map_rows(maps[i])), map), maps[0].size(2), maps[0].size(3), Interpolation::bilinear));
    }
    return classifier.forward(nn::dropout(relu(norm(conv2d(cat(all, 1), fuse, {}, {}))), drop));
  }

  std::vector<nn::Linear> projections;
  Tensor fuse;
  MapNorm norm;
  MapConvolution classifier;
  float drop;
};

class Segformer : public nn::VisionModel {
 public:
  Segformer(const Json& json, const Weights& weights) : VisionModel(json), c_(json) {
    StochasticDepth paths(c_.drop_path_rate, {c_.depths.begin(), c_.depths.begin() + static_cast<long>(c_.blocks)});
    for (size_t i = 0; i < c_.blocks; ++i) blocks_.emplace_back(c_, weights / "segformer" / "encoder", i, &paths);
    if (kind() == HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", c_.hidden_sizes[c_.blocks - 1], nn::label_count(json), c_.init());
    if (kind() == HeadKind::image_segmentation) head_.emplace(c_, weights / "decode_head", nn::label_count(json));
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    std::vector<Tensor> maps;
    for (const SegformerBlock& block : blocks_) maps.push_back(block.forward(maps.empty() ? pixels : maps.back()));
    const auto as_given = [&](size_t i) {
      const MapSize map(maps[i]);
      return i + 1 < maps.size() || c_.reshape_last_stage ? maps[i] : reshape(map_rows(maps[i]), {map.images, map.height * map.width, maps[i].size(1)});
    };
    for (size_t i = 0; states && i < maps.size(); ++i) states->push_back(as_given(i));
    if (head_) return {{"logits", head_->forward(maps)}};
    if (classifier_.defined()) return {{"logits", classifier_(mean(mean(maps.back(), 3), 2))}};
    return {{"last_hidden_state", as_given(maps.size() - 1)}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  SegformerConfig c_;
  std::vector<SegformerBlock> blocks_;
  nn::Linear classifier_;
  std::optional<DecodeHead> head_;
};

std::unique_ptr<nn::Model> make_segformer(const Json& config, const Weights& weights) { return std::make_unique<Segformer>(config, weights); }

}  // namespace

extern const ModelEntry model_segformer{"segformer",
                                        {"SegformerForSemanticSegmentation", "SegformerForImageClassification", "SegformerModel"},
                                        make_segformer,
                                        "segformer.",
                                        {".num_batches_tracked"},
                                        {}};

}  // namespace mynah
