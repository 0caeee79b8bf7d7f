// DETR: a convolutional backbone, an encoder over its last map, and a decoder whose queries become objects; a head of masks for
// segmentation. Paper: arXiv:2005.12872. Checkpoints: facebook/detr-resnet-50 and -101, -dc5, -panoptic (backbones under timm's
// names), and those with a config of ResNet as backbone_config. Norms of the backbone are frozen, as are its first stage under timm's
// names and all of it under transformers' names: so the reference trains them.
// Shapes: B images, Q queries, C hidden, h and w the size of the last map.
#include <cmath>
#include <numbers>
#include <optional>

#include "base/require.h"
#include "models/backbone.h"
#include "models/box_predictor.h"
#include "models/maps.h"
#include "models/model_entry.h"
#include "models/resnet_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/detection_loss.h"
#include "nn/inputs.h"
#include "nn/dropout.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

constexpr float kDetrEps = 1e-5f;
constexpr int64_t kLearnedPlaces = 50;

struct DetrConfig {
  explicit DetrConfig(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        num_queries(nn::config_int(c, "num_queries", 100)),
        d_model(nn::config_int(c, "d_model", 256)),
        encoder_layers(nn::config_int(c, "encoder_layers", 6, 1, 1000)),
        decoder_layers(nn::config_int(c, "decoder_layers", 6, 1, 1000)),
        encoder_heads(nn::config_int(c, "encoder_attention_heads", 8)),
        decoder_heads(nn::config_int(c, "decoder_attention_heads", 8)),
        encoder_ffn_dim(nn::config_int(c, "encoder_ffn_dim", 2048)),
        decoder_ffn_dim(nn::config_int(c, "decoder_ffn_dim", 2048)),
        act(activation(nn::config_string(c, "activation_function", "relu"))),
        dropout(nn::dropout_rate(c, "dropout", 0.1)),
        attention_dropout(nn::dropout_rate(c, "attention_dropout", 0)),
        activation_dropout(nn::dropout_rate(c, "activation_dropout", 0)),
        encoder_layerdrop(nn::dropout_rate(c, "encoder_layerdrop", 0)),
        decoder_layerdrop(nn::dropout_rate(c, "decoder_layerdrop", 0)),
        auxiliary_loss(nn::config_bool(c, "auxiliary_loss", false)),
        init_std(static_cast<float>(nn::config_number(c, "init_std", 0.02))) {
    require(d_model % encoder_heads == 0 && d_model % decoder_heads == 0, "config.json: d_model {} is not a multiple of the attention heads, {} and {}", d_model,
            encoder_heads, decoder_heads);
    require(d_model % 4 == 0, "config.json: d_model is {}, expected a multiple of 4", d_model);
    const std::string positions = nn::config_string(c, "position_embedding_type", "sine");
    require(positions == "sine" || positions == "learned", "config.json: position_embedding_type is \"{}\", expected \"sine\" or \"learned\"", positions);
    learned_positions = positions == "learned";
  }
  int64_t num_channels, num_queries, d_model, encoder_layers, decoder_layers, encoder_heads, decoder_heads, encoder_ffn_dim, decoder_ffn_dim;
  Activation act;
  float dropout, attention_dropout, activation_dropout, encoder_layerdrop, decoder_layerdrop;  // while training
  bool auxiliary_loss, learned_positions = false;
  float init_std;
  Init init() const { return Init::with_std(init_std); }
};

// DetrAttention whose queries and keys have places added that its values have not.
struct DetrAttention {
  DetrAttention(const DetrConfig& c, const Weights& w, int64_t heads_)
      : heads(heads_),
        q(w, "q_proj", c.d_model, c.d_model, c.init()),
        k(w, "k_proj", c.d_model, c.d_model, c.init()),
        v(w, "v_proj", c.d_model, c.d_model, c.init()),
        out(w, "out_proj", c.d_model, c.d_model, c.init()),
        drop(c.dropout),
        attention_drop(c.attention_dropout) {}
  // Rows [B * T, C] of queries, [B * M, C] of keys and values; `mask` [B * M] or empty.
  Tensor forward(const Tensor& queries, const Tensor& keys, const Tensor& values, int64_t images, const std::vector<uint8_t>& mask) const {
    const int64_t rows = queries.size(0), sources = keys.size(0), c = queries.size(1), head = c / heads;
    std::vector<Sequence> sequences;
    for (int64_t b = 0; b < images; ++b) sequences.push_back({b * (rows / images), rows / images, b * (sources / images), sources / images});
    AttentionConfig config;
    config.causal = false;
    config.key_mask = mask;
    const Tensor y = nn::attention_with_dropout(reshape(q(queries), {rows, heads, head}), reshape(k(keys), {sources, heads, head}), reshape(v(values), {sources, heads, head}),
                                                sequences, config, attention_drop);
    return nn::dropout(out(reshape(y, {rows, c})), drop);
  }

