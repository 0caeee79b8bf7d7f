// Whisper: log-mel windows of 30 seconds to text. Paper: arXiv:2212.04356. BART's layers with norms first, keys without a bias, an
// encoder that begins with two convolutions and fixed positions; scale_embedding is read by nobody, as in the reference.
#include "models/whisper.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/whisper_decoding.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/losses.h"
#include "nn/recompute.h"

namespace mynah {

using nn::HeadKind;
using nn::Init;
using nn::NamedTensors;
using nn::Weights;

const BartFamily kWhisperFamily = {.norm_first = true, .norm_embedding = false, .pad_token_id = 50256, .decoder_start_token_id = 50257,
                                   .unused_positions = 0, .key_bias = false, .head = "proj_out", .dropout = 0};

Json whisper_config(const Json& config) {
  Json c = config;
  c["max_position_embeddings"] = nn::config_int(config, "max_target_positions", 448);
  c["scale_embedding"] = false;
  for (const auto& [name, value] : {std::pair{"vocab_size", 51865}, {"d_model", 384}, {"encoder_layers", 4}, {"decoder_layers", 4}, {"encoder_attention_heads", 6},
                                    {"decoder_attention_heads", 6}, {"encoder_ffn_dim", 1536}, {"decoder_ffn_dim", 1536}})
    if (!c.contains(name)) c[name] = value;
  return c;
}

WhisperEncoder::WhisperEncoder(const Json& config, const BartConfig& c, const Weights& w) : drop(c.dropout), layer_drop(c.encoder_layerdrop) {
  const int64_t mels = nn::config_int(config, "num_mel_bins", 80);
  conv1 = (w / "conv1").tensor("weight", {c.d_model, mels, 3}, c.init());
  bias1 = (w / "conv1").tensor("bias", {c.d_model}, Init::zeros());
  conv2 = (w / "conv2").tensor("weight", {c.d_model, c.d_model, 3}, c.init());
  bias2 = (w / "conv2").tensor("bias", {c.d_model}, Init::zeros());
  position = w.buffer("embed_positions.weight", {nn::config_int(config, "max_source_positions", 1500), c.d_model}, c.init());
  for (int64_t i = 0; i < c.encoder_layers; ++i) layers.emplace_back(c, w / "layers" / i, false, false);
  last_norm = nn::LayerNorm(w, "layer_norm", c.d_model, 1e-5f);
}

Tensor WhisperEncoder::forward(const Tensor& features, DType precision, std::vector<Tensor>* states) const {
  const Tensor low = activate(conv1d(features, conv1, bias1, 1, 1), Activation::gelu);
  const Tensor x_BCS = activate(conv1d(low, conv2, bias2, 2, 1), Activation::gelu);
  const Tensor x_BSC = transpose(x_BCS, 1, 2) + position;
  const int64_t count = x_BSC.size(0), rows = x_BSC.size(1);
  nn::TokenBatch batch;
  batch.lengths.assign(static_cast<size_t>(count), rows);
  batch.precision = precision;
  Tensor x = nn::dropout(reshape(x_BSC, {count * rows, x_BSC.size(2)}), drop);
  for (const BartLayer& layer : layers) {
    if (states) states->push_back(x);
    if (nn::skips_layer(layer_drop)) continue;
    x = nn::layer(x, {}, batch, [&layer](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b, 0); });
  }
  x = last_norm(x);
  if (states) states->push_back(x);
  return x;
}

namespace {

// The one window that the encoder reads.
Tensor window_of(const nn::Inputs& in, const WhisperEncoder& encoder) { return in.floats("input_features", {-1, encoder.mels(), encoder.frames()}); }

}  // namespace

