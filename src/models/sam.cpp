// SAM: a ViT looks at a picture once; points and boxes then ask it for masks. Paper: arXiv:2304.02643. Checkpoints: facebook/sam-vit-base,
// -large, -huge. Shapes: B pictures, K prompts of each, N = B K, T tokens of a prompt, P places of the picture's map, C channels.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "base/require.h"
#include "models/map_windows.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/inputs.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::Weights;

constexpr float kMapEps = 1e-6f, kLastEps = 1e-5f;  // of norms whose eps no config names

float eps_of(const Json& c) { return static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-6)); }

// A layer norm over the channels of maps.
Tensor norm_maps(const nn::LayerNorm& norm, const Tensor& maps) { return maps_of(norm(map_rows(maps)), MapSize(maps)); }

std::vector<Sequence> even_sequences(int64_t count, int64_t queries, int64_t keys) {
  std::vector<Sequence> all;
  for (int64_t i = 0; i < count; ++i) all.push_back({i * queries, queries, i * keys, keys});
  return all;
}

struct SamVisionConfig {
  explicit SamVisionConfig(const Json& c)
      : hidden(nn::config_int(c, "hidden_size", 768)),
        out(nn::config_int(c, "output_channels", 256)),
        layers(nn::config_int(c, "num_hidden_layers", 12, 1, 10000)),
        heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
        channels(nn::config_int(c, "num_channels", 3)),
        image(nn::config_int(c, "image_size", 1024)),
        patch(nn::config_int(c, "patch_size", 16)),
        window(nn::config_int(c, "window_size", 14, 0, 1000)),
        inner(static_cast<int64_t>(static_cast<double>(hidden) * nn::config_number(c, "mlp_ratio", 4))),
        relative(nn::config_bool(c, "use_rel_pos", true)),
        bias(nn::config_bool(c, "qkv_bias", true)),
        eps(eps_of(c)),
        act(activation(nn::config_string(c, "hidden_act", "gelu"))),
        init(nn::Init::with_std(static_cast<float>(nn::config_number(c, "initializer_range", 1e-10)))) {
    inner = nn::config_int(c, "mlp_dim", inner);
    require(hidden % heads == 0 && image >= patch, "config.json: hidden_size {} of {} heads, image_size {} of patches of {}", hidden, heads, image, patch);
    const auto whole = c.find("global_attn_indexes");
    if (whole == c.end()) global = {2, 5, 8, 11};
    else for (const Json& index : *whole) global.push_back(index.get<int64_t>());
  }
  int64_t side() const { return image / patch; }
  // The edge of the squares that a layer's places see; 0: the whole map.
  int64_t window_of(int64_t layer) const { return std::find(global.begin(), global.end(), layer) == global.end() ? window : 0; }

  int64_t hidden, out, layers, heads, channels, image, patch, window, inner;
  bool relative, bias;
  float eps;
  Activation act;
  nn::Init init;
  std::vector<int64_t> global;
};

struct SamVisionLayer {
  SamVisionLayer(const SamVisionConfig& c, const Weights& w, int64_t number)
      : heads(c.heads),
        head(c.hidden / c.heads),
        window(c.window_of(number)),
        norm1(w, "layer_norm1", c.hidden, c.eps),
        norm2(w, "layer_norm2", c.hidden, c.eps),
        qkv(w / "attn", "qkv", c.hidden, 3 * c.hidden, c.init, c.bias),
        out(w / "attn", "proj", c.hidden, c.hidden, c.init),
        lin1(w / "mlp", "lin1", c.hidden, c.inner, c.init),
        lin2(w / "mlp", "lin2", c.inner, c.hidden, c.init),
        act(c.act) {
    const int64_t size = 2 * (window ? window : c.side()) - 1;
    if (!c.relative) return;
    rows = (w / "attn").tensor("rel_pos_h", {size, head}, nn::Init::zeros());
    columns = (w / "attn").tensor("rel_pos_w", {size, head}, nn::Init::zeros());
  }

