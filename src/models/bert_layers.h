// The embeddings and the stack of post-norm layers of BERT, shared by families that keep BERT's names (RoBERTa, ELECTRA ...).
// Paper: arXiv:1810.04805. Shapes: N tokens of all sequences, C hidden, H heads, D head size.
#pragma once
#include <string_view>
#include <vector>

#include "base/json.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct BertConfig {
  explicit BertConfig(const Json& c, double default_eps = 1e-12);

  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_position_embeddings, type_vocab_size;
  int32_t pad_token_id;
  float layer_norm_eps, initializer_range;
  Activation hidden_act;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

// Sum of word, position and token type embeddings, then a layer norm. Without token types in the batch every type is 0.
struct BertEmbeddings {
  // `width`: of the tables, where it differs from hidden_size. Rows of `padding_id` get no gradient in the word table, and
  // `position_padding` in the position table (-1: none).
  BertEmbeddings(const BertConfig& c, const nn::Weights& w, int64_t width, int32_t position_padding = -1);
  Tensor forward(const nn::TokenBatch& batch) const;

  nn::Matrix word;
  Tensor position, token_type;
  nn::LayerNorm norm;
  int32_t padding_id, position_padding;
};

struct BertLayer {
  BertLayer(const BertConfig& c, const nn::Weights& w);
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer) const;

  int64_t heads, head_dim;
  nn::JoinedLinear qkv;
  nn::Linear attention_out;
  nn::LayerNorm attention_norm;
  nn::Linear intermediate, output;
  nn::LayerNorm output_norm;
  Activation act;
};

struct BertStack {
  BertStack(const BertConfig& c, const nn::Weights& w);
  // x [N,C] -> [N,C]; with `states`, appends x and each layer's output.
  Tensor forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states) const;

  std::vector<BertLayer> layers;
};

}  // namespace mynah
