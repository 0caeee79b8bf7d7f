#include "models/decoder.h"


#include "base/require.h"
#include "models/decoder_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"

namespace mynah {

using nn::Weights;

DecoderConfig::DecoderConfig(const Json& c, const DecoderDefaults& d)
    : vocab_size(nn::config_int(c, "vocab_size", d.vocab)),
      hidden_size(nn::config_int(c, "hidden_size", d.hidden)),
      intermediate_size(nn::config_int(c, "intermediate_size", d.intermediate)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", d.layers, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", d.heads, 1, 100000)),
      num_key_value_heads(nn::config_int(c, "num_key_value_heads", d.kv_heads ? d.kv_heads : num_attention_heads, 1, 100000)),
      head_dim(nn::config_int(c, "head_dim", d.head_dim ? d.head_dim : std::max<int64_t>(1, hidden_size / num_attention_heads))),
      max_position_embeddings(nn::config_int(c, "max_position_embeddings", d.positions)),
      pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", c.contains("pad_token_id") ? -1 : d.pad, -1))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", d.tied)),
      norm_eps(static_cast<float>(nn::config_number(c, d.eps_key, d.eps))),
      attention_dropout(nn::dropout_rate(c, "attention_dropout", 0)),
      hidden_act(activation(nn::config_string(c, "hidden_act", d.activation))) {
  require(num_attention_heads % num_key_value_heads == 0, "config.json: {} heads cannot share {} key-value heads", num_attention_heads,
          num_key_value_heads);
  if (d.theta > 0) ropes.emplace_back(c, head_dim, d.theta);
}

int64_t config_limit(const Json& config, const char* key, int64_t otherwise) {
  return nn::config_int(config, key, config.contains(key) ? 0 : otherwise, 0);
}

float config_cap(const Json& config, const char* key, float otherwise) {
  return static_cast<float>(nn::config_number(config, key, config.contains(key) ? 0 : otherwise));
}