  int64_t heads;
  nn::Linear q, k, v, out;
  float drop, attention_drop;
};

struct DetrFeedForward {
  DetrFeedForward(const DetrConfig& c, const Weights& w, int64_t inner)
      : fc1(w, "fc1", c.d_model, inner, c.init()), fc2(w, "fc2", inner, c.d_model, c.init()), norm(w, "final_layer_norm", c.d_model, kDetrEps), act(c.act), drop(c.dropout), activation_drop(c.activation_dropout) {}
  Tensor operator()(const Tensor& x) const { return norm(x + nn::dropout(fc2(nn::dropout(activate(fc1(x), act), activation_drop)), drop)); }

  nn::Linear fc1, fc2;
  nn::LayerNorm norm;
  Activation act;
  float drop, activation_drop;
};

struct EncoderLayer {
  EncoderLayer(const DetrConfig& c, const Weights& w)
      : attention(c, w / "self_attn", c.encoder_heads), norm(w, "self_attn_layer_norm", c.d_model, kDetrEps), feed_forward(c, w, c.encoder_ffn_dim) {}
  Tensor forward(const Tensor& x, const Tensor& places, int64_t images, const std::vector<uint8_t>& mask) const {
    const Tensor at = x + places;
    return feed_forward(norm(x + attention.forward(at, at, x, images, mask)));
  }

  DetrAttention attention;
  nn::LayerNorm norm;
  DetrFeedForward feed_forward;
};

struct DecoderLayer {
  DecoderLayer(const DetrConfig& c, const Weights& w)
      : own(c, w / "self_attn", c.decoder_heads),
        own_norm(w, "self_attn_layer_norm", c.d_model, kDetrEps),
        cross(c, w / "encoder_attn", c.decoder_heads),
        cross_norm(w, "encoder_attn_layer_norm", c.d_model, kDetrEps),
        feed_forward(c, w, c.decoder_ffn_dim) {}
  Tensor forward(const Tensor& x, const Tensor& query_places, const Tensor& memory, const Tensor& memory_at, int64_t images, const std::vector<uint8_t>& mask) const {
    const Tensor at = x + query_places, y = own_norm(x + own.forward(at, at, x, images, {}));
    return feed_forward(cross_norm(y + cross.forward(y + query_places, memory_at, memory, images, mask)));
  }

  DetrAttention own;
  nn::LayerNorm own_norm;
  DetrAttention cross;
  nn::LayerNorm cross_norm;
  DetrFeedForward feed_forward;
};

// Masks [B,H,W] of seen pixels at another size, nearest: [B * height * width].
std::vector<uint8_t> resized(const std::vector<uint8_t>& mask, const Shape& from, int64_t height, int64_t width) {
  std::vector<uint8_t> out;
  const float down = static_cast<float>(from[1]) / static_cast<float>(height), across = static_cast<float>(from[2]) / static_cast<float>(width);
  for (int64_t b = 0; b < from[0]; ++b)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const int64_t row = std::min(static_cast<int64_t>(static_cast<float>(y) * down), from[1] - 1),
                      column = std::min(static_cast<int64_t>(static_cast<float>(x) * across), from[2] - 1);
        out.push_back(mask.empty() ? 1 : mask[static_cast<size_t>((b * from[1] + row) * from[2] + column)]);
      }
  return out;
}

