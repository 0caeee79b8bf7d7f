// XLNet. Paper: arXiv:1906.08237. Attention by content, relative position (as Transformer-XL, arXiv:1901.02860) and segment; a second
// stream of queries that know a position but not its token; memories of earlier text. Post-norm.
// Shapes: B batch, T tokens, M earlier tokens in memory, K = M + T keys, G predicted positions, C hidden, H heads, D head size.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/span_beams.h"
#include "mynah/json.h"
#include "nn/causal_lm.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/losses.h"
#include "ops/attention.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

constexpr float kXlnetHidden = -1e30f;  // added to the score of a key that a query does not see

struct XlnetConfig {
  int64_t vocab_size, d_model, n_layer, n_head, d_inner, mem_len, reuse_len, clamp_len;
  float layer_norm_eps, dropout;
  bool untied, bi_data, same_length, use_mems, one_way;
  Activation ff_activation;
  Init init;

  explicit XlnetConfig(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 32000)),
        d_model(nn::config_int(c, "d_model", 1024)),
        n_layer(nn::config_int(c, "n_layer", 24, 1, 10000)),
        n_head(nn::config_int(c, "n_head", 16, 1, 100000)),
        d_inner(nn::config_int(c, "d_inner", 4096)),
        mem_len(nn::config_int(c, "mem_len", c.contains("mem_len") ? 0 : 512, 0)),
        reuse_len(nn::config_int(c, "reuse_len", 0, 0)),
        clamp_len(nn::config_int(c, "clamp_len", -1, -1)),
        layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-12))),
        dropout(nn::dropout_rate(c, "dropout", 0.1)),
        untied(!nn::config_bool(c, "tie_word_embeddings", true)),
        bi_data(nn::config_bool(c, "bi_data", false)),
        same_length(nn::config_bool(c, "same_length", false)),
        use_mems(nn::config_bool(c, "use_mems_eval", true)),
        ff_activation(activation(nn::config_string(c, "ff_activation", "gelu"))),
        init(Init::with_std(static_cast<float>(nn::config_number(c, "initializer_range", 0.02)))) {
    require(d_model % n_head == 0, "config.json: d_model {} is not a multiple of n_head {}", d_model, n_head);
    const std::string type = nn::config_string(c, "attn_type", "bi");
    require(type == "bi" || type == "uni", "config.json: attn_type is \"{}\", expected bi or uni", type);
    one_way = type == "uni";
  }
  int64_t head_dim() const { return d_model / n_head; }
};

// Which keys the queries of both streams stand to, and how far: query i is at position M + i.
struct Places {
  int64_t batch, queries, keys, memory;
  bool mirrored = false;  // the second half of the batch reads backwards (bi_data)
  // Embeddings [P,C] of distances from `keys` down to 1 - queries, each for `rows_each` rows of the batch.
  std::vector<Tensor> embeddings;
  int64_t rows_each;
  std::vector<int64_t> columns;            // [T * K], of each pair's distance
  Tensor segments;                         // [B,1,T,K], 1 where a key is of another segment; or undefined

  Places(const XlnetConfig& c, int64_t b, int64_t t, int64_t m) : batch(b), queries(t), keys(m + t), memory(m), mirrored(c.bi_data) {
    require(!mirrored || b % 2 == 0, "forward: bi_data needs an even number of rows, got {}", b);
    embeddings = {table(c, 1)};
    if (mirrored) embeddings.push_back(table(c, -1));
    rows_each = b / static_cast<int64_t>(embeddings.size());
    if (nn::drops(c.dropout)) {  // every row's own
      const std::vector<Tensor> tables = std::exchange(embeddings, {});
      for (int64_t row = 0; row < b; ++row) embeddings.push_back(nn::dropout(tables[static_cast<size_t>(row / rows_each)], c.dropout));
      rows_each = 1;
    }
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t j = 0; j < keys; ++j) columns.push_back(j + queries - i);
  }

 private:
  Tensor table(const XlnetConfig& c, float sign) const {
    const int64_t half = (c.d_model + 1) / 2, count = keys + queries;
    Tensor out = Tensor::empty({count, 2 * half});
    for (int64_t p = 0; p < count; ++p) {
      float distance = sign * static_cast<float>(keys - p);
      if (c.clamp_len > 0) distance = std::clamp(distance, -static_cast<float>(c.clamp_len), static_cast<float>(c.clamp_len));
      for (int64_t i = 0; i < half; ++i) {
        const float angle = distance * (1 / std::pow(10000.0f, 2 * static_cast<float>(i) / static_cast<float>(c.d_model)));
        out.data<float>()[p * 2 * half + i] = std::sin(angle);
        out.data<float>()[p * 2 * half + half + i] = std::cos(angle);
      }
    }
    return out;
  }
};