  Tensor forward(const Tensor& x, const MapSize& map) const {
    Tensor seen;
    if (window == 0) {
      seen = attend(norm1(x), map.height);
    } else {
      const MapWindows windows(map, window, 0);
      seen = windows.together(attend(windows.apart(norm1(x)), window));
    }
    const Tensor y = x + seen;
    return y + lin2(activate(lin1(norm2(y)), act));
  }

  int64_t heads, head, window;
  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, lin1, lin2;
  Activation act;
  Tensor rows, columns;

 private:
  // x: squares of side x side places each. A score also holds the query's products with the vectors of its distances in rows and in columns
  // to the key. They are further elements of the query, and the key's further elements choose among them: no table of all pairs is made.
  Tensor attend(const Tensor& x, int64_t side) const {
    const int64_t n = x.size(0), size = heads * head, places = side * side, squares = n / places;
    const Tensor all = qkv(x);
    const auto part = [&](int64_t i) { return reshape(narrow(all, 1, i * size, size), {n, heads, head}); };
    Tensor q = part(0), k = part(1), v = part(2);
    AttentionConfig config;
    config.causal = false;
    config.scale = 1;
    Tensor scaled = q * (1 / std::sqrt(static_cast<float>(head)));
    if (rows.defined()) {
      const Tensor square = reshape(contiguous(q), {squares, side, side, heads, head});
      scaled = cat({scaled, reshape(distances(square, rows, 1), {n, heads, side}), reshape(distances(square, columns, 2), {n, heads, side})}, 2);
      k = cat({k, expand(unsqueeze(own_places(squares, side), 1), {n, heads, 2 * side})}, 2);
      v = cat({v, Tensor::zeros({n, heads, 2 * side})}, 2);
    }
    const Tensor y = scaled_dot_product_attention(contiguous(scaled), contiguous(k), contiguous(v), even_sequences(squares, places, places), config);
    return out(reshape(contiguous(narrow(y, 2, 0, head)), {n, size}));
  }

  // q [S,side,side,H,D], axis 1 (rows) or 2 (columns) -> [S,side,side,H,side]: products with table[own - other + side - 1].
  Tensor distances(const Tensor& q, const Tensor& table, int axis) const {
    const int64_t squares = q.size(0), side = q.size(1);
    std::vector<int64_t> index;
    for (int64_t own = 0; own < side; ++own)
      for (int64_t other = 0; other < side; ++other) index.push_back(own - other + side - 1);
    const Tensor chosen = transpose(reshape(index_rows(table, index), {side, side, head}), 1, 2);  // [own, D, other]
    const std::array<int, 5> to = axis == 1 ? std::array{1, 0, 2, 3, 4} : std::array{2, 0, 1, 3, 4}, back = axis == 1 ? std::array{1, 0, 2, 3, 4} : std::array{1, 2, 0, 3, 4};
    const Tensor first = reshape(contiguous(permute(q, to)), {side, squares * side * heads, head});
    return contiguous(permute(reshape(matmul(first, contiguous(chosen)), {side, squares, side, heads, side}), back));
  }

  // Which row and which column each place lies in, [S * side * side, 2 side] of 0 and 1.
  static Tensor own_places(int64_t squares, int64_t side) {
    Tensor y = Tensor::zeros({squares * side * side, 2 * side});
    float* to = y.data<float>();
    for (int64_t i = 0; i < squares * side * side; ++i, to += 2 * side) {
      to[i / side % side] = 1;
      to[side + i % side] = 1;
    }
    return y;
  }
};