// Sines and cosines of the place among the seen rows, then columns, as shares of their number: [B * height * width, C].
Tensor sine_places(const std::vector<uint8_t>& mask, int64_t images, int64_t height, int64_t width, int64_t c) {
  const int64_t half = c / 2;
  std::vector<float> divisors;
  for (int64_t i = 0; i < half; ++i) divisors.push_back(std::pow(10000.0f, 2 * static_cast<float>(i / 2) / static_cast<float>(half)));
  Tensor out = Tensor::zeros({images * height * width, c});
  float* to = out.data<float>();
  const auto seen = [&](int64_t b, int64_t y, int64_t x) { return static_cast<float>(mask[static_cast<size_t>((b * height + y) * width + x)]); };
  for (int64_t b = 0; b < images; ++b) {
    std::vector<float> down(static_cast<size_t>(height * width)), across(down.size());
    const auto at = [&](int64_t y, int64_t x) { return static_cast<size_t>(y * width + x); };
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        down[at(y, x)] = seen(b, y, x) + (y > 0 ? down[at(y - 1, x)] : 0);
        across[at(y, x)] = seen(b, y, x) + (x > 0 ? across[at(y, x - 1)] : 0);
      }
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        constexpr float kTurn = 2 * std::numbers::pi_v<float>;
        const float row = down[at(y, x)] / (down[at(height - 1, x)] + 1e-6f) * kTurn, column = across[at(y, x)] / (across[at(y, width - 1)] + 1e-6f) * kTurn;
        for (int64_t i = 0; i < c; ++i, ++to) {
          const float angle = (i < half ? row : column) / divisors[static_cast<size_t>(i % half)];
          *to = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
        }
      }
  }
  return out;
}

// The convolutional part: maps of the backbone's stages.
struct DetrBackbone {
  DetrBackbone(const Json& json, int64_t num_channels, const Weights& w) : form{.timm_names = nn::config_bool(json, "use_timm_backbone", true), .frozen = true} {
    const bool has_config = json.contains("backbone_config") && json["backbone_config"].is_object();
    if (form.timm_names) {
      form.trained_from = 1;
      form.dilated = nn::config_bool(json, "dilation", false);
      config.emplace(ResNetConfig::of_timm(nn::config_string(json, "backbone", "resnet50"), num_channels));
      stages = {1, 2, 3, 4};
    } else {
      const Json own = has_config ? json["backbone_config"] : Json::object();
      const std::string type = nn::config_string(own, "model_type", "resnet");
      require(type == "resnet", "config.json: backbone_config is a {}, expected a resnet", type);
      config.emplace(own);
      form.trained_from = config->depths.size();
      stages = out_stages(own, config->depths.size());
    }
    body.emplace(*config, w, form);
  }
  std::vector<Tensor> forward(const Tensor& pixels) const {
    const std::vector<Tensor> all = body->forward(pixels);
    std::vector<Tensor> out;
    for (const size_t stage : stages) out.push_back(all[stage]);
    return out;
  }
  int64_t channels(size_t i) const { return stages[i] == 0 ? config->embedding_size : config->hidden_sizes[stages[i] - 1]; }

  ResNetForm form;
  std::optional<ResNetConfig> config;
  std::vector<size_t> stages;
  std::optional<ResNetBody> body;
};