std::vector<int64_t> layer_windows(const Json& config, int64_t layers, int64_t window, bool (*slides)(const Json&, int64_t)) {
  std::vector<int64_t> windows;
  const auto types = config.find("layer_types");
  const bool named = types != config.end() && !types->is_null();
  require(!named || (types->is_array() && static_cast<int64_t>(types->size()) == layers), "config.json: layer_types must name {} layers", layers);
  for (int64_t i = 0; i < layers; ++i) {
    bool sliding = !named && slides(config, i);
    if (named) {
      const Json& type = (*types)[static_cast<size_t>(i)];
      sliding = type == "sliding_attention";
      require(sliding || type == "full_attention", "config.json: layer type {} is not known; known: full_attention, sliding_attention", type.dump());
    }
    require(!sliding || window > 0, "config.json: layer {} slides, but there is no sliding_window", i);
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

std::string decoder_base(const Json& config) { return nn::head_kind(config) == nn::HeadKind::question_answering ? "transformer" : "model"; }

namespace {

Weights part(const Weights& w, const std::string& name) { return name.empty() ? w : w / name; }

}  // namespace

struct Decoder::Layer {
  Layer(const DecoderConfig& c, const Weights& w, int index)
      : before_attention(norm(c, w, c.names.before_attention)),
        after_attention(norm(c, w, c.names.after_attention)),
        before_mlp(norm(c, w, c.names.before_mlp)),
        after_mlp(norm(c, w, c.names.after_mlp)),
        attention(c, part(w, c.names.attention), index) {
    const bool sparse = c.experts && (c.sparse_layers.empty() || c.sparse_layers[static_cast<size_t>(index)]);
    if (c.crosses) {
      before_cross = norm(c, w, c.names.before_cross);
      cross.emplace(c, w / c.names.cross, index);
    }
    if (sparse) experts.emplace(*c.experts, w / c.experts->name, c.init());
    else mlp.emplace(c, part(w, c.names.mlp));
  }
  static std::optional<nn::Norm> norm(const DecoderConfig& c, const Weights& w, const std::string& name) {
    return name.empty() ? std::nullopt : std::optional(nn::Norm(w, name, c.hidden_size, c.norm_eps, c.norm));
  }

  // x + y, normed where the family does that. `to`: the stream, `in`: the part's normed input, `y`: the part's output, `drop`: its dropout.
  Tensor add_part(const DecoderConfig& c, const Tensor& to, const Tensor& in, const Tensor& y, const std::optional<nn::Norm>& after, float drop) const {
    const Tensor& residual = c.residual_is_normed ? in : to;
    return joined(c, residual, nn::dropout(y, drop), after);
  }
  static Tensor joined(const DecoderConfig& c, const Tensor& residual, const Tensor& y, const std::optional<nn::Norm>& after) {
    if (c.norm_after_sum) return after ? (*after)(residual + y) : residual + y;
    const Tensor normed = after ? (*after)(y) : y;
    return residual + (c.residual_scale == 1 ? normed : normed * c.residual_scale);
  }

  Tensor forward(const DecoderConfig& c, const Tensor& all, const DecoderContext& context) const {
    const Tensor all_in = before_attention ? (*before_attention)(all) : all;
    const Tensor heard = attention.forward(c, all_in, context);
    const Tensor x = context.needed(all), in = before_attention ? context.needed(all_in) : x;
    if (c.drops_sum && nn::drops(*c.mlp_dropout)) return x + nn::dropout(mlp->forward(c, before_mlp ? (*before_mlp)(x) : in) + heard, *c.mlp_dropout);
    Tensor attended = add_part(c, x, in, heard, after_attention, c.residual_dropout);
    if (cross && cross->has_memory(context)) attended = attended + nn::dropout(cross->forward(c, (*before_cross)(attended), context), c.residual_dropout);
    const Tensor mlp_in = before_mlp ? (*before_mlp)(c.parallel ? x : attended) : c.parallel ? in : attended;
    return add_part(c, attended, mlp_in, mlp ? mlp->forward(c, mlp_in) : experts->forward(mlp_in, context.batch), after_mlp,
                    c.mlp_dropout.value_or(c.residual_dropout));
  }

  std::optional<nn::Norm> before_attention, after_attention, before_cross, before_mlp, after_mlp;
  DecoderAttention attention;
  std::optional<DecoderCross> cross;
  std::optional<DecoderMlp> mlp;
  std::optional<Experts> experts;
};

Decoder::Decoder(const Json& json, DecoderConfig config, const Weights& w) : CausalLM(json), c_(std::move(config)) {
  const Weights base = part(w, c_.names.base);
  const int64_t width = c_.embed_size > 0 ? c_.embed_size : c_.hidden_size;
  embed_ = base.matrix(c_.names.embed, c_.vocab_size, width, c_.init());
  if (c_.position_rows > 0) positions_ = (base / c_.names.positions).tensor("weight", {c_.position_rows, c_.hidden_size}, c_.init());
  if (width != c_.hidden_size) {
    project_in_ = nn::Linear(base, "project_in", width, c_.hidden_size, c_.init(), false);
    project_out_ = nn::Linear(base, "project_out", c_.hidden_size, width, c_.init(), false);
  }
  if (!c_.names.embed_norm.empty()) embed_norm_ = nn::Norm(base, c_.names.embed_norm, c_.hidden_size, c_.norm_eps, c_.norm);
  for (int i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, base / c_.names.layers / i, i);
  if (!c_.names.final_norm.empty()) norm_ = nn::Norm(base, c_.names.final_norm, c_.hidden_size, c_.norm_eps, c_.norm);
  head_ = load_head(w, c_.names.head, embed_, c_.tie_word_embeddings, c_.init());
  if (c_.head_bias && kind() == nn::HeadKind::causal_lm) head_bias_ = (w / c_.names.head).tensor("bias", {c_.vocab_size}, nn::Init::zeros());
  load_classifier(w, width, c_.names.token_classifier, c_.init());
}

Decoder::~Decoder() = default;

Tensor Decoder::embed(const nn::TokenBatch& batch) const {
  Tensor x = batch.with_media(embed_.lookup(batch.ids, c_.pad_token_id));
  if (c_.embedding_scale != 1) x = x * c_.embedding_scale;
  if (project_in_.defined()) x = project_in_(x);
  if (positions_.defined()) {
    std::vector<int32_t> rows = batch.positions;
    if (c_.positions_skip_padding && !batch.key_mask.empty()) {
      size_t at = 0;
      for (const int64_t length : batch.lengths)
        for (int32_t i = 0, seen = 0; i < length; ++i, ++at) rows[at] = batch.key_mask[at] ? seen++ : -1;
    }
    for (int32_t& row : rows) row += static_cast<int32_t>(c_.position_offset);
    x = x + embedding(positions_, rows);
    // Token types are looked up in the table of words by the families that have a table of positions.
    if (!batch.token_types.empty() && !project_in_.defined()) x = x + embed_.lookup(batch.token_types, c_.pad_token_id);
  }
  return nn::dropout(c_.names.embed_norm.empty() ? x : embed_norm_(x), c_.embedding_dropout);
}

Tensor Decoder::body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
  Tensor x = embed(batch);
  const auto tables = std::make_shared<DecoderTables>();
  tables->slopes = slope_bias(c_, batch);
  for (const nn::Rope& r : c_.ropes)
    tables->turns.push_back(c_.axis_sections.empty() || batch.axes.empty() ? r.tables(batch.positions, batch.lengths, batch.reach) : r.tables(batch.axes, c_.axis_sections));
  // The loss that balances experts wants to know what the last layer's router makes of every row.
  const bool leaves_out = !states && !c_.crosses && !(c_.experts && batch.router_logits);
  for (const Layer& layer : layers_) {
    if (states) states->push_back(x);
    if (nn::skips_layer(c_.layer_dropout)) continue;
    const bool is_last = leaves_out && &layer == &layers_.back();
    x = nn::layer(x, {}, batch, [this, &layer, tables, is_last](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(c_, in, {b, *tables, is_last}); });
  }
  if (!c_.names.final_norm.empty()) x = norm_(x);
  if (project_out_.defined()) x = project_out_(x);
  if (states) states->push_back(x);
  return x;
}

Tensor Decoder::head(const Tensor& hidden) const {
  Tensor logits = head_bias_.defined() ? head_(hidden, {head_bias_}) : head_(hidden);
  if (c_.logit_scale != 1) logits = logits * c_.logit_scale;
  return c_.logit_softcap > 0 ? softcap(logits, c_.logit_softcap) : logits;
}

void Decoder::remember(const Tensor& rows, nn::Cache* memory) const {
  if (!c_.crosses) return CausalLM::remember(rows, memory);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto [k, v] = layers_[i].cross->keys_values(rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

nn::CacheShape Decoder::cache_shape() const { return {static_cast<int>(c_.num_hidden_layers), c_.num_key_value_heads, c_.head_dim}; }

Tensor Decoder::auxiliary_loss(const nn::TokenBatch& batch) const {
  return c_.experts && c_.experts->balance ? balance_loss(*batch.router_logits, c_.experts->per_token, batch.key_mask) : Tensor();
}

}  // namespace mynah
