// DeBERTa v2 and v3. Papers: arXiv:2006.03654, arXiv:2111.09543. BERT's layers with scores that also depend on content and relative
// position apart (disentangled attention): one table of relative embeddings for all layers, distances in logarithmic buckets,
// perhaps a convolution beside the first layer. Shapes: N tokens of all sequences, S sequences, T the longest, R rows of the table.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/losses.h"
#include "nn/recompute.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Weights;

constexpr BertLayerNames kDebertaV2Layer = {"attention.self.query_proj",        "attention.self.key_proj", "attention.self.value_proj", "attention.output.dense",
                                            "attention.output.LayerNorm", "intermediate.dense",      "output.dense",              "output.LayerNorm",
                                            ""};

BertHeadNames heads_of(const Json& c) {
  const Activation act = activation(nn::config_string(c, "pooler_hidden_act", "gelu"));
  const std::string lm = nn::config_bool(c, "legacy", true) ? "cls.predictions" : "lm_predictions.lm_head";
  const std::string transform = nn::config_bool(c, "legacy", true) ? lm + ".transform" : lm;
  return {.pooler = "",
          .masked_lm = {transform + ".dense", transform + ".LayerNorm", "cls.predictions.decoder", lm + ".bias"},
          .masked_lm_act = {},
          .sequences = {.dense = "pooler.dense", .act = act, .dense_dropout = "pooler_dropout", .out_dropout = "cls_dropout"},
          .choices = {.dense = "pooler.dense", .act = act, .dense_dropout = "pooler_dropout", .out_dropout = "cls_dropout"},
          .relationship = ""};
}

// i - j, exact below half of the buckets and logarithmic beyond; 0 buckets: exact everywhere.
int64_t bucket_of(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t middle = buckets / 2, size = std::abs(distance);
  if (buckets <= 0 || size <= middle) return distance;
  // in f32, as the reference computes it: the ceiling of a logarithm decides
  const float share = std::log(static_cast<float>(size) / static_cast<float>(middle)) /
                      std::log(static_cast<float>(static_cast<double>(max_distance - 1) / static_cast<double>(middle)));
  const auto further = static_cast<int64_t>(std::ceil(share * static_cast<float>(middle - 1)));
  return (distance < 0 ? -1 : 1) * (further + middle);
}

struct Settings {
  int64_t buckets, max_distance, span, width, kernel, groups;
  bool relative, c2p = false, p2c = false, shared, norm_table, position_input;
  Activation conv_act;

  Settings(const Json& c, const BertConfig& bert)
      : buckets(std::max<int64_t>(0, nn::config_int(c, "position_buckets", -1, -1))),
        max_distance(nn::config_int(c, "max_relative_positions", -1, -1)),
        width(nn::config_int(c, "embedding_size", bert.hidden_size)),
        kernel(nn::config_int(c, "conv_kernel_size", 0, 0)),
        groups(nn::config_int(c, "conv_groups", 1)),
        relative(nn::config_bool(c, "relative_attention", false)),
        shared(nn::config_bool(c, "share_att_key", false)),
        norm_table(nn::config_string(c, "norm_rel_ebd", "none").find("layer_norm") != std::string::npos),
        position_input(nn::config_bool(c, "position_biased_input", true)),
        conv_act(activation(nn::config_string(c, "conv_act", "tanh"))) {
    if (max_distance < 1) max_distance = bert.max_position_embeddings;
    span = buckets > 0 ? buckets : max_distance;
    // "p2c|c2p" or a list
    const auto it = c.find("pos_att_type");
    const std::string types = it == c.end() || it->is_null() ? "" : it->is_string() ? it->get<std::string>() : it->dump();
    c2p = types.find("c2p") != std::string::npos;
    p2c = types.find("p2c") != std::string::npos;
    require(kernel % 2 == 1 || kernel == 0, "config.json: conv_kernel_size is {}, expected an odd number", kernel);
    require(bert.hidden_size % groups == 0, "config.json: conv_groups {} does not divide hidden_size {}", groups, bert.hidden_size);
  }
};