struct XlnetLayer {
  XlnetLayer(const XlnetConfig& c, const Weights& w)
      : heads(c.n_head),
        d(c.head_dim()),
        q(projection(c, w, "q")),
        k(projection(c, w, "k")),
        v(projection(c, w, "v")),
        o(projection(c, w, "o")),
        r(projection(c, w, "r")),
        r_w_bias((w / "rel_attn").tensor("r_w_bias", {heads, d}, c.init)),
        r_r_bias((w / "rel_attn").tensor("r_r_bias", {heads, d}, c.init)),
        r_s_bias((w / "rel_attn").tensor("r_s_bias", {heads, d}, c.init)),
        seg_embed((w / "rel_attn").tensor("seg_embed", {2, heads, d}, c.init)),
        attention_norm(w / "rel_attn", "layer_norm", c.d_model, c.layer_norm_eps),
        layer_1(w / "ff", "layer_1", c.d_model, c.d_inner, c.init),
        layer_2(w / "ff", "layer_2", c.d_inner, c.d_model, c.init),
        ff_norm(w / "ff", "layer_norm", c.d_model, c.layer_norm_eps),
        act(c.ff_activation),
        drop(c.dropout) {}

  // [C,H,D] on disk, used as [C, H * D].
  static Tensor projection(const XlnetConfig& c, const Weights& w, std::string_view name) {
    return reshape((w / "rel_attn").tensor(name, {c.d_model, c.n_head, c.head_dim()}, c.init), {c.d_model, c.d_model});
  }
  Tensor project(const Tensor& x, const Tensor& weight) const { return reshape(matmul(x, weight), {x.size(0), heads, d}); }