class SamVision {
 public:
  SamVision(const Json& json, const Weights& w) : c(json) {
    const Weights patches = w / "patch_embed" / "projection";
    projection_ = patches.tensor("weight", {c.hidden, c.channels, c.patch, c.patch}, c.init);
    projection_bias_ = patches.tensor("bias", {c.hidden}, nn::Init::zeros());
    if (nn::config_bool(json, "use_abs_pos", true)) places_ = w.tensor("pos_embed", {1, c.side(), c.side(), c.hidden}, nn::Init::zeros());
    for (int64_t i = 0; i < c.layers; ++i) layers_.emplace_back(c, w / "layers" / i, i);
    conv1_ = MapConvolution(w / "neck", "conv1", c.hidden, c.out, 1, c.init, 1, false);
    conv2_ = MapConvolution(w / "neck", "conv2", c.out, c.out, 3, c.init, 1, false);
    norm1_ = nn::LayerNorm(w / "neck", "layer_norm1", c.out, kMapEps);
    norm2_ = nn::LayerNorm(w / "neck", "layer_norm2", c.out, kMapEps);
  }

  // pixels [B,channels,S,S] -> [B,out,side,side]
  Tensor forward(const Tensor& pixels) const {
    require(pixels.size(2) == c.image && pixels.size(3) == c.image, "forward: pixel_values are {}x{}, expected {}x{}", pixels.size(2), pixels.size(3), c.image, c.image);
    const Tensor planes = conv2d(pixels, projection_, projection_bias_, {{c.patch, c.patch}});
    const MapSize map(planes);
    Tensor x = map_rows(planes);
    const int64_t places = map.height * map.width;
    if (places_.defined()) x = reshape(reshape(x, {map.images, places, c.hidden}) + reshape(places_, {1, places, c.hidden}), {map.images * places, c.hidden});
    for (const SamVisionLayer& layer : layers_) x = nn::recomputed([&layer, map](const std::vector<Tensor>& t) { return layer.forward(t[0], map); }, {x});
    return norm_maps(norm2_, conv2_.same(norm_maps(norm1_, conv1_.forward(maps_of(x, map)))));
  }

  const SamVisionConfig c;

 private:
  Tensor projection_, projection_bias_, places_;
  std::vector<SamVisionLayer> layers_;
  MapConvolution conv1_, conv2_;
  nn::LayerNorm norm1_, norm2_;
};

struct SamAttention {
  SamAttention(const Weights& w, int64_t hidden, int64_t heads_, int64_t divisor)
      : heads(heads_),
        inner(hidden / divisor),
        q(w, "q_proj", hidden, inner),
        k(w, "k_proj", hidden, inner),
        v(w, "v_proj", hidden, inner),
        out(w, "out_proj", inner, hidden) {
    require(inner > 0 && inner % heads == 0, "config.json: num_attention_heads {} does not divide {}", heads, inner);
  }
  // Rows of `count` sequences each.
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value, int64_t count) const {
    const auto apart = [&](const Tensor& x) { return reshape(x, {x.size(0), heads, inner / heads}); };
    AttentionConfig config;
    config.causal = false;
    const Tensor y = scaled_dot_product_attention(apart(q(query)), apart(k(key)), apart(v(value)), even_sequences(count, query.size(0) / count, key.size(0) / count), config);
    return out(reshape(y, {query.size(0), inner}));
  }

  int64_t heads, inner;
  nn::Linear q, k, v, out;
};

struct SamDecoderLayer {
  SamDecoderLayer(const Json& c, const Weights& w, bool first_)
      : first(first_),
        hidden(nn::config_int(c, "hidden_size", 256)),
        own(w / "self_attn", hidden, heads(c), 1),
        to_image(w / "cross_attn_token_to_image", hidden, heads(c), 2),  // whatever attention_downsample_rate says, as in the reference
        to_tokens(w / "cross_attn_image_to_token", hidden, heads(c), 2),
        lin1(w / "mlp", "lin1", hidden, nn::config_int(c, "mlp_dim", 2048)),
        lin2(w / "mlp", "lin2", nn::config_int(c, "mlp_dim", 2048), hidden),
        act(activation(nn::config_string(c, "hidden_act", "relu"))) {
    for (const char* name : {"layer_norm1", "layer_norm2", "layer_norm3", "layer_norm4"}) norms.emplace_back(w, name, hidden, eps_of(c));
  }
  static int64_t heads(const Json& c) { return nn::config_int(c, "num_attention_heads", 8, 1, 100000); }