class DebertaV2 : public nn::EncoderModel {
 public:
  DebertaV2(const Json& json, const Weights& w)
      : EncoderModel(json),
        c_(nn::with_defaults(json, {{"vocab_size", 128100}, {"hidden_size", 1536}, {"num_hidden_layers", 24}, {"num_attention_heads", 24},
                                    {"intermediate_size", 6144}, {"type_vocab_size", 0}, {"layer_norm_eps", 1e-7}})),
        s_(json, c_) {
    const Weights e = w / "deberta" / "embeddings", stack = w / "deberta" / "encoder";
    words_ = e.matrix("word_embeddings", c_.vocab_size, s_.width, c_.init());
    if (s_.position_input) positions_ = e.tensor("position_embeddings.weight", {c_.max_position_embeddings, s_.width}, c_.init());
    if (c_.type_vocab_size > 0) types_ = e.tensor("token_type_embeddings.weight", {c_.type_vocab_size, s_.width}, c_.init());
    if (s_.width != c_.hidden_size) widen_ = nn::Linear(e, "embed_proj", s_.width, c_.hidden_size, c_.init(), false);
    embedding_norm_ = nn::LayerNorm(e, "LayerNorm", c_.hidden_size, c_.layer_norm_eps);
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      const Weights layer = stack / "layer" / i;
      layers_.emplace_back(c_, layer, kDebertaV2Layer);
      if (!s_.relative || s_.shared) continue;
      const Weights self = layer / "attention" / "self";
      pos_key_.push_back(s_.c2p ? nn::Linear(self, "pos_key_proj", c_.hidden_size, c_.hidden_size, c_.init()) : nn::Linear());
      pos_query_.push_back(s_.p2c ? nn::Linear(self, "pos_query_proj", c_.hidden_size, c_.hidden_size, c_.init()) : nn::Linear());
    }
    if (s_.relative) table_ = stack.tensor("rel_embeddings.weight", {2 * s_.span, c_.hidden_size}, c_.init());
    if (s_.norm_table) table_norm_ = nn::LayerNorm(stack, "LayerNorm", c_.hidden_size, c_.layer_norm_eps);
    if (s_.kernel > 0) {
      conv_weight_ = stack.tensor("conv.conv.weight", {c_.hidden_size, c_.hidden_size / s_.groups, s_.kernel}, c_.init());
      conv_bias_ = stack.tensor("conv.conv.bias", {c_.hidden_size}, nn::Init::zeros());
      conv_norm_ = nn::LayerNorm(stack, "conv.LayerNorm", c_.hidden_size, c_.layer_norm_eps);
    }
    heads_.emplace(c_, json, w, heads_of(json), words_);
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override;
  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override { return (*heads_)(hidden, batch); }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  // Float labels without a problem_type are probabilities of one label, not of several: as in the reference.
  Tensor sequence_loss(const Tensor& logits, const nn::Inputs& in) const override {
    const Tensor& labels = in.tensor("labels");
    if (!nn::config_string(config_, "problem_type", "").empty() || logits.size(1) == 1 || labels.rank() != 2 || labels.size(1) == 1)
      return EncoderModel::sequence_loss(logits, in);
    return neg(sum(log_softmax(logits) * in.floats("labels", logits.shape()))) * (1 / static_cast<float>(logits.size(0)));
  }

 private:
  Tensor embed(const nn::TokenBatch& batch) const;
  Tensor scores(size_t layer, const Tensor& q, const Tensor& k, const Tensor& table, const nn::TokenBatch& batch, float scale) const;
  Tensor convolve(const Tensor& x, const Tensor& layer_output, const nn::TokenBatch& batch) const;