  // What position and segment add to the scores of queries [B*T,H,D] -> [B,H,T,K].
  Tensor bias(const Tensor& query, const Places& at) const {
    const int64_t b = at.batch, t = at.queries;
    const auto by_head = [&](const Tensor& x) { return transpose(x, 0, 1); };  // [n,H,D] -> [H,n,D]
    const Tensor moved = by_head(query + r_r_bias);
    std::vector<Tensor> parts;
    for (const Tensor& embeddings : at.embeddings) {
      const Tensor keys = transpose(by_head(project(embeddings, r)), 1, 2);  // [H,D,P]
      const Tensor products = matmul(narrow(moved, 1, static_cast<int64_t>(parts.size()) * at.rows_each * t, at.rows_each * t), keys);
      parts.push_back(gather_columns(reshape(products, {heads, at.rows_each, t, embeddings.size(0)}), at.columns, at.keys));
    }
    Tensor scores = transpose(parts.size() == 1 ? parts[0] : cat(parts, 1), 0, 1);  // [B,H,T,K]
    if (at.segments.defined()) {
      const Tensor products = matmul(by_head(query + r_s_bias), permute(seg_embed, std::vector<int>{1, 2, 0}));  // [H,B*T,2]
      const Tensor both = transpose(reshape(products, {heads, b, t, 2}), 0, 1);
      const Tensor same = narrow(both, 3, 0, 1), other = narrow(both, 3, 1, 1);
      scores = scores + same + at.segments * (other - same);
    }
    return scores * scale();
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(d)); }

  // Attention of queries [B*T,H,D] over keys and values [B*K,H,D] -> [B*T,C]. `mask` [B or 1,1,T,K] is added to the scores, if defined.
  Tensor attend(const Tensor& query, const Tensor& keys, const Tensor& values, const Places& at, const Tensor& mask) const {
    AttentionConfig config;
    config.causal = false;
    config.bias = bias(query, at);
    if (mask.defined()) config.bias = hide(query + r_w_bias, keys, config.bias, mask, at.batch);
    std::vector<Sequence> sequences;
    for (int64_t b = 0; b < at.batch; ++b) sequences.push_back({b * at.queries, at.queries, b * at.keys, at.keys});
    return reshape(nn::attention_with_dropout(query + r_w_bias, keys, values, sequences, config, drop), {query.size(0), heads * d});
  }

  // The bias [B,H,T,K] with a mask [B,1,T,K] added; queries from which every key is hidden look at all alike.
  Tensor hide(const Tensor& query, const Tensor& keys, const Tensor& bias, const Tensor& mask, int64_t batch) const {
    Tensor alone = Tensor::zeros({mask.size(0), 1, mask.size(2), 1});
    bool any = false;
    const int64_t width = mask.size(3);
    for (int64_t i = 0; i < alone.numel(); ++i) {
      const float* row = mask.data<float>() + i * width;
      if (std::all_of(row, row + width, [](float m) { return m == kXlnetHidden; })) alone.data<float>()[i] = 1, any = true;
    }
    if (!any) return bias + mask;
    const Tensor scores = nn::pair_scores(query, keys, batch, scale()) + bias.detach();
    return bias + mask * add(neg(alone), 1.0f) - scores * alone;
  }

  // What follows the attention of rows x [n,C]: first it joins them, then comes the feed-forward part.
  Tensor joined(const Tensor& x, const Tensor& attended) const { return attention_norm(nn::dropout(linear(attended, o), drop) + x); }
  Tensor feed_forward(const Tensor& y) const {
    return ff_norm(nn::dropout(layer_2(nn::dropout(activate(layer_1(y), act), drop)), drop) + y);
  }

  int64_t heads, d;
  Tensor q, k, v, o, r, r_w_bias, r_r_bias, r_s_bias, seg_embed;
  nn::LayerNorm attention_norm;
  nn::Linear layer_1, layer_2;
  nn::LayerNorm ff_norm;
  Activation act;
  float drop;
};

class XLNet : public nn::CausalLM {
 public:
  XLNet(const Json& json, const Weights& w)
      : CausalLM(json),
        c_(json),
        words_(w.matrix("transformer.word_embedding", c_.vocab_size, c_.d_model, c_.init)),
        mask_emb_(w.tensor("transformer.mask_emb", {1, 1, c_.d_model}, c_.init)),
        head_(words_) {
    for (int64_t i = 0; i < c_.n_layer; ++i) layers_.emplace_back(c_, w / "transformer" / "layer" / i);
    switch (kind()) {
      case HeadKind::causal_lm:
        if (c_.untied && w.has("lm_loss.weight")) head_ = w.matrix("lm_loss", c_.vocab_size, c_.d_model, c_.init);
        head_bias_ = w.tensor("lm_loss.bias", {c_.vocab_size}, Init::zeros());
        break;
      case HeadKind::sequence_classification: load_summary(json, w, nn::label_count(json)); break;
      case HeadKind::multiple_choice: load_summary(json, w, 1); break;
      case HeadKind::token_classification: classifier_ = nn::Linear(w, "classifier", c_.d_model, nn::label_count(json), c_.init); break;
      case HeadKind::question_answering: classifier_ = nn::Linear(w, "qa_outputs", c_.d_model, 2, c_.init); break;
      case HeadKind::question_answering_beams: beams_ = SpanBeams(json, w, c_.d_model, c_.layer_norm_eps, c_.init); break;
      default: break;
    }
  }

