// The encoder and decoder of BART and the families that differ from it by switches (mBART, Marian, Pegasus, M2M-100, Whisper). Papers:
// arXiv:1910.13461 and those in each family's file. Shapes: N tokens of all sequences, C hidden (d_model), H heads, D head size.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "nn/layers.h"
#include "nn/seq2seq_lm.h"

namespace mynah {

struct BartFamily {
  enum class Positions {
    learned,                  // a table whose first rows (unused_positions) no position uses
    sinusoidal,               // the table of the file, or computed
    sinusoidal_after_padding  // counted behind the padding id; padding has none
  };
  Positions positions = Positions::learned;
  bool norm_first = false;      // layer norms before each part of a layer (else after its residual sum), and one after the last layer
  bool norm_embedding = true;   // a layer norm on the embeddings
  bool rotates_labels = false;  // a decoder input starts with its labels' last token (else with decoder_start_token_id)
  bool decodes_its_input = false;  // without decoder_input_ids and labels the decoder reads input_ids, moved right
  int64_t pad_token_id = 1, decoder_start_token_id = -1, labels = 2;  // where config.json is silent
  bool scale_embedding = false;
  const char* activation_function = "gelu";
  int64_t unused_positions = 2;
  bool key_bias = true;            // of attention's key projection
  const char* head = "lm_head";    // the output matrix, where a file holds one
  int64_t memory_size = 0;         // width of the rows that a decoder alone attends to, where it is not d_model
  bool always_crosses = false;     // a decoder alone has cross-attention without add_cross_attention
  double dropout = 0.1, attention_dropout = 0, layer_dropout = 0;
};

struct BartConfig {
  BartConfig(const Json& c, const BartFamily& family);
  nn::Init init() const { return nn::Init::with_std(init_std); }

  int64_t vocab_size, decoder_vocab_size, d_model, encoder_layers, encoder_attention_heads, encoder_ffn_dim, decoder_layers, decoder_attention_heads,
      decoder_ffn_dim, max_position_embeddings;
  int32_t pad_token_id;
  float init_std, embed_scale;
  // While training: of embeddings and of what each part adds; of attention's weights; behind the activation; of whole layers.
  float dropout, attention_dropout, activation_dropout, encoder_layerdrop, decoder_layerdrop;
  bool tie_word_embeddings, share_encoder_decoder_embeddings;
  Activation activation_function;
  BartFamily family;
};

struct BartAttention {
  BartAttention(const nn::Weights& w, int64_t size, int64_t heads, nn::Init init, bool key_bias, int64_t memory_size = 0);
  Tensor queries(const Tensor& x) const;                          // [N,C] -> [N,H,D]
  std::pair<Tensor, Tensor> keys_values(const Tensor& x) const;   // [N,H,D] each
  Tensor output(const Tensor& attended) const;                    // [N,H,D] -> [N,C]

  int64_t heads, size;
  nn::Linear q;
  nn::JoinedLinear kv;
  nn::Linear out;
};

struct BartLayer {
  BartLayer(const BartConfig& c, const nn::Weights& w, bool decoder, bool crosses);
  // `queries`, if somebody asks: receives those of cross-attention [N,H,D].
  Tensor forward(Tensor x, const nn::TokenBatch& batch, int layer, Tensor* queries = nullptr) const;

  bool norm_first, causal;
  float drop, attention_drop, activation_drop;
  BartAttention self;
  nn::LayerNorm self_norm;
  std::optional<BartAttention> cross;
  nn::LayerNorm cross_norm;
  nn::Linear fc1, fc2;
  nn::LayerNorm ff_norm;
  Activation act;
};

// One of the two stacks, with its embeddings.
struct BartStack {
  // `crosses`: a decoder that reads an encoder's rows.
  BartStack(const BartConfig& c, const nn::Weights& w, nn::Matrix words, bool decoder, bool crosses);
  // Hidden rows [N,C]; `states` as nn::CausalLM::body has them.
  Tensor forward(const nn::TokenBatch& batch, std::vector<Tensor>* states) const;
  // What enters the first layer.
  Tensor embed(const nn::TokenBatch& batch) const;

  int32_t padding_id;
  int64_t unused_positions;
  float embed_scale, drop, layer_drop;
  BartFamily::Positions positions;
  nn::Matrix words;
  Tensor position;  // a table: learned, or one of sinusoids that the file holds
  nn::LayerNorm embedding_norm, last_norm;
  std::vector<BartLayer> layers;

 private:
  Tensor position_rows(const nn::TokenBatch& batch) const;
};

// Conditional generation, the bare model, sequence classification and question answering.
class Bart : public nn::Seq2SeqLM {
 public:
  Bart(const Json& json, const nn::Weights& w, const BartFamily& family);

  Tensor encode(const nn::TokenBatch& source, std::vector<Tensor>* states) const override { return encoder_.forward(source, states); }
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override { return decoder_.forward(batch, states); }
  void remember(const Tensor& rows, nn::Cache* memory) const override;
  Tensor head(const Tensor& hidden) const override;
  std::vector<int32_t> shift_right(const std::vector<int32_t>& labels, int64_t rows, int64_t length) const override;

  nn::CacheShape cache_shape() const override;
  int64_t vocabulary_size() const override { return c_.decoder_vocab_size; }
  int64_t source_vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override;

 protected:
  bool decodes_its_input() const override { return c_.family.decodes_its_input; }

 private:
  BartConfig c_;
  nn::Matrix source_words_, target_words_, head_;
  BartStack encoder_, decoder_;
  std::vector<Tensor> final_logits_bias_;  // one, or none
};

// The decoder alone, as a language model (BartForCausalLM).
class BartDecoder : public nn::CausalLM {
 public:
  BartDecoder(const Json& json, const nn::Weights& w, const BartFamily& family);

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override { return decoder_.forward(batch, states); }
  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  nn::CacheShape cache_shape() const override;
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override;
  bool labels_in_place() const override { return true; }
  void remember(const Tensor& rows, nn::Cache* memory) const override;

 private:
  BartConfig c_;
  BartStack decoder_;
  nn::Matrix head_;
};

}  // namespace mynah
