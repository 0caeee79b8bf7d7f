#include "models/speecht5_layers.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::speecht5 {

Config::Config(const Json& c)
    : SoundFeatureConfig(c),
      vocab_size(nn::config_int(c, "vocab_size", 81)),
      hidden_size(nn::config_int(c, "hidden_size", 768)),
      encoder_layers(nn::config_int(c, "encoder_layers", 12, 1, 10000)),
      encoder_attention_heads(nn::config_int(c, "encoder_attention_heads", 12, 1, 100000)),
      encoder_ffn_dim(nn::config_int(c, "encoder_ffn_dim", 3072)),
      decoder_layers(nn::config_int(c, "decoder_layers", 6, 1, 10000)),
      decoder_attention_heads(nn::config_int(c, "decoder_attention_heads", 12, 1, 100000)),
      decoder_ffn_dim(nn::config_int(c, "decoder_ffn_dim", 3072)),
      encoder_max_relative_position(nn::config_int(c, "encoder_max_relative_position", 160, 1, 1 << 24)),
      num_mel_bins(nn::config_int(c, "num_mel_bins", 80)),
      speech_decoder_prenet_layers(nn::config_int(c, "speech_decoder_prenet_layers", 2, 1, 1000)),
      speech_decoder_prenet_units(nn::config_int(c, "speech_decoder_prenet_units", 256)),
      speaker_embedding_dim(nn::config_int(c, "speaker_embedding_dim", 512)),
      speech_decoder_postnet_layers(nn::config_int(c, "speech_decoder_postnet_layers", 5, 1, 1000)),
      speech_decoder_postnet_units(nn::config_int(c, "speech_decoder_postnet_units", 256)),
      speech_decoder_postnet_kernel(nn::config_int(c, "speech_decoder_postnet_kernel", 5, 1, 1 << 20)),
      reduction_factor(nn::config_int(c, "reduction_factor", 2, 1, 1000)),
      guided_attention_loss_num_heads(nn::config_int(c, "guided_attention_loss_num_heads", 2)),
      pad_token_id(nn::config_int(c, "pad_token_id", 1, 0)),
      decoder_start_token_id(nn::config_int(c, "decoder_start_token_id", 2, 0)),
      max_text_positions(nn::config_int(c, "max_text_positions", 450)),
      max_speech_positions(nn::config_int(c, "max_speech_positions", 4000)),
      scale_embedding(nn::config_bool(c, "scale_embedding", false)),
      use_guided_attention_loss(nn::config_bool(c, "use_guided_attention_loss", true)),
      hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-5))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      speech_decoder_prenet_dropout(static_cast<float>(nn::config_number(c, "speech_decoder_prenet_dropout", 0.5))),
      guided_attention_loss_sigma(static_cast<float>(nn::config_number(c, "guided_attention_loss_sigma", 0.4))),
      guided_attention_loss_scale(static_cast<float>(nn::config_number(c, "guided_attention_loss_scale", 10.0))) {
  for (const auto& [name, heads] : {std::pair{"encoder_attention_heads", encoder_attention_heads},
                                    {"decoder_attention_heads", decoder_attention_heads}})
    require(hidden_size % heads == 0, "config.json: hidden_size {} is not a multiple of {} {}", hidden_size, name,
            heads);
  require(speech_decoder_postnet_kernel % 2 == 1,
          "config.json: speech_decoder_postnet_kernel is {}, expected an odd number", speech_decoder_postnet_kernel);
  require(speech_decoder_prenet_dropout >= 0 && speech_decoder_prenet_dropout < 1,
          "config.json: speech_decoder_prenet_dropout is {}, expected 0 to below 1", speech_decoder_prenet_dropout);
  require(guided_attention_loss_sigma != 0, "config.json: guided_attention_loss_sigma is 0");
}

Encoder::Layer::Layer(const Config& c, const nn::Weights& w)
    : qkv(w / "attention", {"q_proj", "k_proj", "v_proj"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size},
          c.init()),
      out_proj(w / "attention", "out_proj", c.hidden_size, c.hidden_size, c.init()),
      layer_norm(w, "layer_norm", c.hidden_size, c.layer_norm_eps),
      feed_forward(c, w / "feed_forward", c.encoder_ffn_dim),
      final_layer_norm(w, "final_layer_norm", c.hidden_size, c.layer_norm_eps) {}