  // Inputs: input_ids [B,T] (multiple choice: [B,choices,T]); optional attention_mask or input_mask (1 hides), token_type_ids of that
  // shape; perm_mask [B,T,T] (1: i does not see j), target_mapping [B,G,T], mems.N [M,B,C]; labels, start_positions, end_positions, and
  // what SpanBeams reads. Outputs: logits [B,G,V] (without target_mapping [B,T,V]), last_hidden_state, the other heads'; loss; mems.N;
  // hidden_states.N, with target_mapping content and query stream in turn.
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const override;

  // One more position behind each sequence's tokens, whose token is not known, is what predicts; its row stands in place of the
  // last token's. The last token is read again in the next step, as the reference does, so that it is seen by what follows it.
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override;
  Tensor head(const Tensor& hidden) const override { return head_(hidden, {head_bias_}); }
  nn::CacheShape cache_shape() const override { return {static_cast<int>(c_.n_layer), c_.n_head, c_.head_dim()}; }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return 0; }
  bool sees_ahead() const override { return true; }
  const nn::CausalLM* causal_lm() const override { return kind() == HeadKind::causal_lm ? this : nullptr; }

 private:
  struct Streams {
    Tensor content, query;                  // [B*T,C], [B*G,C] or undefined
    std::vector<Tensor> states, memories;   // [B,.,C]; [M',B,C]
  };
  Streams run(const nn::Inputs& in, const Shape& shape, const std::string& base, bool hidden_states) const;
  Tensor masks(const nn::Inputs& in, const Shape& shape, int64_t memory, bool own_token) const;
  Tensor continue_one(const nn::TokenBatch& batch, size_t sequence, int64_t first) const;
  void load_summary(const Json& json, const Weights& w, int64_t labels);
  Tensor summary(const Tensor& hidden) const;

  XlnetConfig c_;
  nn::Matrix words_;
  Tensor mask_emb_;
  std::vector<XlnetLayer> layers_;
  nn::Matrix head_;
  Tensor head_bias_;
  std::string summary_type_;
  nn::Linear summary_, classifier_;
  SpanBeams beams_;
  std::optional<Activation> summary_activation_;
};

void XLNet::load_summary(const Json& json, const Weights& w, int64_t labels) {
  summary_type_ = nn::config_string(json, "summary_type", "last");
  require(summary_type_ == "last" || summary_type_ == "first" || summary_type_ == "mean" || summary_type_ == "cls_index",
          "config.json: summary_type is \"{}\", expected last, first, mean or cls_index", summary_type_);
  if (nn::config_bool(json, "summary_use_proj", true)) summary_ = nn::Linear(w / "sequence_summary", "summary", c_.d_model, c_.d_model, c_.init);
  const std::string act = nn::config_string(json, "summary_activation", json.contains("summary_activation") ? "" : "tanh");
  if (!act.empty()) summary_activation_ = activation(act);
  classifier_ = nn::Linear(w, "logits_proj", c_.d_model, labels, c_.init);
}

// [B,T,C] -> [B,C]
Tensor XLNet::summary(const Tensor& hidden) const {
  const auto dropped = [&](const Tensor& y, const char* key, double otherwise) { return nn::dropout(y, nn::dropout_rate(config_, key, otherwise)); };
  Tensor x = summary_type_ == "mean" ? mean(hidden, 1) : select(hidden, 1, summary_type_ == "first" ? 0 : hidden.size(1) - 1);
  x = dropped(x, "summary_first_dropout", 0);
  if (summary_.defined()) x = summary_(x);
  return dropped(summary_activation_ ? activate(x, *summary_activation_) : x, "summary_last_dropout", 0.1);
}

