// ModernBERT. Paper: arXiv:2412.13663. Norms first and without biases, rotary positions, gated units; most layers see only
// local_attention / 2 tokens to each side, with a rope base of their own. Shapes: N tokens of all sequences, C hidden, H heads.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"
#include "nn/encoder_model.h"
#include "nn/layers.h"
#include "nn/rope.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

struct ModernbertConfig {
  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, local_attention, global_every;
  int32_t pad_token_id;
  float norm_eps, embedding_dropout, attention_dropout, mlp_dropout, classifier_dropout;
  bool norm_bias, attention_bias, mlp_bias, decoder_bias, classifier_bias, mean_pooling, tie_word_embeddings;
  Activation act, classifier_act;
  Init init;

  explicit ModernbertConfig(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 50368)),
        hidden_size(nn::config_int(c, "hidden_size", 768)),
        intermediate_size(nn::config_int(c, "intermediate_size", 1152)),
        num_hidden_layers(nn::config_int(c, "num_hidden_layers", 22, 1, 10000)),
        num_attention_heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
        local_attention(nn::config_int(c, "local_attention", 128)),
        global_every(nn::config_int(c, "global_attn_every_n_layers", 3)),
        pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", 50283, -1))),
        norm_eps(static_cast<float>(nn::config_number(c, "norm_eps", 1e-5))),
        embedding_dropout(nn::dropout_rate(c, "embedding_dropout", 0)),
        attention_dropout(nn::dropout_rate(c, "attention_dropout", 0)),
        mlp_dropout(nn::dropout_rate(c, "mlp_dropout", 0)),
        classifier_dropout(nn::dropout_rate(c, "classifier_dropout", 0)),
        norm_bias(nn::config_bool(c, "norm_bias", false)),
        attention_bias(nn::config_bool(c, "attention_bias", false)),
        mlp_bias(nn::config_bool(c, "mlp_bias", false)),
        decoder_bias(nn::config_bool(c, "decoder_bias", true)),
        classifier_bias(nn::config_bool(c, "classifier_bias", false)),
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)),
        act(activation(nn::config_string(c, "hidden_activation", "gelu"))),
        classifier_act(activation(nn::config_string(c, "classifier_activation", "gelu"))),
        init(Init::with_std(static_cast<float>(nn::config_number(c, "initializer_range", 0.02)))) {
    require(hidden_size % num_attention_heads == 0, "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size,
            num_attention_heads);
    const std::string pooling = nn::config_string(c, "classifier_pooling", "cls");
    require(pooling == "cls" || pooling == "mean", "config.json: classifier_pooling is \"{}\", expected cls or mean", pooling);
    mean_pooling = pooling == "mean";
  }
  nn::LayerNorm norm(const Weights& w, std::string_view name) const { return {w, name, hidden_size, norm_eps, norm_bias}; }
};

// Rope of the global layers or the local ones: a base each, or settings for each kind of layer as transformers 5 spells them.
nn::Rope rope_of(const Json& c, const ModernbertConfig& config, bool global) {
  Json one = c;
  const char* kind = global ? "full_attention" : "sliding_attention";
  if (c.contains("rope_parameters") && c["rope_parameters"].is_object() && c["rope_parameters"].contains(kind)) {
    one["rope_parameters"] = c["rope_parameters"][kind];
  } else {
    const double base = nn::config_number(c, "global_rope_theta", 160000.0);
    one["rope_theta"] = global ? base : nn::config_number(c, "local_rope_theta", c.contains("local_rope_theta") ? base : 10000.0);
  }
  return {one, config.hidden_size / config.num_attention_heads};
}

struct ModernbertLayer {
  ModernbertLayer(const ModernbertConfig& c, const Weights& w, bool is_global, bool first)
      : global(is_global),
        qkv(w / "attn", "Wqkv", c.hidden_size, 3 * c.hidden_size, c.init, c.attention_bias),
        out(w / "attn", "Wo", c.hidden_size, c.hidden_size, c.init, c.attention_bias),
        mlp_norm(c.norm(w, "mlp_norm")),
        wi(w / "mlp", "Wi", c.hidden_size, 2 * c.intermediate_size, c.init, c.mlp_bias),
        wo(w / "mlp", "Wo", c.intermediate_size, c.hidden_size, c.init, c.mlp_bias) {
    if (!first) attn_norm = c.norm(w, "attn_norm");
  }

  bool global;
  nn::LayerNorm attn_norm;  // none in the first layer: the embeddings are normed
  nn::Linear qkv, out;
  nn::LayerNorm mlp_norm;
  nn::Linear wi, wo;
};

