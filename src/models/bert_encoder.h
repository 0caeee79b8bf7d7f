// BERT and its relatives as whole models: the embeddings and layers of bert_layers.h and the heads, which compute alike and differ
// in the names of their weights and in an activation.
#pragma once
#include <optional>
#include <string>

#include "models/bert_layers.h"
#include "nn/encoder_model.h"

namespace mynah {

// A transform (linear map, activation, layer norm) and the vocabulary's logits.
struct MaskedLmHead {
  struct Names {
    std::string dense, norm, decoder, bias;  // bias: the full name of the logits' bias; decoder: without ".weight"
  };
  MaskedLmHead() = default;
  // `word`: the embedding [V, width], which is the decoder unless the config unties it and the file holds another.
  MaskedLmHead(const Json& json, const nn::Weights& w, const Names& names, int64_t hidden, const nn::Matrix& word, Activation act, float eps, nn::Init init);
  Tensor operator()(const Tensor& hidden) const;

  nn::Linear dense;
  nn::LayerNorm norm;
  Activation act;
  nn::Matrix decoder;
  Tensor bias;
};

// A sequence's logits from its first token: a dense layer with its activation, then the output.
struct FirstTokenHead {
  std::string dense;
  Activation act = Activation::tanh;
  std::string out = "classifier";
  // Keys of the dropout before `dense` ("": as before `out`; null: none), and of that before `out` (null: the classifiers' in general).
  const char *dense_dropout = nullptr, *out_dropout = nullptr;
};

struct BertHeadNames {
  std::string pooler;                             // of the bare model, with tanh; empty: none
  MaskedLmHead::Names masked_lm;
  std::optional<Activation> masked_lm_act;        // none: hidden_act
  FirstTokenHead sequences, choices;
  std::string relationship;                       // of two sentences, read by the pooler; empty: no such head
  std::string relationship_output = "seq_relationship_logits";
  bool drops_relationship = false;
};

class BertHeads {
 public:
  BertHeads(const BertConfig& c, const Json& json, const nn::Weights& w, const BertHeadNames& names, const nn::Matrix& word);
  nn::EncoderModel::Outputs operator()(const Tensor& hidden, const nn::TokenBatch& batch) const;

 private:
  nn::HeadKind kind_;
  MaskedLmHead masked_lm_;
  nn::Linear dense_, out_;
  Activation act_ = Activation::tanh;
  std::string relationship_output_;
  float drop_, dense_drop_;  // before the output of classifiers, before the dense map of those that read the first token
};

// What a family calls its parts.
struct BertFamily {
  std::string base;                               // "bert"
  std::string stack = "encoder";                  // below the base
  BertLayerNames layer = kBertLayer;
  BertHeadNames heads;
  bool positions_after_padding = false;           // RoBERTa's positions
};

class BertEncoder : public nn::EncoderModel {
 public:
  // `width`: of the embeddings, 0: hidden_size.
  BertEncoder(const Json& json, const BertConfig& c, const nn::Weights& w, const BertFamily& family, int64_t width = 0);

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return stack_.forward(embeddings_.forward(batch), batch, states);
  }
  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override { return heads_(hidden, batch); }
  bool reads_first_tokens() const override {
    return kind() == nn::HeadKind::sequence_classification || kind() == nn::HeadKind::multiple_choice || kind() == nn::HeadKind::next_sentence;
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  std::vector<int32_t> positions(const std::vector<int32_t>& ids, int64_t rows, int64_t length) const override;

  BertConfig c_;
  BertEmbeddings embeddings_;
  BertStack stack_;
  BertHeads heads_;

 private:
  bool positions_after_padding_;
};

}  // namespace mynah