// Masks of all queries from their attention to the encoder's map and, step by step larger, the backbone's maps.
struct MaskHead {
  MaskHead(const DetrConfig& c, const DetrBackbone& backbone, const Weights& w) : heads(c.encoder_heads) {
    const size_t maps = backbone.stages.size();
    require(maps >= 4, "config.json: the backbone gives {} maps, expected 4 for segmentation (out_features)", maps);
    const Weights attention = w / "bbox_attention";
    q = nn::Linear(attention, "q_linear", c.d_model, c.d_model, c.init());
    k = nn::Linear(attention, "k_linear", c.d_model, c.d_model, c.init());
    const Weights m = w / "mask_head";
    const int64_t dim = c.d_model + heads;
    require(dim % 8 == 0, "config.json: d_model and encoder_attention_heads are {} together, expected a multiple of 8", dim);
    const int64_t sizes[] = {dim, dim, c.d_model / 2, c.d_model / 4, c.d_model / 8, c.d_model / 16};
    require(sizes[5] > 0, "config.json: d_model is {}, expected 16 or more for segmentation", c.d_model);
    for (int64_t i = 1; i <= 5; ++i) {
      layers.emplace_back(m, "lay" + std::to_string(i), sizes[i - 1], sizes[i], 3, c.init());
      const Weights norm = m / ("gn" + std::to_string(i));
      norms.emplace_back(norm.tensor("weight", {sizes[i]}, Init::ones()), norm.tensor("bias", {sizes[i]}, Init::zeros()));
    }
    last = MapConvolution(m, "out_lay", sizes[5], 1, 3, c.init());
    for (size_t i = 0; i < 3; ++i) adapters.emplace_back(m, "adapter" + std::to_string(i + 1), backbone.channels(2 - i), sizes[i + 2], 1, c.init());
  }

  // queries [B * Q, C], memory [B * h * w, C], the projected map [B,C,h,w] -> [B,Q,H,W].
  Tensor forward(const Tensor& queries, const Tensor& memory, const std::vector<uint8_t>& mask, const Tensor& map, const std::vector<Tensor>& maps) const {
    const int64_t images = map.size(0), c = map.size(1), height = map.size(2), width = map.size(3), places = height * width, count = queries.size(0) / images;
    const Tensor attention = attend(queries, memory, mask, images, places);
    Tensor x = cat({for_every_query(map, count), reshape(attention, {images * count, heads, height, width})}, 1);
    MYNAH_CHECK(x.size(1) == c + heads);
    for (size_t i = 0; i < 5; ++i) {
      if (i >= 2) {
        const Tensor finer = adapters[i - 2].same(maps[4 - i]);
        x = for_every_query(finer, count) + interpolate(x, finer.size(2), finer.size(3), Interpolation::nearest);
      }
      x = layers[i].same(x);
      x = relu(group_norm(x, std::min<int64_t>(8, x.size(1)), norms[i].first, norms[i].second, kDetrEps));
    }
    x = last.same(x);
    return reshape(x, {images, count, x.size(2), x.size(3)});
  }

 private:
  static Tensor for_every_query(const Tensor& map, int64_t count) {
    return reshape(expand(unsqueeze(map, 1), {map.size(0), count, map.size(1), map.size(2), map.size(3)}), {map.size(0) * count, map.size(1), map.size(2), map.size(3)});
  }

  // Softmax over all heads and places together: [B,Q,heads,places].
  Tensor attend(const Tensor& queries, const Tensor& memory, const std::vector<uint8_t>& mask, int64_t images, int64_t places) const {
    const int64_t c = queries.size(1), head = c / heads, count = queries.size(0) / images;
    const int order[] = {0, 2, 1, 3}, keys_order[] = {0, 2, 3, 1};
    const Tensor from = reshape(permute(reshape(q(queries), {images, count, heads, head}), order), {images * heads, count, head});
    const Tensor to = reshape(permute(reshape(k(memory), {images, places, heads, head}), keys_order), {images * heads, head, places});
    Tensor scores = matmul(from * (1 / std::sqrt(static_cast<float>(head))), to);
    scores = reshape(permute(reshape(scores, {images, heads, count, places}), order), {images, count, heads, places});
    Tensor hidden = Tensor::zeros({images, 1, 1, places});
    for (size_t i = 0; i < mask.size(); ++i)
      if (!mask[i]) hidden.data<float>()[i] = -std::numeric_limits<float>::max();
    return reshape(softmax(reshape(scores + hidden, {images, count, heads * places})), {images, count, heads, places});
  }