class ModernBert : public nn::EncoderModel {
 public:
  ModernBert(const Json& json, const Weights& w)
      : EncoderModel(json),
        c_(json),
        global_rope_(rope_of(json, c_, true)),
        local_rope_(rope_of(json, c_, false)),
        words_(w.matrix("model.embeddings.tok_embeddings", c_.vocab_size, c_.hidden_size, c_.init)),
        embedding_norm_(c_.norm(w, "model.embeddings.norm")),
        final_norm_(c_.norm(w, "model.final_norm")) {
    const Json* types = json.contains("layer_types") && json["layer_types"].is_array() ? &json["layer_types"] : nullptr;
    require(!types || static_cast<int64_t>(types->size()) >= c_.num_hidden_layers, "config.json: layer_types names {} layers, expected {}",
            types ? types->size() : 0, c_.num_hidden_layers);
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      const bool global = types ? (*types)[static_cast<size_t>(i)] == "full_attention" : i % c_.global_every == 0;
      layers_.emplace_back(c_, w / "model" / "layers" / i, global, i == 0);
    }
    if (kind() == HeadKind::bare) return;
    dense_ = nn::Linear(w, "head.dense", c_.hidden_size, c_.hidden_size, c_.init, c_.classifier_bias);
    head_norm_ = c_.norm(w, "head.norm");
    if (kind() == HeadKind::masked_lm) {
      const bool tied = c_.tie_word_embeddings || !w.has("decoder.weight");
      decoder_ = tied ? words_ : w.matrix("decoder", c_.vocab_size, c_.hidden_size, c_.init);
      if (c_.decoder_bias) decoder_bias_ = w.tensor("decoder.bias", {c_.vocab_size}, Init::zeros());
    } else {
      const int64_t labels = kind() == HeadKind::multiple_choice ? 1 : kind() == HeadKind::question_answering ? 2 : nn::label_count(json);
      classifier_ = nn::Linear(w, "classifier", c_.hidden_size, labels, c_.init);
    }
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor x = nn::dropout(embedding_norm_(words_.lookup(batch.ids, c_.pad_token_id)), c_.embedding_dropout);
    const auto global = global_rope_.tables(batch.positions, batch.lengths), local = local_rope_.tables(batch.positions, batch.lengths);
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (states) states->push_back(x);
      const auto& turns = layers_[i].global ? global : local;
      x = nn::layer(x, {}, batch, [this, &layer = layers_[i], i, turns](const Tensor& in, const Tensor&, const nn::TokenBatch& b) {
        return forward(layer, in, b, static_cast<int>(i), turns);
      });
    }
    if (states) states->push_back(x);
    return final_norm_(x);
  }

  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override {
    const auto transformed = [&](const Tensor& x) { return head_norm_(activate(dense_(x), c_.classifier_act)); };
    switch (kind()) {
      case HeadKind::bare: return {{{"last_hidden_state", hidden}}, {}};
      case HeadKind::masked_lm: return {{{"logits", decoder_(transformed(hidden), {decoder_bias_})}}, {}};
      case HeadKind::sequence_classification:
      case HeadKind::multiple_choice: return {{}, {{"logits", classifier_(nn::dropout(transformed(pooled(hidden, batch)), c_.classifier_dropout))}}};
      default: return {{{"logits", classifier_(nn::dropout(transformed(hidden), c_.classifier_dropout))}}, {}};
    }
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }

 private:
  Tensor forward(const ModernbertLayer& layer, Tensor x, const nn::TokenBatch& batch, int index, const std::pair<Tensor, Tensor>& turns) const {
    const int64_t n = x.size(0), d = c_.hidden_size / c_.num_attention_heads;
    const Tensor qkv = layer.qkv(layer.attn_norm.weight.defined() ? layer.attn_norm(x) : x);
    const auto heads = [&](int64_t part) { return nn::split_heads(narrow(qkv, 1, part * c_.hidden_size, c_.hidden_size), n, c_.num_attention_heads, d); };
    const auto& [cos, sin] = turns;
    AttentionConfig attention;
    attention.causal = false;
    if (!layer.global) attention.window = c_.local_attention / 2 + 1;
    const Tensor attended = nn::attend(rope(heads(0), cos, sin), rope(heads(1), cos, sin), heads(2), batch, index, attention, c_.attention_dropout);
    x = x + nn::dropout(layer.out(reshape(attended, {n, c_.hidden_size})), c_.attention_dropout);
    return x + layer.wo(nn::dropout(glu(layer.wi(layer.mlp_norm(x)), c_.act), c_.mlp_dropout));
  }

  // The mean of a sequence's seen tokens, or its first token (of a choice: the first one seen).
  Tensor pooled(const Tensor& hidden, const nn::TokenBatch& batch) const {
    if (!c_.mean_pooling && kind() == HeadKind::sequence_classification) return nn::first_tokens(hidden, batch);
    std::vector<Tensor> rows;
    int64_t first = 0;
    for (const int64_t length : batch.lengths) {
      std::vector<int64_t> seen;
      for (int64_t i = first; i < first + length; ++i)
        if (batch.key_mask.empty() || batch.key_mask[static_cast<size_t>(i)]) seen.push_back(i);
      if (seen.empty()) seen.push_back(first);
      if (!c_.mean_pooling) seen.resize(1);
      rows.push_back(mean(index_rows(hidden, seen), 0, true));
      first += length;
    }
    return cat(rows, 0);
  }

  ModernbertConfig c_;
  nn::Rope global_rope_, local_rope_;
  nn::Matrix words_;
  nn::LayerNorm embedding_norm_, final_norm_;
  std::vector<ModernbertLayer> layers_;
  nn::Linear dense_, classifier_;
  nn::LayerNorm head_norm_;
  nn::Matrix decoder_;
  Tensor decoder_bias_;
};

std::unique_ptr<nn::Model> make_modernbert(const Json& config, const Weights& weights) { return std::make_unique<ModernBert>(config, weights); }

}  // namespace

extern const ModelEntry model_modernbert{"modernbert",
                                         {"ModernBertModel", "ModernBertForMaskedLM", "ModernBertForSequenceClassification",
                                          "ModernBertForTokenClassification", "ModernBertForQuestionAnswering", "ModernBertForMultipleChoice"},
                                         make_modernbert,
                                         "model.",
                                         {"decoder.weight", ".inv_freq"},
                                         {}};

}  // namespace mynah
