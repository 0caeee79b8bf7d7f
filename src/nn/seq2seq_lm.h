// Encoder-decoders: an encoder of text, sound or pictures, and a decoder that is a CausalLM whose layers also attend to the encoder's rows.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "nn/causal_lm.h"

namespace mynah::nn {

// What an encoder made of a batch: the rows of its sequences, one sequence after another.
struct Encoded {
  Tensor rows;                   // [N,C]
  std::vector<int64_t> lengths;  // of each sequence; their sum is N
  std::vector<uint8_t> mask;     // [N], 0 hides a row from the decoder; or empty
};

class Decoding;

class Seq2SeqLM : public CausalLM {
 public:
  // Encoder rows [N,C] of text. With `states`, appends the embedding output and each layer's output.
  virtual Tensor encode(const TokenBatch& source, std::vector<Tensor>* states) const;
  // What is encoded in place of input_ids: input_features, pixel_values. Empty: the model reads text.
  virtual std::string_view medium() const { return {}; }
  // Encodes such a tensor [B, ...] with others that belong to it, by the reference's names; each sequence becomes equally many rows.
  // Throws failure naming what is missing, unknown or misshapen. `states` as for text.
  virtual Encoded encode_media(const NamedTensors& media, std::vector<Tensor>* states) const;
  // The family's own way to generate; null: prompts are answered as they are given.
  virtual const Decoding* decoding() const { return nullptr; }
  // Puts keys and values of one sequence's encoder rows [n,C] into a cache that TokenBatch::memory_caches reads, for every layer.
  virtual void remember(const Tensor& rows, Cache* memory) const = 0;
  // The shape of that cache; by default the decoder's own.
  virtual CacheShape memory_shape() const { return cache_shape(); }
  // An empty one.
  Cache new_memory() const { return Cache(typed(memory_shape())); }
  // What the decoder reads for these labels [rows * length]: one further right, -100 as padding. Throws failure if the config
  // does not say what comes first.
  virtual std::vector<int32_t> shift_right(const std::vector<int32_t>& labels, int64_t rows, int64_t length) const;
  // Whether generate() puts the start token before decoder_input_ids that do not begin with it.
  virtual bool starts_prompts() const { return true; }
  // The token that starts an answer; -1 if the config has none.
  int32_t decoder_start() const { return decoder_start_; }
  // Encoder vocabulary, where it is another.
  virtual int64_t source_vocabulary_size() const { return vocabulary_size(); }

  // Inputs: input_ids [B,S] and optional attention_mask, or the medium; decoder_input_ids [B,T] (else made from labels, or from input_ids where the
  // family does that), decoder_attention_mask, labels. Outputs: logits [B,T,V] and loss; a bare model last_hidden_state [B,T,C];
  // encoder_last_hidden_state [B,S,C]; a sequence classifier logits [B,L] of the last end token's decoder row; a question
  // answerer start_logits and end_logits; encoder_hidden_states.N and decoder_hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const override;
  const Seq2SeqLM* seq2seq_lm() const override { return causal_lm() ? this : nullptr; }

 protected:
  explicit Seq2SeqLM(const Json& config);
  // Loads the head of a sequence classifier (classification_head: dense, tanh, out_proj; `labels` where the config names none) or of
  // a question answerer (qa_outputs).
  void load_classifier(const Weights& w, int64_t hidden_size, int64_t labels, Init init);
  // Whether the decoder reads input_ids moved right when neither decoder_input_ids nor labels are given.
  virtual bool decodes_its_input() const { return false; }

  int32_t decoder_start_, pad_;

 private:
  Encoded encode_text(const Inputs& in, TokenBatch* source, std::vector<Tensor>* states) const;
  // Logits [B,L] of the decoder's rows at the end tokens [B,C] (sequence classification), or [n,2] of all rows (question answering).
  Tensor classify(const Tensor& hidden) const;

  Linear dense_, classifier_;
};

}  // namespace mynah::nn