// What is hidden from whom, as numbers to add to the scores [B or 1,1,T,M + T]; undefined if nothing is. `own_token`: queries of the
// content stream see their own token in any case.
Tensor XLNet::masks(const nn::Inputs& in, const Shape& shape, int64_t memory, bool own_token) const {
  require(!in.has("attention_mask") || !in.has("input_mask"), "forward: both attention_mask and input_mask are given, expected one");
  const int64_t b = shape.numel() / shape[shape.rank() - 1], t = shape[shape.rank() - 1], k = memory + t;
  std::vector<uint8_t> padding = in.mask("input_mask", shape);
  for (const uint8_t seen : in.mask("attention_mask", shape)) padding.push_back(!seen);
  const Tensor order = in.has("perm_mask") ? in.floats("perm_mask", {b, t, t}) : Tensor();
  if (padding.empty() && !order.defined() && !c_.one_way) return {};
  Tensor out = Tensor::zeros({b, 1, t, k});
  for (int64_t row = 0; row < b; ++row)
    for (int64_t i = 0; i < t; ++i)
      for (int64_t j = 0; j < k; ++j) {
        const int64_t token = j - memory;
        bool hidden = c_.one_way && (token > i || (c_.same_length && j < i));
        if (token >= 0 && !padding.empty()) hidden = hidden || padding[static_cast<size_t>(row * t + token)];
        if (token >= 0 && order.defined()) hidden = hidden || order.data<float>()[(row * t + i) * t + token] > 0;
        if (own_token && token == i) hidden = false;
        if (hidden) out.data<float>()[(row * t + i) * k + j] = kXlnetHidden;
      }
  return out;
}

XLNet::Streams XLNet::run(const nn::Inputs& in, const Shape& shape, const std::string& base, bool hidden_states) const {
  const int64_t t = shape[shape.rank() - 1], b = shape.numel() / t, c = c_.d_model;
  const std::vector<int32_t> ids = in.ids(base, shape, c_.vocab_size), types = in.integers("token_type_ids", shape);
  std::vector<Tensor> memories;
  for (int64_t i = 0; in.has("mems." + std::to_string(i)); ++i)
    memories.push_back(in.floats("mems." + std::to_string(i), {memories.empty() ? -1 : memories[0].size(0), b, c}));
  require(memories.empty() || static_cast<int64_t>(memories.size()) == c_.n_layer, "forward: mems of {} layers, expected {}", memories.size(), c_.n_layer);
  const int64_t m = memories.empty() ? 0 : memories[0].size(0);
  const Tensor mapping = in.has("target_mapping") ? contiguous(in.floats("target_mapping", {b, -1, t})) : Tensor();

  Streams s;
  const int64_t g = mapping.defined() ? mapping.size(1) : 0;
  s.content = nn::dropout(words_.lookup(ids), c_.dropout);
  if (g) s.query = nn::dropout(contiguous(expand(reshape(mask_emb_, {1, c}), {b * g, c})), c_.dropout);
  const auto places = std::make_shared<Places>(c_, b, t, m);
  Places& at = *places;
  if (!types.empty()) {
    at.segments = Tensor::zeros({b, 1, t, m + t});
    for (int64_t row = 0; row < b; ++row)
      for (int64_t i = 0; i < t; ++i)
        for (int64_t j = 0; j < m + t; ++j) {
          const int32_t other = j < m ? 0 : types[static_cast<size_t>(row * t + j - m)];
          at.segments.data<float>()[(row * t + i) * (m + t) + j] = types[static_cast<size_t>(row * t + i)] != other;
        }
  }
  const Tensor content_mask = masks(in, shape, m, true), query_mask = mapping.defined() ? masks(in, shape, m, false) : Tensor();

  const auto by_row = [&](const Tensor& x, int64_t each) { return reshape(x, {b, each, c}); };
  const auto note = [&] {
    if (!hidden_states) return;
    s.states.push_back(by_row(s.content, t));
    if (g) s.states.push_back(by_row(s.query, g));
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const XlnetLayer& layer = layers_[i];
    note();
    Tensor past = memories.empty() ? Tensor() : memories[i];
    if (c_.use_mems) {
      Tensor now = transpose(by_row(s.content.detach(), t), 0, 1);  // [T,B,C]
      if (c_.reuse_len > 0) now = narrow(now, 0, 0, std::min(c_.reuse_len, t));
      const Tensor all = past.defined() ? cat({past, now}, 0) : now;
      const int64_t kept = c_.mem_len > 0 ? std::min(c_.mem_len, all.size(0)) : all.size(0);
      s.memories.push_back(contiguous(narrow(all, 0, all.size(0) - kept, kept)));
    }
    // Both streams' rows, content first.
    const auto forward = [&layer, places, past, content_mask, query_mask, mapping, b, t, m, g, c](const std::vector<Tensor>& streams) {
      const Tensor seen = past.defined() ? reshape(cat({transpose(past, 0, 1), reshape(streams[0], {b, t, c})}, 1), {b * (m + t), c}) : streams[0];
      const Tensor keys = layer.project(seen, layer.k), values = layer.project(seen, layer.v);
      const Tensor content = layer.joined(streams[0], layer.attend(layer.project(streams[0], layer.q), keys, values, *places, content_mask));
      if (!g) return layer.feed_forward(content);
      // queries go to their tokens' places and come back
      const Tensor placed = matmul(transpose(mapping, 1, 2), reshape(layer.project(streams[1], layer.q), {b, g, c}));
      const Tensor attended = layer.attend(reshape(placed, {b * t, layer.heads, layer.d}), keys, values, *places, query_mask);
      const Tensor query = layer.feed_forward(layer.joined(streams[1], reshape(matmul(mapping, reshape(attended, {b, t, c})), {b * g, c})));
      return cat({layer.feed_forward(content), query}, 0);
    };
    const Tensor rows = nn::recomputed(forward, {s.content, s.query});
    s.content = g ? narrow(rows, 0, 0, b * t) : rows;
    if (g) s.query = narrow(rows, 0, b * t, b * g);
  }
  note();
  if (g) s.query = nn::dropout(s.query, c_.dropout);
  else s.content = nn::dropout(s.content, c_.dropout);
  return s;
}