Encoder::Encoder(const Config& c, const nn::Weights& w)
    : heads_(c.encoder_attention_heads),
      head_dim_(c.hidden_size / heads_),
      reach_(c.encoder_max_relative_position),
      norm_(w, "layer_norm", c.hidden_size, c.layer_norm_eps),
      distances_((w / "embed_positions").matrix("pe_k", 2 * reach_, head_dim_, c.init())) {
  for (int64_t i = 0; i < c.encoder_layers; ++i) layers_.emplace_back(c, w / "layers" / i);
}

Tensor Encoder::attend(const Layer& layer, const Tensor& rows, const Shape& shape,
                       const std::vector<uint8_t>& mask) const {
  const int64_t n = rows.size(0), length = shape[1], size = heads_ * head_dim_;
  const Tensor all = layer.qkv(rows);
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads_, head_dim_); };
  // The scaled query's product with the embedding of each distance, query place minus key place.
  std::vector<int64_t> columns(static_cast<size_t>(length * length));
  for (int64_t i = 0; i < length; ++i)
    for (int64_t j = 0; j < length; ++j)
      columns[static_cast<size_t>(i * length + j)] = std::clamp(i - j, -reach_, reach_ - 1) + reach_;
  const Tensor q = transpose(reshape(contiguous(part(0)), {shape[0], length, heads_, head_dim_}), 1, 2) *
                   (1 / std::sqrt(static_cast<float>(head_dim_)));
  nn::TokenBatch batch;
  batch.lengths.assign(static_cast<size_t>(shape[0]), length);
  batch.key_mask = mask;
  AttentionConfig config;
  config.causal = false;
  config.bias = gather_columns(distances_(contiguous(q)), columns, length);
  return layer.out_proj(reshape(nn::attend(part(0), part(1), part(2), batch, 0, config), {n, size}));
}

Tensor Encoder::operator()(const Tensor& in, const std::vector<uint8_t>& mask, std::vector<Tensor>* states) const {
  const Shape shape = in.shape();
  Tensor x = reshape(norm_(in), {shape[0] * shape[1], shape[2]});
  for (const Layer& layer : layers_) {
    if (states) states->push_back(reshape(x, shape));
    x = layer.layer_norm(x + attend(layer, x, shape, mask));
    x = layer.final_layer_norm(x + layer.feed_forward(x));
  }
  x = reshape(x, shape);
  if (states) states->push_back(x);
  return x;
}

Decoder::Layer::Layer(const Config& c, const nn::Weights& w)
    : qkv(w / "self_attn", {"q_proj", "k_proj", "v_proj"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size},
          c.init()),
      out_proj(w / "self_attn", "out_proj", c.hidden_size, c.hidden_size, c.init()),
      self_attn_layer_norm(w, "self_attn_layer_norm", c.hidden_size, c.layer_norm_eps),
      q(w / "encoder_attn", "q_proj", c.hidden_size, c.hidden_size, c.init()),
      k(w / "encoder_attn", "k_proj", c.hidden_size, c.hidden_size, c.init()),
      v(w / "encoder_attn", "v_proj", c.hidden_size, c.hidden_size, c.init()),
      cross_out(w / "encoder_attn", "out_proj", c.hidden_size, c.hidden_size, c.init()),
      encoder_attn_layer_norm(w, "encoder_attn_layer_norm", c.hidden_size, c.layer_norm_eps),
      feed_forward(c, w / "feed_forward", c.decoder_ffn_dim),
      final_layer_norm(w, "final_layer_norm", c.hidden_size, c.layer_norm_eps) {}

Decoder::Decoder(const Config& c, const nn::Weights& w)
    : heads_(c.decoder_attention_heads), head_dim_(c.hidden_size / heads_) {
  for (int64_t i = 0; i < c.decoder_layers; ++i) layers_.emplace_back(c, w / "layers" / i);
}