Whisper::Whisper(const Json& json, const Weights& w)
    : Seq2SeqLM(json),
      c_(whisper_config(json), kWhisperFamily),
      encoder_(json, c_, w / "model" / "encoder"),
      decoder_(c_, w / "model" / "decoder", w.matrix(w.has("model.decoder.embed_tokens.weight") ? "model.decoder.embed_tokens" : "proj_out", c_.vocab_size, c_.d_model, c_.init()),
               true, true),
      head_(decoder_.words),
      augment_(json, false),
      median_filter_width_(nn::config_int(json, "median_filter_width", 7, 1, 1001)),
      decoding_(kind() == HeadKind::seq2seq_lm ? make_whisper_decoding(*this) : nullptr) {
  pad_ = c_.pad_token_id;
  if (decoder_start_ < 0) decoder_start_ = static_cast<int32_t>(kWhisperFamily.decoder_start_token_id);
  if (kind() == HeadKind::seq2seq_lm && !c_.tie_word_embeddings && w.has("proj_out.weight")) head_ = w.matrix("proj_out", c_.vocab_size, c_.d_model, c_.init());
}

nn::Encoded Whisper::encode_media(const NamedTensors& media, std::vector<Tensor>* states) const {
  const nn::Inputs in(media, {"input_features", "attention_mask"});
  const Tensor features = augmented(window_of(in, encoder_), in);
  return {encoder_.forward(features, attention_type(), states), std::vector<int64_t>(static_cast<size_t>(features.size(0)), encoder_.frames() / 2), {}};
}

Tensor Whisper::augmented(const Tensor& features, const nn::Inputs& in) const {
  const int64_t sounds = features.size(0), mels = features.size(1), frames = features.size(2);
  std::vector<int64_t> lengths(static_cast<size_t>(sounds), frames);
  if (const auto mask = in.mask("attention_mask", {sounds, frames}); nn::training() && !mask.empty())
    for (int64_t b = 0; b < sounds; ++b) lengths[static_cast<size_t>(b)] = std::count(mask.begin() + b * frames, mask.begin() + (b + 1) * frames, uint8_t{1});
  const auto moments = augment_.hidden_moments(frames, lengths), channels = augment_.hidden_features(sounds, mels);
  if (moments.empty() && channels.empty()) return features;
  Tensor kept = Tensor::full(features.shape(), 1);
  float* at = kept.data<float>();
  for (int64_t b = 0; b < sounds; ++b)
    for (int64_t m = 0; m < mels; ++m)
      for (int64_t t = 0; t < frames; ++t, ++at)
        if ((!moments.empty() && moments[static_cast<size_t>(b * frames + t)]) || (!channels.empty() && channels[static_cast<size_t>(b * mels + m)])) *at = 0;
  return features * kept;
}