  BertConfig c_;
  Settings s_;
  nn::Matrix words_;
  Tensor positions_, types_;
  nn::Linear widen_;
  nn::LayerNorm embedding_norm_;
  std::vector<BertLayer> layers_;
  std::vector<nn::Linear> pos_key_, pos_query_;
  Tensor table_;
  nn::LayerNorm table_norm_;
  Tensor conv_weight_, conv_bias_;
  nn::LayerNorm conv_norm_;
  std::optional<BertHeads> heads_;
};

// 0 where a token is hidden, as a column [N,1]; undefined if none is.
Tensor seen_column(const nn::TokenBatch& batch) {
  if (batch.key_mask.empty()) return {};
  const std::vector<float> mask(batch.key_mask.begin(), batch.key_mask.end());
  return Tensor::from(std::span<const float>(mask), {static_cast<int64_t>(mask.size()), 1});
}

Tensor DebertaV2::embed(const nn::TokenBatch& batch) const {
  Tensor x = words_.lookup(batch.ids, c_.pad_token_id);
  if (positions_.defined()) x = x + embedding(positions_, batch.positions);
  if (types_.defined()) x = x + embedding(types_, batch.token_types.empty() ? std::vector<int32_t>(batch.ids.size(), 0) : batch.token_types);
  if (widen_.defined()) x = widen_(x);
  x = embedding_norm_(x);
  const Tensor seen = seen_column(batch);
  return nn::dropout(seen.defined() ? x * seen : x, c_.hidden_dropout_prob);
}

// What relative positions add to the scores [S,H,T,T]: queries with the table's keys, the table's queries with keys.
Tensor DebertaV2::scores(size_t layer, const Tensor& q, const Tensor& k, const Tensor& positions, const nn::TokenBatch& batch, float scale) const {
  const Tensor table = nn::dropout(positions, c_.hidden_dropout_prob);
  const int64_t size = c_.hidden_size, heads = c_.num_attention_heads, rows = table.size(0), longest = batch.longest();
  const Tensor both = s_.shared ? layers_[layer].qkv(table) : Tensor();  // the table read as queries | keys | values
  const auto by_head = [&](const Tensor& x) { return permute(reshape(x, {rows, heads, size / heads}), std::vector<int>{1, 2, 0}); };  // [H,D,R]
  std::vector<int64_t> columns, mirrored;
  for (int64_t i = 0; i < longest; ++i)
    for (int64_t j = 0; j < longest; ++j) {
      const int64_t bucket = bucket_of(i - j, s_.buckets, s_.max_distance);
      columns.push_back(std::clamp<int64_t>(bucket + s_.span, 0, rows - 1));
      mirrored.push_back(std::clamp<int64_t>(-bucket + s_.span, 0, rows - 1));
    }
  const auto products = [&](const Tensor& x, const Tensor& other, const std::vector<int64_t>& at) {
    const Tensor padded = permute(nn::padded_rows(x, batch), std::vector<int>{2, 0, 1, 3});  // [H,S,T,D]
    const int64_t sequences = padded.size(1);
    const Tensor all = matmul(reshape(padded, {heads, sequences * longest, size / heads}), by_head(other));
    return transpose(gather_columns(reshape(all, {heads, sequences, longest, rows}), at, longest), 0, 1);  // [S,H,T,T]
  };
  Tensor sum;
  if (s_.c2p) sum = products(q, s_.shared ? narrow(both, 1, size, size) : pos_key_[layer](table), columns);
  if (s_.p2c) {
    const Tensor back = transpose(products(k, s_.shared ? narrow(both, 1, 0, size) : pos_query_[layer](table), mirrored), 2, 3);
    sum = sum.defined() ? sum + back : back;
  }
  return sum * scale;
}