Tensor Decoder::by_head(const Tensor& x) const {
  return contiguous(transpose(reshape(x, {x.size(0), x.size(1), heads_, head_dim_}), 1, 2));
}

Memory Decoder::remember(const Tensor& encoded, const std::vector<uint8_t>& mask) const {
  Memory memory;
  for (const Layer& layer : layers_) {
    memory.keys.push_back(by_head(layer.k(encoded)));
    memory.values.push_back(by_head(layer.v(encoded)));
  }
  if (mask.empty()) return memory;
  memory.hidden = Tensor::zeros({encoded.size(0), 1, 1, encoded.size(1)});
  for (size_t i = 0; i < mask.size(); ++i)
    if (!mask[i]) memory.hidden.data<float>()[i] = -3e38f;
  return memory;
}

Tensor Decoder::operator()(const Tensor& in, const std::vector<uint8_t>& mask, const Memory& memory, nn::Cache* cache,
                           std::vector<Tensor>* states, std::vector<Tensor>* weights) const {
  const Shape shape = in.shape();
  const int64_t n = shape[0] * shape[1], size = heads_ * head_dim_;
  nn::TokenBatch batch;
  batch.lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
  batch.key_mask = mask;
  if (cache) batch.caches = {cache};
  Tensor x = reshape(in, {n, shape[2]});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (states) states->push_back(reshape(x, shape));
    const Tensor all = layer.qkv(x);
    const auto part = [&](int64_t p) { return nn::split_heads(narrow(all, 1, p * size, size), n, heads_, head_dim_); };
    x = layer.self_attn_layer_norm(
        x + layer.out_proj(reshape(nn::attend(part(0), part(1), part(2), batch, static_cast<int>(i), {}), {n, size})));

    const Tensor q = by_head(reshape(layer.q(x), shape)) * (1 / std::sqrt(static_cast<float>(head_dim_)));
    Tensor scores = matmul(q, transpose(memory.keys[i], 2, 3));
    if (memory.hidden.defined()) scores = scores + memory.hidden;
    const Tensor share = softmax(scores);
    if (weights) weights->push_back(share);
    const Tensor seen = reshape(contiguous(transpose(matmul(share, memory.values[i]), 1, 2)), {n, size});
    x = layer.encoder_attn_layer_norm(x + layer.cross_out(seen));
    x = layer.final_layer_norm(x + layer.feed_forward(x));
  }
  x = reshape(x, shape);
  if (states) states->push_back(x);
  return x;
}

std::pair<Tensor, Tensor> Decoder::keys_values(const Layer& layer, const Tensor& rows) const {
  const auto split = [&](const Tensor& x) { return nn::split_heads(x, rows.size(0), heads_, head_dim_); };
  return {split(layer.k(rows)), split(layer.v(rows))};
}

Tensor Decoder::forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
  const int64_t n = x.size(0), size = heads_ * head_dim_;
  AttentionConfig across;
  across.causal = false;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (states) states->push_back(x);
    const Tensor all = layer.qkv(x);
    const auto part = [&](int64_t p) { return nn::split_heads(narrow(all, 1, p * size, size), n, heads_, head_dim_); };
    const Tensor own = nn::attend(part(0), part(1), part(2), batch, static_cast<int>(i), {});
    x = layer.self_attn_layer_norm(x + layer.out_proj(reshape(own, {n, size})));
    const Tensor seen = nn::attend_memory(
        nn::split_heads(layer.q(x), n, heads_, head_dim_), batch, static_cast<int>(i), heads_,
        [&](const Tensor& rows) { return keys_values(layer, rows); }, across);
    x = layer.encoder_attn_layer_norm(x + layer.cross_out(reshape(seen, {n, size})));
    x = layer.final_layer_norm(x + layer.feed_forward(x));
  }
  if (states) states->push_back(x);
  return x;
}

void Decoder::remember_rows(const Tensor& rows, nn::Cache* memory) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto [k, v] = keys_values(layers_[i], rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

}  // namespace mynah::speecht5