  int64_t heads;
  nn::Linear q, k;
  std::vector<MapConvolution> layers, adapters;
  std::vector<std::pair<Tensor, Tensor>> norms;
  MapConvolution last;
};

class Detr : public nn::Model {
 public:
  Detr(const Json& json, const Weights& weights) : json_(json), kind_(nn::head_kind(json)), c_(json) {
    const bool masks = kind_ == HeadKind::image_segmentation;
    const Weights with_heads = masks ? weights / "detr" : weights, w = with_heads / "model";
    backbone_.emplace(json, c_.num_channels, w / "backbone" / "conv_encoder" / "model");
    projection_ = MapConvolution(w, "input_projection", backbone_->channels(backbone_->stages.size() - 1), c_.d_model, 1, c_.init());
    queries_ = (w / "query_position_embeddings").tensor("weight", {c_.num_queries, c_.d_model}, c_.init());
    if (c_.learned_positions) {
      const Weights places = w / "backbone" / "position_embedding";
      rows_ = (places / "row_embeddings").tensor("weight", {kLearnedPlaces, c_.d_model / 2}, c_.init());
      columns_ = (places / "column_embeddings").tensor("weight", {kLearnedPlaces, c_.d_model / 2}, c_.init());
    }
    for (int64_t i = 0; i < c_.encoder_layers; ++i) encoder_.emplace_back(c_, w / "encoder" / "layers" / i);
    for (int64_t i = 0; i < c_.decoder_layers; ++i) decoder_.emplace_back(c_, w / "decoder" / "layers" / i);
    norm_ = nn::LayerNorm(w / "decoder", "layernorm", c_.d_model, kDetrEps);
    if (kind_ == HeadKind::bare) return;
    classes_ = nn::Linear(with_heads, "class_labels_classifier", c_.d_model, nn::label_count(json) + 1, c_.init());
    boxes_.emplace(with_heads / "bbox_predictor", c_.d_model, 4, c_.init());
    if (masks) masks_.emplace(c_, *backbone_, weights);
  }

  HeadKind kind() const override { return kind_; }