  // tokens [N T, C] and places [N P, C], which have these positions.
  void forward(Tensor* tokens, Tensor* places, const Tensor& token_positions, const Tensor& place_positions, int64_t count) const {
    if (first) {
      *tokens = own(*tokens, *tokens, *tokens, count);
    } else {
      const Tensor query = *tokens + token_positions;
      *tokens = *tokens + own(query, query, *tokens, count);
    }
    *tokens = norms[0](*tokens);
    *tokens = norms[1](*tokens + to_image(*tokens + token_positions, *places + place_positions, *places, count));
    *tokens = norms[2](*tokens + lin2(activate(lin1(*tokens), act)));
    *places = norms[3](*places + to_tokens(*places + place_positions, *tokens + token_positions, *tokens, count));
  }

  bool first;
  int64_t hidden;
  SamAttention own, to_image, to_tokens;
  nn::Linear lin1, lin2;
  Activation act;
  std::vector<nn::LayerNorm> norms;
};

struct SamFeedForward {
  SamFeedForward(const Weights& w, int64_t in, int64_t inner, int64_t out_, int64_t layers) : first(w, "proj_in", in, inner), last(w, "proj_out", inner, out_) {
    for (int64_t i = 0; i + 2 < layers; ++i) between.emplace_back(w / "layers", std::to_string(i), inner, inner);
  }
  Tensor operator()(const Tensor& x) const {
    Tensor y = relu(first(x));
    for (const nn::Linear& layer : between) y = relu(layer(y));
    return last(y);
  }

  nn::Linear first, last;
  std::vector<nn::Linear> between;
};

struct Upscaling {
  Upscaling(const Weights& w, std::string_view name, int64_t in, int64_t out) : weight((w / name).tensor("weight", {in, out, 2, 2}, {})), bias((w / name).tensor("bias", {out}, nn::Init::zeros())) {}
  Tensor operator()(const Tensor& x) const { return conv_transpose2d(x, weight, bias, {{2, 2}}); }

  Tensor weight, bias;
};

class SamMaskDecoder {
 public:
  SamMaskDecoder(const Json& c, const Weights& w)
      : hidden(nn::config_int(c, "hidden_size", 256)),
        masks(nn::config_int(c, "num_multimask_outputs", 3) + 1),
        quality_token_((w / "iou_token").tensor("weight", {1, hidden}, {})),
        mask_tokens_((w / "mask_tokens").tensor("weight", {masks, hidden}, {})),
        last_(w / "transformer" / "final_attn_token_to_image", hidden, SamDecoderLayer::heads(c), nn::config_int(c, "attention_downsample_rate", 2)),
        last_norm_(w / "transformer", "layer_norm_final_attn", hidden, kLastEps),
        up1_(w, "upscale_conv1", hidden, hidden / 4),
        up2_(w, "upscale_conv2", hidden / 4, hidden / 8),
        up_norm_(w, "upscale_layer_norm", hidden / 4, kMapEps),
        quality_(w / "iou_prediction_head", hidden, nn::config_int(c, "iou_head_hidden_dim", 256), masks, nn::config_int(c, "iou_head_depth", 3)) {
    const int64_t layers = nn::config_int(c, "num_hidden_layers", 2, 1, 10000);
    for (int64_t i = 0; i < layers; ++i) layers_.emplace_back(c, w / "transformer" / "layers" / i, i == 0);
    for (int64_t i = 0; i < masks; ++i) own_.emplace_back(w / "output_hypernetworks_mlps" / i, hidden, hidden, hidden / 8, 3);
  }

