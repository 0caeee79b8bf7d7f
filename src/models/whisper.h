// Whisper's network, for the files that build on it (whisper.cpp, its decoding). Paper: arXiv:2212.04356. Shapes: B sounds, F frames of
// their log-mel features, S = F / 2 encoder rows of each, N rows of all, C hidden (d_model).
#pragma once
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/bart_layers.h"
#include "nn/decoding.h"
#include "nn/inputs.h"
#include "nn/seq2seq_lm.h"
#include "nn/spec_augment.h"

namespace mynah {

// config.json with BART's names for what Whisper calls otherwise.
Json whisper_config(const Json& config);
extern const BartFamily kWhisperFamily;

// Two convolutions, then BART's layers over rows with fixed positions.
struct WhisperEncoder {
  WhisperEncoder(const Json& config, const BartConfig& c, const nn::Weights& w);
  int64_t frames() const { return 2 * position.size(0); }  // that it reads, no more and no fewer
  int64_t mels() const { return conv1.size(1); }
  // [B,mels,frames] -> rows [B * S,C]; with `states`, appends what enters the first layer and each layer's output.
  Tensor forward(const Tensor& features, DType precision, std::vector<Tensor>* states) const;

  Tensor conv1, bias1, conv2, bias2;
  Tensor position;  // [S,C], not trained
  std::vector<BartLayer> layers;
  nn::LayerNorm last_norm;
  float drop, layer_drop;
};

class Whisper : public nn::Seq2SeqLM {
 public:
  Whisper(const Json& json, const nn::Weights& w);

  std::string_view medium() const override { return "input_features"; }
  // input_features [B,mels,frames]; an attention_mask is read by SpecAugment alone, as in the reference.
  nn::Encoded encode_media(const nn::NamedTensors& media, std::vector<Tensor>* states) const override;
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override { return decoder_.forward(batch, states); }
  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  void remember(const Tensor& rows, nn::Cache* memory) const override;

  nn::CacheShape cache_shape() const override;
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.max_position_embeddings; }
  const nn::Decoding* decoding() const override { return decoding_.get(); }

  const WhisperEncoder& encoder() const { return encoder_; }
  // Logits [V] after tokens[at], for a sound that `source` remembers.
  Tensor logits_after(std::span<const int32_t> tokens, int64_t at, const nn::Cache& source) const;
  // How much each of T tokens attends to each of S encoder rows [S,C], by some (layer, head): [heads,T,S].
  Tensor attention_to_sound(std::span<const int32_t> tokens, const Tensor& rows, std::span<const std::pair<int64_t, int64_t>> heads) const;
  int64_t median_filter_width() const { return median_filter_width_; }

 private:
  // The features without what SpecAugment hides of them while training: moments and channels become 0.
  Tensor augmented(const Tensor& features, const nn::Inputs& in) const;

  BartConfig c_;
  WhisperEncoder encoder_;
  BartStack decoder_;
  nn::Matrix head_;
  nn::SpecAugment augment_;
  int64_t median_filter_width_;
  std::unique_ptr<nn::Decoding> decoding_;
};

}  // namespace mynah