nn::NamedTensors XLNet::forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const {
  std::vector<std::string_view> known = {"input_ids", "attention_mask", "input_mask", "token_type_ids", "perm_mask",
                                         "target_mapping", "mems.*", "labels", "start_positions", "end_positions"};
  if (kind() == HeadKind::question_answering_beams) known.insert(known.end(), {"p_mask", "cls_index", "is_impossible"});
  const nn::Inputs in(inputs, known);
  const bool choices = kind() == HeadKind::multiple_choice;
  const Shape shape = in.shape_of("input_ids", choices ? 3 : 2, choices ? "[batch, choices, tokens]" : "[batch, tokens]");
  Streams s = run(in, shape, "input_ids", options.hidden_states);
  const Tensor rows = s.query.defined() ? s.query : s.content;
  const int64_t batch = shape.numel() / shape[shape.rank() - 1], each = rows.size(0) / batch;
  const auto by_row = [&](const Tensor& x) { return reshape(x, {batch, each, x.size(1)}); };
  nn::NamedTensors out;
  for (size_t i = 0; i < s.states.size(); ++i) out["hidden_states." + std::to_string(i)] = s.states[i];
  for (size_t i = 0; i < s.memories.size(); ++i) out["mems." + std::to_string(i)] = s.memories[i];
  switch (kind()) {
    case HeadKind::bare: out["last_hidden_state"] = by_row(rows); break;
    case HeadKind::causal_lm:
    case HeadKind::token_classification: {
      const Tensor logits = kind() == HeadKind::causal_lm ? head(rows) : classifier_(rows);
      out["logits"] = by_row(logits);
      if (in.has("labels")) out["loss"] = nn::token_loss(logits, in.integers("labels", {batch, each}));
      break;
    }
    case HeadKind::sequence_classification:
      out["logits"] = classifier_(summary(by_row(rows)));
      if (in.has("labels")) out["loss"] = nn::classification_loss(config_, out["logits"], in);
      break;
    case HeadKind::multiple_choice:
      out["logits"] = reshape(classifier_(summary(by_row(rows))), {shape[0], shape[1]});
      if (in.has("labels")) out["loss"] = nn::token_loss(out["logits"], in.integers("labels", {shape[0]}));
      break;
    case HeadKind::question_answering: out.merge(nn::span_outputs(by_row(classifier_(rows)), in)); break;
    case HeadKind::question_answering_beams: out.merge(beams_.outputs(by_row(rows), in)); break;
    default: fail(ErrorCode::failure, "config.json: XLNet has no head of this kind");
  }
  return out;
}