// The first layer's output joined by a convolution over its input x [N,C].
Tensor DebertaV2::convolve(const Tensor& x, const Tensor& layer_output, const nn::TokenBatch& batch) const {
  std::vector<Tensor> parts;
  int64_t first = 0;
  const int64_t size = c_.hidden_size;
  for (const int64_t length : batch.lengths) {
    const Tensor plane = reshape(transpose(narrow(x, 0, first, length), 0, 1), {1, size, 1, length});
    const Tensor y = conv2d(plane, reshape(conv_weight_, {size, size / s_.groups, 1, s_.kernel}), conv_bias_,
                            {.stride = {1, 1}, .padding = {0, (s_.kernel - 1) / 2}, .groups = s_.groups});
    parts.push_back(transpose(reshape(y, {size, length}), 0, 1));
    first += length;
  }
  Tensor y = cat(parts, 0);
  const Tensor seen = seen_column(batch);
  if (seen.defined()) y = y * seen;
  y = conv_norm_(layer_output + activate(nn::dropout(y, c_.hidden_dropout_prob), s_.conv_act));
  return seen.defined() ? y * seen : y;
}

// Hidden keys as numbers to add to the scores [S,1,T,T]. Hidden queries see every key alike: their rows are 0.
Tensor pair_mask(const nn::TokenBatch& batch) {
  const int64_t t = batch.longest(), count = static_cast<int64_t>(batch.lengths.size());
  Tensor mask = Tensor::zeros({count, 1, t, t});
  int64_t first = 0;
  for (int64_t s = 0; s < count; ++s) {
    const int64_t length = batch.lengths[static_cast<size_t>(s)];
    const auto seen = [&](int64_t i) { return batch.key_mask[static_cast<size_t>(first + i)] != 0; };
    for (int64_t i = 0; i < length; ++i)
      for (int64_t j = 0; j < length; ++j)
        if (seen(i) && !seen(j)) mask.data<float>()[(s * t + i) * t + j] = -1e30f;
    first += length;
  }
  return mask;
}

Tensor DebertaV2::body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
  Tensor x = embed(batch);
  nn::TokenBatch open = batch;
  open.key_mask.clear();
  const Tensor seen = seen_column(batch), mask = seen.defined() ? pair_mask(batch) : Tensor();
  const Tensor table = table_norm_.weight.defined() && table_.defined() ? table_norm_(table_) : table_;
  AttentionConfig attention;
  attention.scale = 1 / std::sqrt(static_cast<float>(c_.hidden_size / c_.num_attention_heads) * static_cast<float>(1 + s_.c2p + s_.p2c));
  if (states) states->push_back(x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Tensor y = nn::layer(x, table, open, [this, i, seen, mask, attention](const Tensor& in, const Tensor& positions, const nn::TokenBatch& b) {
      const BertLayer::Bias bias = [&](Tensor& q, const Tensor& k) {
        Tensor sum = s_.relative && (s_.c2p || s_.p2c) ? scores(i, q, k, positions, b, attention.scale) : Tensor();
        if (!mask.defined()) return sum;
        q = q * unsqueeze(seen, 2);
        if (!sum.defined()) return contiguous(expand(mask, {mask.size(0), q.size(1), mask.size(2), mask.size(3)}));
        return sum * unsqueeze(nn::padded_rows(seen, b), 1) + mask;  // [S,1,T,1]
      };
      return layers_[i].forward(in, b, static_cast<int>(i), attention, bias);
    });
    x = i == 0 && s_.kernel > 0 ? convolve(x, y, batch) : y;
    if (states) states->push_back(x);
  }
  return x;
}

std::unique_ptr<nn::Model> make_deberta_v2(const Json& config, const Weights& weights) { return std::make_unique<DebertaV2>(config, weights); }

}  // namespace

extern const ModelEntry model_deberta_v2{"deberta-v2",
                                         {"DebertaV2Model", "DebertaV2ForMaskedLM", "DebertaV2ForSequenceClassification", "DebertaV2ForTokenClassification",
                                          "DebertaV2ForQuestionAnswering", "DebertaV2ForMultipleChoice"},
                                         make_deberta_v2,
                                         "deberta.",
                                         {".position_ids", "position_embeddings.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
                                          "mask_predictions.dense.weight", "mask_predictions.dense.bias"},
                                         {}};

}  // namespace mynah
