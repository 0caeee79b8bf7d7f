// The embeddings and the stack of post-norm layers of BERT, shared by the families whose layers differ in names only (RoBERTa,
// DistilBERT, ALBERT, MPNet, ELECTRA ...). Paper: arXiv:1810.04805. Shapes: N tokens of all sequences, C hidden, H heads, D head size.
#pragma once
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct BertConfig {
  enum class Positions { absolute, relative_key, relative_key_query };

  // BERT's keys and defaults. Throws failure for one with is_decoder, unless a decoder is what is made.
  explicit BertConfig(const Json& c, bool may_decode = false);

  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_position_embeddings, type_vocab_size;
  int32_t pad_token_id;
  float layer_norm_eps, initializer_range, hidden_dropout_prob, attention_probs_dropout_prob;
  Activation hidden_act;
  bool drops_attention_output = true, drops_output = true;  // whether a layer's two parts are dropped before their sums
  bool trains_positions = true;  // the table of positions
  Positions position_embedding_type;  // relative ones: arXiv:1803.02155, arXiv:2009.13658
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

// Sum of word, position and token type embeddings, then a layer norm. Without token types in the batch every type is 0.
struct BertEmbeddings {
  // `width`: of the tables, where it differs from hidden_size. Rows of pad_token_id get no gradient in the word table, and rows of
  // `position_padding` in the position table (-1: none). type_vocab_size 0: no token types.
  BertEmbeddings(const BertConfig& c, const nn::Weights& w, int64_t width, int32_t position_padding = -1);
  Tensor forward(const nn::TokenBatch& batch) const;

  nn::Matrix word;
  Tensor position, token_type;
  nn::LayerNorm norm;
  int32_t padding_id, position_padding;
  bool absolute;
  float drop;
};

// Names of a layer's weights below the layer.
struct BertLayerNames {
  const char *query, *key, *value, *attention_out, *attention_norm, *intermediate, *output, *output_norm, *distance;
};
inline constexpr BertLayerNames kBertLayer = {
    "attention.self.query",   "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense", "output.dense",       "output.LayerNorm",     "attention.self.distance_embedding"};

// What a decoder's layers do beside an encoder's.
struct BertDecoding {
  bool causal = false;
  int64_t memory_size = 0;  // > 0: they also attend to an encoder's rows [M, memory_size]
};

// Attention to an encoder's rows: the queries' own linear map, keys and values [M,H,D], the way back and its norm.
struct BertCross {
  BertCross(const BertConfig& c, const nn::Weights& w, int64_t memory_size);
  std::pair<Tensor, Tensor> keys_values(const Tensor& rows) const;
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer) const;

  int64_t heads, head_dim;
  float drop, attention_drop;
  nn::Linear query;
  nn::JoinedLinear key_value;
  nn::Linear out;
  nn::LayerNorm norm;
};

struct BertLayer {
  BertLayer(const BertConfig& c, const nn::Weights& w, const BertLayerNames& names, const BertDecoding& decoding = {});
  // `attention`: what the family adds to the scores; `bias` makes it from the layer's queries, which it may
  // change, and keys [N,H,D], as [S,H,T,T].
  using Bias = std::function<Tensor(Tensor& q, const Tensor& k)>;
  // x [N,C] -> [N,C]; or, where `is_last`, the rows of it that the batch says are read.
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer, const AttentionConfig& attention = {}, const Bias& bias = {}, bool is_last = false) const;

  int64_t heads, head_dim;
  float drop, output_drop, attention_drop;
  nn::JoinedLinear qkv;
  nn::Linear attention_out;
  nn::LayerNorm attention_norm;
  nn::Linear intermediate, output;
  nn::LayerNorm output_norm;
  Activation act;
  Tensor distance;             // [2 max_position_embeddings - 1, D], undefined without relative positions
  bool key_distance = false;   // relative_key_query
  float distance_scale = 0;    // of the scores that distances make
  bool causal = false;
  std::optional<BertCross> cross;

 private:
  Tensor distance_scores(const Tensor& q, const Tensor& k, const nn::TokenBatch& batch) const;
};

struct BertStack {
  BertStack(const BertConfig& c, const nn::Weights& w, const BertLayerNames& names = kBertLayer, const BertDecoding& decoding = {});
  // x [N,C] -> [N,C], or without `states` the rows that are read; with `states`, appends x and each layer's output.
  Tensor forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states, const AttentionConfig& attention = {}) const;

  std::vector<BertLayer> layers;
};

}  // namespace mynah
