// BERT's layers as a decoder that writes text (BertLMHeadModel, BLIP's text decoder): causal, and attending to an
// encoder's rows.
#pragma once
#include "models/bert_encoder.h"
#include "nn/causal_lm.h"

namespace mynah {

class BertDecoder : public nn::CausalLM {
 public:
  BertDecoder(const Json& json, const BertConfig& c, const nn::Weights& w, const BertFamily& family,
              const BertDecoding& decoding);

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return stack_.forward(embeddings_.forward(batch), batch, states);
  }
  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  void remember(const Tensor& rows, nn::Cache* memory) const override;
  nn::CacheShape cache_shape() const override {
    return {static_cast<int>(c_.num_hidden_layers), c_.num_attention_heads, c_.hidden_size / c_.num_attention_heads};
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.max_position_embeddings; }
  bool sees_ahead() const override { return !causal_; }
  bool packs() const override { return false; }

 private:
  BertConfig c_;
  bool causal_;
  BertEmbeddings embeddings_;
  BertStack stack_;
  MaskedLmHead head_;
};

}  // namespace mynah
