// SpeechT5 that writes down what it hears: Wav2Vec2's convolutions before the encoder, tokens before and behind the
// decoder. Paper: arXiv:2110.07205. Shapes: B sounds, T frames of each, N rows, C hidden.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/speecht5_layers.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/seq2seq_lm.h"
#include "nn/sinusoids.h"

namespace mynah::speecht5 {
namespace {

using nn::NamedTensors;
using nn::Weights;

class SpeechToText : public nn::Seq2SeqLM {
 public:
  SpeechToText(const Json& json, const Weights& w)
      : Seq2SeqLM(json),
        c_(json),
        encoder_(c_, w / "speecht5" / "encoder" / "wrapped_encoder"),
        decoder_(c_, w / "speecht5" / "decoder" / "wrapped_decoder") {
    pad_ = static_cast<int32_t>(c_.pad_token_id);
    decoder_start_ = static_cast<int32_t>(c_.decoder_start_token_id);
    const Weights pre = w / "speecht5" / "encoder" / "prenet", text = w / "speecht5" / "decoder" / "prenet";
    const Weights features = pre / "feature_encoder" / "conv_layers", projection = pre / "feature_projection";
    for (size_t i = 0; i < c_.conv_dim.size(); ++i) features_.emplace_back(c_, features / static_cast<int64_t>(i), i);
    feature_norm_ = nn::LayerNorm(projection, "layer_norm", c_.conv_dim.back(), c_.layer_norm_eps);
    projection_ = nn::Linear(projection, "projection", c_.conv_dim.back(), c_.hidden_size, c_.init());
    require(c_.hidden_size % c_.num_conv_pos_embedding_groups == 0,
            "config.json: hidden_size {} is not a multiple of num_conv_pos_embedding_groups {}", c_.hidden_size,
            c_.num_conv_pos_embedding_groups);
    positions_.emplace(c_, pre / "pos_conv_embed", c_.hidden_size, false);
    tokens_ = text.matrix("embed_tokens", c_.vocab_size, c_.hidden_size, c_.init());
    const Weights post = w / "text_decoder_postnet";
    const bool tied = nn::config_bool(json, "tie_word_embeddings", true) || !post.has("lm_head.weight");
    head_ = tied ? tokens_ : post.matrix("lm_head", c_.vocab_size, c_.hidden_size, c_.init());
  }

  // input_values [B,samples] and, optionally, attention_mask of that shape (tails hidden).
  std::string_view medium() const override { return "input_values"; }
  nn::Encoded encode_media(const NamedTensors& media, std::vector<Tensor>* states) const override {
    const nn::Inputs in(media, {"input_values", "attention_mask"});
    const Tensor samples = in.floats("input_values", {-1, -1});
    const auto mask = in.mask("attention_mask", samples.shape());
    const std::vector<int64_t> lengths = c_.frames_of(samples.shape(), mask);
    Tensor x = unsqueeze(samples, 1);
    for (const SoundFeatureLayer& layer : features_) x = layer.forward(x);
    x = projection_(feature_norm_(transpose(x, 1, 2)));
    x = x + positions_->forward(x);
    const int64_t rows = x.size(0), frames = x.size(1);
    nn::Encoded out;
    out.lengths.assign(static_cast<size_t>(rows), frames);
    std::vector<int32_t> padded;  // 1 for frames that do not count: the reference numbers the frames by this
    for (const int64_t length : lengths)
      for (int64_t t = 0; t < frames; ++t) {
        padded.push_back(t >= length);
        if (!mask.empty()) out.mask.push_back(t < length);
      }
    const auto places = nn::positions_after_padding(padded, rows, frames, pad_);
    x = x + reshape(nn::sinusoids_with_padding(places, c_.hidden_size, pad_), x.shape());
    const auto flat = [&](const Tensor& t) { return reshape(t, {rows * frames, c_.hidden_size}); };
    std::vector<Tensor> own;
    out.rows = flat(encoder_(x, out.mask, states ? &own : nullptr));
    for (const Tensor& state : own) states->push_back(flat(state));
    return out;
  }

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    std::vector<int32_t> places;
    int64_t first = 0;
    for (const int64_t length : batch.lengths) {
      const auto ids = batch.ids.begin() + first;
      const int32_t before = batch.positions[static_cast<size_t>(first)];
      for (const int32_t p : nn::positions_after_padding({ids, ids + length}, 1, length, pad_))
        places.push_back(p == pad_ ? p : p + before);
      first += length;
    }
    const float scale = c_.scale_embedding ? std::sqrt(static_cast<float>(c_.hidden_size)) : 1.0f;
    const Tensor x = tokens_.lookup(batch.ids, pad_) * scale + nn::sinusoids_with_padding(places, c_.hidden_size, pad_);
    return decoder_.forward(x, batch, states);
  }
  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  void remember(const Tensor& rows, nn::Cache* memory) const override { decoder_.remember_rows(rows, memory); }
  nn::CacheShape cache_shape() const override { return decoder_.cache_shape(); }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.max_text_positions; }

 private:
  Config c_;
  std::vector<SoundFeatureLayer> features_;
  nn::LayerNorm feature_norm_;
  nn::Linear projection_;
  std::optional<PositionalConvolution> positions_;
  Encoder encoder_;
  Decoder decoder_;
  nn::Matrix tokens_, head_;
};

}  // namespace

std::unique_ptr<nn::Model> make_speech_to_text(const Json& config, const Weights& w) {
  return std::make_unique<SpeechToText>(config, w);
}

}  // namespace mynah::speecht5