void Whisper::remember(const Tensor& rows, nn::Cache* memory) const {
  for (size_t i = 0; i < decoder_.layers.size(); ++i) {
    const auto [k, v] = decoder_.layers[i].cross->keys_values(rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

namespace {

nn::TokenBatch one_sequence(std::span<const int32_t> tokens, DType precision) {
  nn::TokenBatch batch;
  batch.ids.assign(tokens.begin(), tokens.end());
  for (size_t i = 0; i < tokens.size(); ++i) batch.positions.push_back(static_cast<int32_t>(i));
  batch.lengths = {static_cast<int64_t>(tokens.size())};
  batch.precision = precision;
  return batch;
}

}  // namespace

Tensor Whisper::logits_after(std::span<const int32_t> tokens, int64_t at, const nn::Cache& source) const {
  nn::TokenBatch batch = one_sequence(tokens.subspan(0, static_cast<size_t>(at) + 1), attention_type());
  batch.memory_caches = {&source};
  return reshape(head(narrow(body(batch, nullptr), 0, at, 1)), {vocabulary_size()});
}

Tensor Whisper::attention_to_sound(std::span<const int32_t> tokens, const Tensor& rows, std::span<const std::pair<int64_t, int64_t>> heads) const {
  nn::TokenBatch batch = one_sequence(tokens, attention_type());
  batch.memory = rows;
  batch.memory_lengths = {rows.size(0)};
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<Tensor> weights(heads.size());
  Tensor x = decoder_.embed(batch);
  for (size_t i = 0; i < decoder_.layers.size(); ++i) {
    Tensor queries;
    const BartLayer& layer = decoder_.layers[i];
    x = layer.forward(x, batch, static_cast<int>(i), &queries);
    Tensor scores;  // [1,H,T,S]
    for (size_t n = 0; n < heads.size(); ++n) {
      if (heads[n].first != static_cast<int64_t>(i)) continue;
      require(heads[n].second < layer.cross->heads, "generation_config.json: alignment_heads name head {} of {}", heads[n].second, layer.cross->heads);
      if (!scores.defined()) scores = nn::pair_scores(queries, layer.cross->keys_values(rows).first, 1, 1 / std::sqrt(static_cast<float>(queries.size(2))));
      weights[n] = softmax(reshape(select(scores, 1, heads[n].second), {1, count, rows.size(0)}));
    }
  }
  for (size_t n = 0; n < heads.size(); ++n)
    require(weights[n].defined(), "generation_config.json: alignment_heads name layer {} of {}", heads[n].first, decoder_.layers.size());
  return contiguous(cat(weights, 0));
}

nn::CacheShape Whisper::cache_shape() const { return {static_cast<int>(c_.decoder_layers), c_.decoder_attention_heads, c_.d_model / c_.decoder_attention_heads}; }

namespace {

// WhisperForAudioClassification: the encoder, a projection of every row and a classifier of their mean.
class WhisperClassifier : public nn::Model {
 public:
  WhisperClassifier(const Json& json, const Weights& w)
      : c_(whisper_config(json), kWhisperFamily), encoder_(json, c_, w / "encoder") {
    const int64_t width = nn::config_int(json, "classifier_proj_size", 256);
    if (nn::config_bool(json, "use_weighted_layer_sum", false)) layer_weights_ = w.tensor("layer_weights", {c_.encoder_layers + 1}, Init::ones());
    projector_ = nn::Linear(w, "projector", c_.d_model, width, c_.init());
    classifier_ = nn::Linear(w, "classifier", width, nn::label_count(json), c_.init());
  }
  HeadKind kind() const override { return HeadKind::sequence_classification; }

  // Inputs: input_features [B,mels,frames], labels [B]. Outputs: logits [B,L], loss, hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"input_features", "labels"});
    const Tensor features = window_of(in, encoder_);
    const int64_t count = features.size(0), rows = encoder_.frames() / 2;
    std::vector<Tensor> states;
    Tensor hidden = encoder_.forward(features, attention_type(), options.hidden_states || layer_weights_.defined() ? &states : nullptr);
    if (layer_weights_.defined()) {
      const Tensor weights = softmax(layer_weights_);
      hidden = states[0] * select(weights, 0, 0);
      for (size_t i = 1; i < states.size(); ++i) hidden = hidden + states[i] * select(weights, 0, static_cast<int64_t>(i));
    }
    const auto by_row = [&](const Tensor& x) { return reshape(x, {count, rows, x.size(1)}); };
    NamedTensors out;
    out["logits"] = classifier_(mean(by_row(projector_(hidden)), 1));
    if (in.has("labels")) out["loss"] = nn::token_loss(out["logits"], in.integers("labels", {count}));
    for (size_t i = 0; options.hidden_states && i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = by_row(states[i]);
    return out;
  }

 private:
  BartConfig c_;
  WhisperEncoder encoder_;
  Tensor layer_weights_;
  nn::Linear projector_, classifier_;
};

std::unique_ptr<nn::Model> make_whisper(const Json& config, const Weights& weights) {
  switch (nn::head_kind(config)) {
    case HeadKind::sequence_classification: return std::make_unique<WhisperClassifier>(config, weights);
    case HeadKind::causal_lm: return std::make_unique<BartDecoder>(whisper_config(config), weights, kWhisperFamily);
    default: return std::make_unique<Whisper>(config, weights);
  }
}

}  // namespace

extern const ModelEntry model_whisper{
    "whisper", {"WhisperForConditionalGeneration", "WhisperModel", "WhisperForAudioClassification", "WhisperForCausalLM"}, make_whisper, "model.", {}, {}};

}  // namespace mynah