Tensor XLNet::body(const nn::TokenBatch& batch, std::vector<Tensor>*) const {
  require(!batch.caches.empty(), "generation: XLNet reads text with a cache only");
  std::vector<Tensor> rows;
  int64_t first = 0;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    rows.push_back(continue_one(batch, i, first));
    first += batch.lengths[i];
  }
  return rows.size() == 1 ? rows[0] : cat(rows, 0);
}

Tensor XLNet::continue_one(const nn::TokenBatch& batch, size_t sequence, int64_t first) const {
  nn::Cache& cache = *batch.caches[sequence];
  const int64_t before = cache.length(), added = batch.lengths[sequence];
  std::vector<int32_t> ids(batch.ids.begin() + first, batch.ids.begin() + first + added);
  if (before > 0) {
    ids.insert(ids.begin(), cache.ids.back());
    cache.truncate(before - 1);
  }
  const int64_t m = cache.length(), n = static_cast<int64_t>(ids.size()), k = m + n;
  cache.ids.insert(cache.ids.end(), ids.begin(), ids.end());
  // The unknown token's place is n; no query sees it as a key.
  Places at(c_, 1, n + 1, m);
  at.keys = k;
  at.columns.clear();
  Tensor mask = Tensor::zeros({1, 1, n + 1, k});
  const int64_t visible = c_.mem_len > 0 ? std::max<int64_t>(c_.mem_len - 2, 0) : m;
  for (int64_t i = 0; i <= n; ++i)
    for (int64_t j = 0; j < k; ++j) {
      at.columns.push_back(j + n + 1 - i);
      const bool forgotten = j < m - visible;
      const bool ahead = c_.one_way && (j > m + i || (c_.same_length && j < i));
      if (forgotten || ahead) mask.data<float>()[i * k + j] = kXlnetHidden;
    }
  Tensor rows = cat({words_.lookup(ids), reshape(mask_emb_, {1, c_.d_model})}, 0);  // content, then the one query
  for (size_t i = 0; i < layers_.size(); ++i) {
    const XlnetLayer& layer = layers_[i];
    const Tensor content = narrow(rows, 0, 0, n);
    nn::LayerCache& kept = cache.layer(static_cast<int>(i));
    nn::append_rows(kept, layer.project(content, layer.k), layer.project(content, layer.v), 0, n);
    const Tensor query = layer.project(rows, layer.q);
    AttentionConfig config;
    config.causal = false;
    config.bias = layer.bias(query, at) + mask;
    const Sequence whole{0, n + 1, 0, k};
    const ops::KvBlocks blocks = kept.blocks();
    const Tensor attended = ops::cached_attention(query + layer.r_w_bias, {&whole, 1}, {&blocks, 1}, layer.heads, config);
    rows = layer.feed_forward(layer.joined(rows, reshape(attended, {n + 1, c_.d_model})));
  }
  return narrow(rows, 0, n + 1 - added, added);
}

std::unique_ptr<nn::Model> make_xlnet(const Json& config, const Weights& weights) { return std::make_unique<XLNet>(config, weights); }

}  // namespace

extern const ModelEntry model_xlnet{"xlnet",
                                    {"XLNetLMHeadModel", "XLNetModel", "XLNetForSequenceClassification", "XLNetForTokenClassification",
                                     "XLNetForMultipleChoice", "XLNetForQuestionAnsweringSimple", "XLNetForQuestionAnswering"},
                                    make_xlnet,
                                    "transformer.",
                                    {"lm_loss.weight"},
                                    {}};

}  // namespace mynah
