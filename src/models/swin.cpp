// Swin: a transformer whose attention stays inside windows that every second layer shifts, and whose maps halve between stages.
// Paper: arXiv:2103.14030. Checkpoints: microsoft/swin-tiny-patch4-window7-224 to -large.
// Shapes: B images, N rows of all images, C hidden, T places of a window, S windows of all images.
#include <algorithm>
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
using nn::Weights;

constexpr float kSwinInnerEps = 1e-5f;     // of the norms behind patches and before they merge
constexpr float kOtherRegion = -100;   // what the reference adds to scores between regions that the shift brought together

struct SwinConfig {
  explicit SwinConfig(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        patch_size(nn::config_pair(c, "patch_size", 4)),
        embed_dim(nn::config_int(c, "embed_dim", 96)),
        window(nn::config_int(c, "window_size", 7, 1, 1000)),
        depths(nn::config_ints(c, "depths", {2, 2, 6, 2})),
        heads(nn::config_ints(c, "num_heads", {3, 6, 12, 24})),
        mlp_ratio(nn::config_number(c, "mlp_ratio", 4.0)),
        qkv_bias(nn::config_bool(c, "qkv_bias", true)),
        act(activation(nn::config_string(c, "hidden_act", "gelu"))),
        hidden_dropout_prob(nn::dropout_rate(c, "hidden_dropout_prob", 0)),
        attention_probs_dropout_prob(nn::dropout_rate(c, "attention_probs_dropout_prob", 0)),
        drop_path_rate(nn::dropout_rate(c, "drop_path_rate", 0.1)),
        layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-5))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))) {
    require(heads.size() == depths.size(), "config.json: {} num_heads and {} depths, expected as many", heads.size(), depths.size());
    require(depths.size() < 20, "config.json: {} depths, expected fewer than 20", depths.size());
    for (size_t i = 0; i < depths.size(); ++i)
      require(size(i) % heads[i] == 0, "config.json: num_heads has {}, which does not divide {}", heads[i], size(i));
    require(!nn::config_bool(c, "use_absolute_embeddings", false), "config.json: use_absolute_embeddings is not supported for swin, nor by the reference");
  }
  int64_t num_channels;
  std::array<int64_t, 2> patch_size;
  int64_t embed_dim, window;
  std::vector<int64_t> depths, heads;
  double mlp_ratio;
  bool qkv_bias;
  Activation act;
  float hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate;
  float layer_norm_eps, initializer_range;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
  int64_t size(size_t stage) const { return embed_dim << stage; }
};

// Zeros on the right and below, up to multiples of these sides.
Tensor padded(const Tensor& maps, int64_t height, int64_t width) {
  const auto missing = [](int64_t size, int64_t side) { return (side - size % side) % side; };
  Tensor out = maps;
  if (const int64_t n = missing(out.size(3), width)) out = cat({out, Tensor::zeros({out.size(0), out.size(1), out.size(2), n})}, 3);
  if (const int64_t n = missing(out.size(2), height)) out = cat({out, Tensor::zeros({out.size(0), out.size(1), n, out.size(3)})}, 2);
  return out;
}

// Which row of a map each place of its windows comes from, where padding is a row of its own behind the map's.
struct Windows {
  Windows(const MapSize& map, int64_t window, int64_t shift) : side(window), places(map.height * map.width), images(map.images) {
    const int64_t high = (map.height + window - 1) / window * window, wide = (map.width + window - 1) / window * window;
    home.assign(static_cast<size_t>(places), 0);
    const auto region = [&](int64_t at, int64_t size) { return at < size - window ? 0 : at < size - shift ? 1 : 2; };
    for (int64_t y = 0; y < high; y += window)
      for (int64_t x = 0; x < wide; x += window)
        for (int64_t i = 0; i < window * window; ++i) {
          const int64_t row = y + i / window, column = x + i % window;  // in the shifted map
          const int64_t from_row = (row + shift) % high, from_column = (column + shift) % wide;
          regions.push_back(shift == 0 ? 0 : region(row, high) * 3 + region(column, wide));
          const bool real = from_row < map.height && from_column < map.width;
          if (real) home[static_cast<size_t>(from_row * map.width + from_column)] = static_cast<int64_t>(source.size());
          source.push_back(real ? from_row * map.width + from_column : places);
        }
  }
  int64_t count() const { return static_cast<int64_t>(source.size()) / (side * side); }