  // map [B,C,h,w] with what masks given add to it, positions [C,h,w], prompts [B,K,t,C] or undefined -> masks [B,K,M,4h,4w] and their
  // qualities [B,K,M].
  std::pair<Tensor, Tensor> forward(const Tensor& map, const Tensor& positions, const Tensor& prompts, bool several) const {
    const int64_t images = map.size(0), each = prompts.defined() ? prompts.size(1) : 1, count = images * each, h = map.size(2), w = map.size(3), places = h * w;
    Tensor tokens = expand(unsqueeze(cat({quality_token_, mask_tokens_}, 0), 0), {count, masks + 1, hidden});
    if (prompts.defined()) tokens = cat({tokens, reshape(contiguous(prompts), {count, prompts.size(2), hidden})}, 1);
    const int64_t length = tokens.size(1);
    const auto repeated = [&](const Tensor& maps) {  // [B or 1,C,h,w] -> [N P, C]
      const Tensor rows = reshape(map_rows(maps), {maps.size(0), 1, places, hidden});
      return reshape(contiguous(expand(expand(rows, {images, 1, places, hidden}), {images, each, places, hidden})), {count * places, hidden});
    };
    const Tensor token_positions = reshape(contiguous(tokens), {count * length, hidden}), place_positions = repeated(unsqueeze(positions, 0));
    Tensor x = token_positions, y = repeated(map);
    for (const SamDecoderLayer& layer : layers_) layer.forward(&x, &y, token_positions, place_positions, count);
    x = last_norm_(x + last_(x + token_positions, y + place_positions, y, count));
    const Tensor answers = reshape(x, {count, length, hidden});

    const Tensor wide = gelu(up2_(gelu(norm_maps(up_norm_, up1_(maps_of(y, {count, h, w}))))));
    std::vector<Tensor> filters;
    for (int64_t i = 0; i < masks; ++i) filters.push_back(unsqueeze(own_[static_cast<size_t>(i)](contiguous(select(answers, 1, i + 1))), 1));
    const Tensor all = matmul(cat(filters, 1), reshape(wide, {count, wide.size(1), wide.size(2) * wide.size(3)}));
    const Tensor quality = quality_(contiguous(select(answers, 1, 0)));
    const int64_t first = several ? 1 : 0, kept = several ? masks - 1 : 1;
    return {reshape(contiguous(narrow(all, 1, first, kept)), {images, each, kept, wide.size(2), wide.size(3)}), reshape(contiguous(narrow(quality, 1, first, kept)), {images, each, kept})};
  }

  const int64_t hidden, masks;

 private:
  Tensor quality_token_, mask_tokens_;
  std::vector<SamDecoderLayer> layers_;
  SamAttention last_;
  nn::LayerNorm last_norm_;
  Upscaling up1_, up2_;
  nn::LayerNorm up_norm_;
  SamFeedForward quality_;
  std::vector<SamFeedForward> own_;
};

class SamPrompts {
 public:
  SamPrompts(const Json& c, const Weights& w, Tensor waves)
      : hidden(nn::config_int(c, "hidden_size", 256)),
        image(nn::config_int(c, "image_size", 1024)),
        waves_(std::move(waves)),
        no_mask_((w / "no_mask_embed").tensor("weight", {1, hidden}, {})),
        no_point_((w / "not_a_point_embed").tensor("weight", {1, hidden}, {})),
        act_(activation(nn::config_string(c, "hidden_act", "gelu"))) {
    const int64_t kinds = nn::config_int(c, "num_point_embeddings", 4, 4, 4), wide = nn::config_int(c, "mask_input_channels", 16, 4, 1 << 16);
    for (int64_t i = 0; i < kinds; ++i) kinds_.push_back((w / "point_embed" / i).tensor("weight", {1, hidden}, {}));
    const Weights masks = w / "mask_embed";
    conv1_ = MapConvolution(masks, "conv1", 1, wide / 4, 2, {});
    conv2_ = MapConvolution(masks, "conv2", wide / 4, wide / 4 * 4, 2, {});
    conv3_ = MapConvolution(masks, "conv3", wide, hidden, 1, {});
    norm1_ = nn::LayerNorm(masks, "layer_norm1", wide / 4, eps_of(c));
    norm2_ = nn::LayerNorm(masks, "layer_norm2", wide / 4 * 4, eps_of(c));
  }