  // Inputs: pixel_values [B,C,H,W], pixel_mask [B,H,W]; labels.I.class_labels [n], labels.I.boxes [n,4], labels.I.masks [n,H,W].
  // Outputs: last_hidden_state [B,Q,C], encoder_last_hidden_state [B,h*w,C], hidden states of both; logits [B,Q,L+1], pred_boxes
  // [B,Q,4], pred_masks [B,Q,h',w'], loss.
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"pixel_values", "pixel_mask", "labels.*"});
    const Tensor pixels = in.floats("pixel_values", {-1, c_.num_channels, -1, -1});
    const int64_t images = pixels.size(0), c = c_.d_model;
    const Shape size{images, pixels.size(2), pixels.size(3)};
    const std::vector<Tensor> maps = backbone_->forward(pixels);
    const Tensor map = projection_.same(maps.back());
    const int64_t height = map.size(2), width = map.size(3);
    const std::vector<uint8_t> mask = resized(in.mask("pixel_mask", size), size, height, width);
    const Tensor at = c_.learned_positions ? learned_places(images, height, width) : sine_places(mask, images, height, width, c);
    nn::NamedTensors out;
    const auto note = [&](const char* which, size_t i, const Tensor& rows) {
      if (options.hidden_states) out[std::string(which) + "_hidden_states." + std::to_string(i)] = reshape(rows, {images, rows.size(0) / images, c});
    };
    Tensor memory = nn::dropout(map_rows(map), c_.dropout);
    note("encoder", 0, memory);
    for (size_t i = 0; i < encoder_.size(); ++i) {
      if (nn::skips_layer(c_.encoder_layerdrop)) continue;
      memory = nn::recomputed([&layer = encoder_[i], images, mask](const std::vector<Tensor>& t) { return layer.forward(t[0], t[1], images, mask); }, {memory, at});
      note("encoder", i + 1, memory);
    }
    const Tensor query_places = reshape(expand(unsqueeze(queries_, 0), {images, c_.num_queries, c}), {images * c_.num_queries, c}), memory_at = memory + at;
    Tensor x = Tensor::zeros({images * c_.num_queries, c});
    std::vector<Tensor> steps;
    for (size_t i = 0; i < decoder_.size(); ++i) {
      note("decoder", i, x);
      if (nn::skips_layer(c_.decoder_layerdrop)) continue;
      x = nn::recomputed([&layer = decoder_[i], images, mask](const std::vector<Tensor>& t) { return layer.forward(t[0], t[1], t[2], t[3], images, mask); },
                         {x, query_places, memory, memory_at});
      // With auxiliary_loss the reference goes on with the normed rows.
      if (c_.auxiliary_loss) steps.push_back(x = norm_(x));
    }
    x = norm_(x);
    note("decoder", decoder_.size(), x);
    const auto rows_of = [&](const Tensor& rows) { return reshape(rows, {images, rows.size(0) / images, rows.size(1)}); };
    out["encoder_last_hidden_state"] = rows_of(memory);
    out["last_hidden_state"] = rows_of(x);
    if (!boxes_) return out;
    out["logits"] = rows_of(classes_(x));
    out["pred_boxes"] = rows_of(sigmoid((*boxes_)(x)));
    if (masks_) out["pred_masks"] = masks_->forward(x, memory, mask, map, maps);
    if (in.has("labels.0.class_labels")) out["loss"] = loss(in, out, steps, images);
    return out;
  }

 private:
  Tensor learned_places(int64_t images, int64_t height, int64_t width) const {
    require(height <= kLearnedPlaces && width <= kLearnedPlaces, "forward: a map of {}x{}, learned positions reach {}; give a smaller picture", height, width, kLearnedPlaces);
    const int64_t half = c_.d_model / 2;
    const Tensor across = expand(reshape(narrow(columns_, 0, 0, width), {1, 1, width, half}), {images, height, width, half}),
                 down = expand(reshape(narrow(rows_, 0, 0, height), {1, height, 1, half}), {images, height, width, half});
    return reshape(cat({across, down}, 3), {images * height * width, c_.d_model});
  }

  Tensor loss(const nn::Inputs& in, const nn::NamedTensors& out, const std::vector<Tensor>& steps, int64_t images) const {
    const std::vector<nn::Objects> objects = nn::read_objects(in, images, nn::label_count(json_), masks_.has_value());
    nn::Matches matches;
    Tensor total = nn::detection_loss(json_, out.at("logits"), out.at("pred_boxes"), objects, &matches);
    if (masks_) total = total + nn::mask_loss(json_, out.at("pred_masks"), objects, matches);
    for (size_t i = 0; i + 1 < steps.size(); ++i) {
      const Tensor logits = classes_(steps[i]), boxes = sigmoid((*boxes_)(steps[i]));
      total = total + nn::detection_loss(json_, reshape(logits, {images, c_.num_queries, logits.size(1)}), reshape(boxes, {images, c_.num_queries, 4}), objects);
    }
    return total;
  }

  const Json json_;
  HeadKind kind_;
  DetrConfig c_;
  std::optional<DetrBackbone> backbone_;
  MapConvolution projection_;
  Tensor queries_, rows_, columns_;
  std::vector<EncoderLayer> encoder_;
  std::vector<DecoderLayer> decoder_;
  nn::LayerNorm norm_;
  nn::Linear classes_;
  std::optional<BoxPredictor> boxes_;
  std::optional<MaskHead> masks_;
};

std::unique_ptr<nn::Model> make_detr(const Json& config, const Weights& weights) { return std::make_unique<Detr>(config, weights); }

}  // namespace

extern const ModelEntry model_detr{
    "detr", {"DetrForObjectDetection", "DetrForSegmentation", "DetrModel"}, make_detr, "model.", {".num_batches_tracked"}, {}};

}  // namespace mynah