  // Rows [B * places, C] -> [B * windows * T, C], and back.
  Tensor apart(const Tensor& x) const {
    const Tensor with_padding = cat({reshape(x, {images, places, x.size(1)}), Tensor::zeros({images, 1, x.size(1)})}, 1);
    return index_rows(reshape(with_padding, {images * (places + 1), x.size(1)}), repeated(source, places + 1));
  }
  Tensor together(const Tensor& x) const { return index_rows(x, repeated(home, static_cast<int64_t>(source.size()))); }

  std::vector<int64_t> repeated(const std::vector<int64_t>& rows, int64_t step) const {
    std::vector<int64_t> all;
    for (int64_t b = 0; b < images; ++b)
      for (const int64_t row : rows) all.push_back(b * step + row);
    return all;
  }

  int64_t side, places, images;
  std::vector<int64_t> source, home;
  std::vector<int> regions;
};

struct SwinLayer {
  SwinLayer(const SwinConfig& c, const Weights& w, size_t stage, int64_t number, float path)
      : size(c.size(stage)),
        heads(c.heads[stage]),
        window(c.window),
        shift(number % 2 == 0 ? 0 : c.window / 2),
        before(w, "layernorm_before", size, c.layer_norm_eps),
        qkv(w / "attention" / "self", {"query", "key", "value"}, size, {size, size, size}, c.init(), c.qkv_bias),
        table((w / "attention" / "self").tensor("relative_position_bias_table", {(2 * window - 1) * (2 * window - 1), heads}, nn::Init::zeros())),
        out(w / "attention" / "output", "dense", size, size, c.init()),
        after(w, "layernorm_after", size, c.layer_norm_eps),
        up(w / "intermediate", "dense", size, inner(c), c.init()),
        down(w / "output", "dense", inner(c), size, c.init()),
        act(c.act),
        drop(c.hidden_dropout_prob),
        attention_drop(c.attention_probs_dropout_prob),
        path_drop(path) {}

  Tensor forward(const Tensor& x, const MapSize& map) const {
    // A map no larger than a window has nothing to shift.
    const Windows windows(map, window, std::min(map.height, map.width) <= window ? 0 : shift);
    const Tensor y = x + nn::drop_path(windows.together(attend(windows.apart(before(x)), windows)), map.images, path_drop);
    return y + nn::dropout(down(activate(up(after(y)), act)), drop);
  }

 private:
  int64_t inner(const SwinConfig& c) const { return static_cast<int64_t>(c.mlp_ratio * static_cast<double>(size)); }

  Tensor attend(const Tensor& x, const Windows& windows) const {
    const int64_t rows = x.size(0), length = window * window, head = size / heads;
    const Tensor all = qkv(x);
    const auto part = [&](int64_t i) { return reshape(narrow(all, 1, i * size, size), {rows, heads, head}); };
    std::vector<Sequence> sequences;
    for (int64_t at = 0; at < rows; at += length) sequences.push_back({at, length, at, length});
    AttentionConfig config;
    config.causal = false;
    config.bias = bias(windows);
    return nn::dropout(out(reshape(nn::attention_with_dropout(part(0), part(1), part(2), sequences, config, attention_drop), {rows, size})), attention_drop);
  }

  // [H,T,T] of distances, or [S,H,T,T] where regions of a window must not mix.
  Tensor bias(const Windows& windows) const {
    const int64_t length = window * window;
    std::vector<int64_t> index;
    for (int64_t i = 0; i < length; ++i)
      for (int64_t j = 0; j < length; ++j)
        index.push_back((i / window - j / window + window - 1) * (2 * window - 1) + i % window - j % window + window - 1);
    const Tensor distances = reshape(transpose(index_rows(table, index), 0, 1), {heads, length, length});
    if (std::all_of(windows.regions.begin(), windows.regions.end(), [](int r) { return r == 0; })) return distances;
    const int64_t count = windows.count();
    Tensor apart = Tensor::zeros({count, 1, length, length});
    for (int64_t s = 0; s < count; ++s)
      for (int64_t i = 0; i < length; ++i)
        for (int64_t j = 0; j < length; ++j)
          if (windows.regions[static_cast<size_t>(s * length + i)] != windows.regions[static_cast<size_t>(s * length + j)])
            apart.data<float>()[(s * length + i) * length + j] = kOtherRegion;
    const Tensor one = apart + unsqueeze(distances, 0);
    return reshape(expand(unsqueeze(one, 0), {windows.images, count, heads, length, length}), {windows.images * count, heads, length, length});
  }

  int64_t size, heads, window, shift;
  nn::LayerNorm before;
  nn::JoinedLinear qkv;
  Tensor table;
  nn::Linear out;
  nn::LayerNorm after;
  nn::Linear up, down;
  Activation act;
  float drop, attention_drop, path_drop;
};