  // sin and cos of places [n,2] (x and y in 0..1) -> [n,C]
  Tensor positions(const Tensor& places) const {
    const Tensor turns = matmul(add(places * 2.0f, -1.0f), waves_) * (2 * std::numbers::pi_v<float>);
    return cat({sin(turns), cos(turns)}, 1);
  }

  // input_points [B,K,n,2] in pixels of what the network sees, input_labels [B,K,n] (1 inside, 0 outside, -1 no point, -10 filling), and
  // input_boxes [B,K,4] -> [B,K,t,C]; undefined without both.
  Tensor sparse(const Inputs& in, int64_t images) const {
    std::vector<Tensor> parts;
    int64_t each = 0;
    const bool boxed = in.has("input_boxes");
    if (in.has("input_points")) {
      const Tensor points = in.floats("input_points", {images, -1, -1, 2});
      each = points.size(1);
      const int64_t given = points.size(2), count = given + (boxed ? 0 : 1);  // without a box a point that is none follows
      std::vector<int32_t> labels(static_cast<size_t>(images * each * given), 1);
      if (in.has("input_labels")) labels = in.integers("input_labels", {images, each, given});
      for (const int32_t label : labels) require(label == 1 || label == 0 || label == -1 || label == -10, "forward: input_labels holds {}, expected 1, 0, -1 or -10", label);
      std::vector<float> places;
      std::vector<int32_t> kinds;
      const float* from = points.data<float>();
      for (int64_t n = 0; n < images * each; ++n)
        for (int64_t p = 0; p < count; ++p) {
          const bool real = p < given;
          for (int64_t axis = 0; axis < 2; ++axis) places.push_back(real ? (from[(n * given + p) * 2 + axis] + 0.5f) / static_cast<float>(image) : 0);
          kinds.push_back(real ? labels[static_cast<size_t>(n * given + p)] : -1);
        }
      parts.push_back(reshape(marked(places, kinds), {images, each, count, hidden}));
    }
    if (boxed) {
      const Tensor boxes = in.floats("input_boxes", {images, -1, 4});
      require(each == 0 || each == boxes.size(1), "forward: input_boxes has {} boxes for a picture, input_points as many as {}", boxes.size(1), each);
      each = boxes.size(1);
      std::vector<float> places;
      std::vector<int32_t> kinds;
      for (int64_t i = 0; i < boxes.numel(); ++i) places.push_back((boxes.data<float>()[i] + 0.5f) / static_cast<float>(image));
      for (int64_t i = 0; i < images * each; ++i) kinds.insert(kinds.end(), {2, 3});
      parts.push_back(reshape(marked(places, kinds), {images, each, 2, hidden}));
    }
    if (parts.empty()) return {};
    return parts.size() == 1 ? parts[0] : cat(parts, 2);
  }

  // The map [B,C,h,w] with masks given [B,1,4h,4w], or with what stands for none.
  Tensor with_masks(const Tensor& map, const Inputs& in) const {
    if (!in.has("input_masks")) return map + reshape(no_mask_, {1, hidden, 1, 1});
    const Tensor masks = in.floats("input_masks", {map.size(0), 1, 4 * map.size(2), 4 * map.size(3)});
    const Tensor half = activate(norm_maps(norm1_, conv1_.forward(masks, {2, 2})), act_);
    return map + conv3_.forward(activate(norm_maps(norm2_, conv2_.forward(half, {2, 2})), act_));
  }

  const int64_t hidden, image;

 private:
  // Positions with the vector of each point's kind, 0 to 3; -1 is that vector alone, -10 zeros.
  Tensor marked(const std::vector<float>& places, const std::vector<int32_t>& kinds) const {
    const auto n = static_cast<int64_t>(kinds.size());
    const Tensor at = positions(Tensor::from(std::span<const float>(places), {n, 2}));
    const Tensor table = cat({Tensor::zeros({1, hidden}), no_point_, kinds_[0], kinds_[1], kinds_[2], kinds_[3]}, 0);
    std::vector<int64_t> rows;
    std::vector<float> counts;
    for (const int32_t kind : kinds) {
      rows.push_back(kind == -10 ? 0 : kind + 2);
      counts.push_back(kind < 0 ? 0.0f : 1.0f);
    }
    return at * Tensor::from(std::span<const float>(counts), {n, 1}) + index_rows(table, rows);
  }

  Tensor waves_, no_mask_, no_point_;
  std::vector<Tensor> kinds_;
  Activation act_;
  MapConvolution conv1_, conv2_, conv3_;
  nn::LayerNorm norm1_, norm2_;
};

class Sam : public nn::Model {
 public:
  Sam(const Json& json, const Weights& w)
      : vision_(config_part(json, "vision_config", "sam_vision_model"), w / "vision_encoder"),
        prompts_(config_part(json, "prompt_encoder_config", "sam"), w / "prompt_encoder", waves(json, w)),
        decoder_(config_part(json, "mask_decoder_config", "sam"), w / "mask_decoder") {
    require(vision_.c.out == prompts_.hidden && prompts_.hidden == decoder_.hidden && vision_.c.image == prompts_.image, "config.json: the parts of sam do not fit together");
  }

  nn::HeadKind kind() const override { return nn::HeadKind::bare; }

  // pixel_values [B,3,S,S], or what came of them, image_embeddings [B,C,h,w]; input_points, input_labels, input_boxes, input_masks
  // (SamPrompts); multimask_output: 0 for the best mask alone. Outputs: pred_masks [B,K,M,4h,4w], iou_scores [B,K,M], image_embeddings.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions&) const override {
    const Inputs in(inputs, {"pixel_values", "image_embeddings", "input_points", "input_labels", "input_boxes", "input_masks", "multimask_output", "original_sizes", "reshaped_input_sizes"});
    const int64_t side = vision_.c.side();
    const Tensor map = in.has("image_embeddings") ? in.floats("image_embeddings", {-1, vision_.c.out, side, side}) : vision_.forward(in.floats("pixel_values", {-1, vision_.c.channels, -1, -1}));
    std::vector<float> centres;
    for (int64_t i = 0; i < side * side; ++i)
      for (const int64_t at : {i % side, i / side}) centres.push_back((static_cast<float>(at) + 0.5f) / static_cast<float>(side));
    const Tensor positions = reshape(transpose(prompts_.positions(Tensor::from(std::span<const float>(centres), {side * side, 2})), 0, 1), {prompts_.hidden, side, side});
    const auto [masks, quality] = decoder_.forward(prompts_.with_masks(map, in), positions, prompts_.sparse(in, map.size(0)), !in.has("multimask_output") || in.flag("multimask_output"));
    return {{"pred_masks", masks}, {"iou_scores", quality}, {"image_embeddings", map}};
  }

 private:
  static Tensor waves(const Json& json, const Weights& w) {
    const int64_t count = nn::config_int(config_part(json, "vision_config", "sam_vision_model"), "num_pos_feats", 128);
    return (w / "shared_image_embedding").buffer("positional_embedding", {2, count}, nn::Init::with_std(1));
  }

  SamVision vision_;
  SamPrompts prompts_;
  SamMaskDecoder decoder_;
};

std::unique_ptr<nn::Model> make_sam(const Json& config, const Weights& w) { return std::make_unique<Sam>(config, w); }

}  // namespace

extern const ModelEntry model_sam{"sam", {"SamModel"}, make_sam, "", {"prompt_encoder.shared_embedding.positional_embedding"}, {}};

}  // namespace mynah