// Two by two places become one.
struct Merging {
  Merging(const SwinConfig& c, const Weights& w, size_t stage)
      : norm(w, "norm", 4 * c.size(stage), kSwinInnerEps), reduction(w, "reduction", 4 * c.size(stage), 2 * c.size(stage), c.init(), false) {}
  Tensor forward(const Tensor& x, MapSize* map) const {
    const Tensor maps = padded(maps_of(x, *map), 2, 2);
    map->height = maps.size(2) / 2;
    map->width = maps.size(3) / 2;
    const Tensor wide = reshape(maps, {maps.size(0), maps.size(1), map->height, 2, map->width, 2});
    const auto quarter = [&](int64_t row, int64_t column) { return select(select(wide, 5, column), 3, row); };
    return reduction(norm(map_rows(cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 1))));
  }

  nn::LayerNorm norm;
  nn::Linear reduction;
};

class Swin : public nn::VisionModel {
 public:
  // `w`: where the body's weights are.
  Swin(const Json& json, const Weights& weights, const Weights& w, bool final_norm) : VisionModel(json), c_(json) {
    const Weights patches = w / "embeddings" / "patch_embeddings" / "projection";
    projection_ = patches.tensor("weight", {c_.embed_dim, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = patches.tensor("bias", {c_.embed_dim}, nn::Init::zeros());
    patch_norm_ = nn::LayerNorm(w / "embeddings", "norm", c_.embed_dim, kSwinInnerEps);
    StochasticDepth paths(c_.drop_path_rate, c_.depths);
    for (size_t s = 0; s < c_.depths.size(); ++s) {
      const Weights stage = w / "encoder" / "layers" / static_cast<int64_t>(s);
      stages_.emplace_back();
      for (int64_t i = 0; i < c_.depths[s]; ++i) stages_.back().emplace_back(c_, stage / "blocks" / i, s, i, paths.next());
      if (s + 1 < c_.depths.size()) mergings_.emplace_back(c_, stage / "downsample", s);
    }
    const int64_t size = c_.size(c_.depths.size() - 1);
    if (final_norm) norm_ = nn::LayerNorm(w, "layernorm", size, c_.layer_norm_eps);
    if (kind() == HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", size, nn::label_count(json), c_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const Tensor planes = conv2d(padded(pixels, c_.patch_size[0], c_.patch_size[1]), projection_, projection_bias_, {c_.patch_size});
    MapSize map(planes);
    Tensor x = nn::dropout(patch_norm_(map_rows(planes)), c_.hidden_dropout_prob);
    const auto by_image = [&](const Tensor& rows) { return reshape(rows, {map.images, map.height * map.width, rows.size(1)}); };
    if (states) states->push_back(by_image(x));
    for (size_t s = 0; s < stages_.size(); ++s) {
      require(std::min(map.height, map.width) >= c_.window, "forward: stage {} has a map of {}x{}, which is smaller than a window of {}; give a larger picture", s + 1,
              map.height, map.width, c_.window);
      for (const SwinLayer& layer : stages_[s]) x = nn::recomputed([&layer, map](const std::vector<Tensor>& t) { return layer.forward(t[0], map); }, {x});
      if (s < mergings_.size()) x = mergings_[s].forward(x, &map);
      if (states) states->push_back(by_image(x));
    }
    const Tensor hidden = by_image(norm_.weight.defined() ? norm_(x) : x), pooled = mean(hidden, 1);
    if (classifier_.defined()) return {{"logits", classifier_(pooled)}};
    return {{"last_hidden_state", hidden}, {"pooler_output", pooled}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  SwinConfig c_;
  Tensor projection_, projection_bias_;
  nn::LayerNorm patch_norm_, norm_;
  std::vector<std::vector<SwinLayer>> stages_;
  std::vector<Merging> mergings_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_swin(const Json& config, const Weights& w) { return std::make_unique<Swin>(config, w, w / "swin", true); }
std::unique_ptr<nn::Model> make_donut(const Json& config, const Weights& w) { return std::make_unique<Swin>(config, w, w, false); }

}  // namespace

extern const ModelEntry model_swin{
    "swin", {"SwinForImageClassification", "SwinModel"}, make_swin, "swin.", {".relative_position_index", "embeddings.mask_token", ".attn_mask"}, {}};
extern const ModelEntry model_donut_swin{
    "donut-swin", {"DonutSwinModel"}, make_donut, "", {".relative_position_index", "embeddings.mask_token", ".attn_mask"}, {}};

}  // namespace mynah
