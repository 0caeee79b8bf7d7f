// T5 1.0 and 1.1, Flan-T5, mT5, umT5. Papers: arXiv:1910.10683, arXiv:2002.05202 (gated units), arXiv:2010.11934 (mT5), arXiv:2304.09151
// (umT5). No attention scale and no biases; the position of a key relative to its query picks a bias per head, one table for a stack
// (umT5: for each layer).
// Shapes: N tokens of all sequences, C hidden (d_model), H heads, D head size (d_kv).
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <span>

#include "base/require.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"
#include "nn/encoder_model.h"
#include "nn/relative_buckets.h"
#include "nn/seq2seq_lm.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

struct T5Config {
  int64_t vocab_size, d_model, d_kv, d_ff, num_layers, num_decoder_layers, num_heads, relative_attention_num_buckets,
      relative_attention_max_distance;
  float layer_norm_epsilon, initializer_factor, dropout_rate;
  bool tie_word_embeddings, scale_decoder_outputs, gated, table_per_layer;
  Activation act;

  explicit T5Config(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 32128)),
        d_model(nn::config_int(c, "d_model", 512)),
        d_kv(nn::config_int(c, "d_kv", 64)),
        d_ff(nn::config_int(c, "d_ff", 2048)),
        num_layers(nn::config_int(c, "num_layers", 6, 1, 10000)),
        num_decoder_layers(nn::config_int(c, "num_decoder_layers", num_layers, 1, 10000)),
        num_heads(nn::config_int(c, "num_heads", 8, 1, 100000)),
        relative_attention_num_buckets(nn::config_int(c, "relative_attention_num_buckets", 32, 4, 1 << 20)),
        relative_attention_max_distance(nn::config_int(c, "relative_attention_max_distance", 128)),
        layer_norm_epsilon(static_cast<float>(nn::config_number(c, "layer_norm_epsilon", 1e-6))),
        initializer_factor(static_cast<float>(nn::config_number(c, "initializer_factor", 1.0))),
        dropout_rate(nn::dropout_rate(c, "dropout_rate", 0.1)),
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)),
        // Written by transformers 5, which ties the head of every T5 and says here whether it scales.
        scale_decoder_outputs(nn::config_bool(c, "scale_decoder_outputs", tie_word_embeddings)),
        table_per_layer(nn::config_string(c, "model_type", "t5") == "umt5") {
    std::string unit = nn::config_string(c, "feed_forward_proj", "relu");
    gated = unit.starts_with("gated-");
    if (gated) unit = unit.substr(6);
    act = unit == "gelu" && gated ? Activation::gelu_tanh : activation(unit);
  }
  // Standard deviations of the reference's initialisation.
  Init init(int64_t fan_in) const { return Init::with_std(initializer_factor / std::sqrt(static_cast<float>(fan_in))); }
};

struct T5Attention {
  T5Attention(const T5Config& c, const Weights& w)
      : heads(c.num_heads),
        d(c.d_kv),
        q(w, "q", c.d_model, heads * d, Init::with_std(c.initializer_factor / std::sqrt(static_cast<float>(c.d_model * c.d_kv))), false),
        kv(w, {"k", "v"}, c.d_model, {heads * d, heads * d}, c.init(c.d_model), false),
        o(w, "o", heads * d, c.d_model, c.init(heads * d), false) {}

  std::pair<Tensor, Tensor> keys_values(const Tensor& x) const {
    const Tensor both = kv(x);
    const auto part = [&](int64_t i) { return nn::split_heads(narrow(both, 1, i * heads * d, heads * d), x.size(0), heads, d); };
    return {part(0), part(1)};
  }
  Tensor queries(const Tensor& x) const { return nn::split_heads(q(x), x.size(0), heads, d); }
  Tensor output(const Tensor& attended) const { return o(reshape(attended, {attended.size(0), heads * d})); }

  int64_t heads, d;
  nn::Linear q;
  nn::JoinedLinear kv;
  nn::Linear o;
};

struct T5FeedForward {
  T5FeedForward(const T5Config& c, const Weights& w)
      : gated(c.gated), act(c.act), drop(c.dropout_rate), wo(w, "wo", c.d_ff, c.d_model, c.init(c.d_ff), false) {
    if (gated) wi = nn::JoinedLinear(w, {"wi_0", "wi_1"}, c.d_model, {c.d_ff, c.d_ff}, c.init(c.d_model), false);
    else wi = nn::JoinedLinear(w, {"wi"}, c.d_model, {c.d_ff}, c.init(c.d_model), false);
  }
  Tensor forward(const Tensor& x) const { return wo(nn::dropout(gated ? wi.gated(x, act) : activate(wi(x), act), drop)); }

  bool gated;
  Activation act;
  float drop;
  nn::JoinedLinear wi;
  nn::Linear wo;
};

struct T5Block {
  T5Block(const T5Config& c, const Weights& w, bool decoder)
      : self_norm(w / "layer" / 0, "layer_norm", c.d_model, c.layer_norm_epsilon),
        self(c, w / "layer" / 0 / "SelfAttention"),
        ff_norm(w / "layer" / (decoder ? 2 : 1), "layer_norm", c.d_model, c.layer_norm_epsilon),
        ff(c, w / "layer" / (decoder ? 2 : 1) / "DenseReluDense") {
    if (!decoder) return;
    cross_norm = nn::RmsNorm(w / "layer" / 1, "layer_norm", c.d_model, c.layer_norm_epsilon);
    cross.emplace(c, w / "layer" / 1 / "EncDecAttention");
  }

  nn::RmsNorm self_norm;
  T5Attention self;
  nn::RmsNorm cross_norm;
  std::optional<T5Attention> cross;
  nn::RmsNorm ff_norm;
  T5FeedForward ff;
};

struct Stack {
  Stack(const T5Config& c, const Weights& w, bool is_decoder)
      : decoder(is_decoder),
        max_distance(c.relative_attention_max_distance),
        drop(c.dropout_rate),
        final_norm(w, "final_layer_norm", c.d_model, c.layer_norm_epsilon) {
    const int64_t layers = decoder ? c.num_decoder_layers : c.num_layers;
    for (int64_t i = 0; i < layers; ++i) {
      const Weights block = w / "block" / i;
      blocks.emplace_back(c, block, decoder);
      if (i == 0 || c.table_per_layer)
        buckets.push_back((block / "layer" / 0 / "SelfAttention" / "relative_attention_bias")
                              .tensor("weight", {c.relative_attention_num_buckets, c.num_heads}, c.init(c.d_model)));
    }
  }

  // One block, whose own tokens' distances add `bias` to the scores.
  Tensor forward(const T5Block& b, Tensor x, const Tensor& bias, const nn::TokenBatch& batch, int layer) const {
    AttentionConfig config, across;
    config.scale = across.scale = 1;
    config.causal = decoder;
    config.distance_bias = bias;
    const Tensor y = b.self_norm(x);
    const auto [k, v] = b.self.keys_values(y);
    x = x + nn::dropout(b.self.output(nn::attend(b.self.queries(y), k, v, batch, layer, config, drop)), drop);
    if (b.cross)
      x = x + nn::dropout(b.cross->output(nn::attend_memory(b.cross->queries(b.cross_norm(x)), batch, layer, b.cross->heads,
                                                            [&](const Tensor& rows) { return b.cross->keys_values(rows); }, across, drop)),
                          drop);
    return x + nn::dropout(b.ff.forward(b.ff_norm(x)), drop);
  }

  Tensor forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
    Tensor distance_bias;
    x = nn::dropout(x, drop);
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (i < buckets.size()) distance_bias = nn::distance_bias(buckets[i], batch.longest(), max_distance, !decoder);
      const T5Block& b = blocks[i];
      const int layer = static_cast<int>(i);
      if (states) states->push_back(x);
      x = nn::layer(x, distance_bias, batch, [this, &b, layer](const Tensor& in, const Tensor& bias, const nn::TokenBatch& rows) { return forward(b, in, bias, rows, layer); });
    }
    x = nn::dropout(final_norm(x), drop);
    if (states) states->push_back(x);
    return x;
  }

  bool decoder;
  int64_t max_distance;
  float drop;
  std::vector<Tensor> buckets;  // of the first layer, for all, or of each
  std::vector<T5Block> blocks;
  nn::RmsNorm final_norm;
};

class T5 : public nn::Seq2SeqLM {
 public:
  T5(const Json& json, const Weights& w)
      : Seq2SeqLM(json),
        c_(json),
        shared_(w.matrix("shared", c_.vocab_size, c_.d_model, Init::with_std(c_.initializer_factor))),
        encoder_(c_, w / "encoder", false),
        decoder_(c_, w / "decoder", true),
        head_(shared_) {
    if (pad_ < 0) pad_ = 0;
    if (decoder_start_ < 0) decoder_start_ = pad_;
    load_classifier(w, c_.d_model, 2, c_.init(c_.d_model));
    // Without an output head on disk the embedding serves, whatever the config says.
    if (causal_lm() && !c_.tie_word_embeddings && w.has("lm_head.weight"))
      head_ = w.matrix("lm_head", c_.vocab_size, c_.d_model, Init::with_std(c_.initializer_factor));
  }

  Tensor encode(const nn::TokenBatch& source, std::vector<Tensor>* states) const override {
    return encoder_.forward(shared_.lookup(source.ids), source, states);
  }
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return decoder_.forward(shared_.lookup(batch.ids), batch, states);
  }
  void remember(const Tensor& rows, nn::Cache* memory) const override {
    for (size_t i = 0; i < decoder_.blocks.size(); ++i) {
      const auto [k, v] = decoder_.blocks[i].cross->keys_values(rows);
      nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
    }
  }
  // A tied head reads the hidden rows scaled down, when the config says so.
  Tensor head(const Tensor& hidden) const override {
    return head_(c_.scale_decoder_outputs ? hidden * (1 / std::sqrt(static_cast<float>(c_.d_model))) : hidden);
  }

  nn::CacheShape cache_shape() const override { return {static_cast<int>(c_.num_decoder_layers), c_.num_heads, c_.d_kv}; }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return 0; }

 protected:
  bool decodes_its_input() const override { return kind() == HeadKind::sequence_classification || kind() == HeadKind::question_answering; }

 private:
  T5Config c_;
  nn::Matrix shared_;
  Stack encoder_, decoder_;
  nn::Matrix head_;
};

// T5EncoderModel and T5ForTokenClassification.
class T5Encoder : public nn::EncoderModel {
 public:
  T5Encoder(const Json& json, const Weights& w)
      : EncoderModel(json), c_(json), shared_(w.matrix("shared", c_.vocab_size, c_.d_model, Init::with_std(c_.initializer_factor))), encoder_(c_, w / "encoder", false), drop_(nn::dropout_rate(json, "classifier_dropout", 0)) {
    if (kind() == HeadKind::token_classification)
      classifier_ = nn::Linear(w, "classifier", c_.d_model, nn::label_count(json), Init::with_std(c_.initializer_factor));
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return encoder_.forward(shared_.lookup(batch.ids), batch, states);
  }
  Outputs head(const Tensor& hidden, const nn::TokenBatch&) const override {
    if (classifier_.defined()) return {{{"logits", classifier_(nn::dropout(hidden, drop_))}}, {}};
    return {{{"last_hidden_state", hidden}}, {}};
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }

 private:
  T5Config c_;
  nn::Matrix shared_;
  Stack encoder_;
  nn::Linear classifier_;
  float drop_;  // before the classifier
};

std::unique_ptr<nn::Model> make_t5(const Json& config, const Weights& weights) {
  const std::string name = config.contains("architectures") ? config["architectures"][0].get<std::string>() : "";
  if (name.ends_with("EncoderModel") || nn::head_kind(config) == HeadKind::token_classification) return std::make_unique<T5Encoder>(config, weights);
  return std::make_unique<T5>(config, weights);
}

std::unique_ptr<nn::Model> make_umt5(const Json& config, const Weights& weights) {
  Json c = config;
  c["model_type"] = "umt5";  // where it is named by its architecture alone
  return make_t5(c, weights);
}

constexpr GgufRule kT5Rules[] = {
    {"shared", "token_embd"},
    {"lm_head", "output"},
    {"encoder.final_layer_norm", "enc.output_norm"},
    {"encoder.block.{}.layer.0.layer_norm", "enc.blk.{}.attn_norm"},
    {"encoder.block.{}.layer.0.SelfAttention.q", "enc.blk.{}.attn_q"},
    {"encoder.block.{}.layer.0.SelfAttention.k", "enc.blk.{}.attn_k"},
    {"encoder.block.{}.layer.0.SelfAttention.v", "enc.blk.{}.attn_v"},
    {"encoder.block.{}.layer.0.SelfAttention.o", "enc.blk.{}.attn_o"},
    {"encoder.block.{}.layer.0.SelfAttention.relative_attention_bias", "enc.blk.{}.attn_rel_b"},
    {"encoder.block.{}.layer.1.layer_norm", "enc.blk.{}.ffn_norm"},
    {"encoder.block.{}.layer.1.DenseReluDense.wo", "enc.blk.{}.ffn_down"},
    {"decoder.final_layer_norm", "dec.output_norm"},
    {"decoder.block.{}.layer.0.layer_norm", "dec.blk.{}.attn_norm"},
    {"decoder.block.{}.layer.0.SelfAttention.q", "dec.blk.{}.attn_q"},
    {"decoder.block.{}.layer.0.SelfAttention.k", "dec.blk.{}.attn_k"},
    {"decoder.block.{}.layer.0.SelfAttention.v", "dec.blk.{}.attn_v"},
    {"decoder.block.{}.layer.0.SelfAttention.o", "dec.blk.{}.attn_o"},
    {"decoder.block.{}.layer.0.SelfAttention.relative_attention_bias", "dec.blk.{}.attn_rel_b"},
    {"decoder.block.{}.layer.1.layer_norm", "dec.blk.{}.cross_attn_norm"},
    {"decoder.block.{}.layer.1.EncDecAttention.q", "dec.blk.{}.cross_attn_q"},
    {"decoder.block.{}.layer.1.EncDecAttention.k", "dec.blk.{}.cross_attn_k"},
    {"decoder.block.{}.layer.1.EncDecAttention.v", "dec.blk.{}.cross_attn_v"},
    {"decoder.block.{}.layer.1.EncDecAttention.o", "dec.blk.{}.cross_attn_o"},
    {"decoder.block.{}.layer.2.layer_norm", "dec.blk.{}.ffn_norm"},
    {"decoder.block.{}.layer.2.DenseReluDense.wo", "dec.blk.{}.ffn_down"},
};

// GGUF calls the matrix that units without a gate have as it calls the second one of those with a gate.
constexpr GgufRule kPlainUnits[] = {{"encoder.block.{}.layer.1.DenseReluDense.wi", "enc.blk.{}.ffn_up"}, {"decoder.block.{}.layer.2.DenseReluDense.wi", "dec.blk.{}.ffn_up"}};
constexpr GgufRule kGatedUnits[] = {{"encoder.block.{}.layer.1.DenseReluDense.wi_0", "enc.blk.{}.ffn_gate"},
                                    {"encoder.block.{}.layer.1.DenseReluDense.wi_1", "enc.blk.{}.ffn_up"},
                                    {"decoder.block.{}.layer.2.DenseReluDense.wi_0", "dec.blk.{}.ffn_gate"},
                                    {"decoder.block.{}.layer.2.DenseReluDense.wi_1", "dec.blk.{}.ffn_up"}};

template <const auto& units>
constexpr auto with_units() {
  std::array<GgufRule, std::size(kT5Rules) + std::size(units)> all{};
  std::copy(std::begin(units), std::end(units), std::copy(std::begin(kT5Rules), std::end(kT5Rules), all.begin()));
  return all;
}
constexpr auto kPlain = with_units<kPlainUnits>();
constexpr auto kGated = with_units<kGatedUnits>();

std::span<const GgufRule> t5_rules(const Json& config) {
  if (nn::config_string(config, "feed_forward_proj", "relu").starts_with("gated-")) return kGated;
  return kPlain;
}

// What GGUF calls the numbers of the config.
constexpr std::pair<const char*, const char*> kNumbers[] = {
    {"embedding_length", "d_model"},
    {"block_count", "num_layers"},
    {"decoder_block_count", "num_decoder_layers"},
    {"feed_forward_length", "d_ff"},
    {"attention.head_count", "num_heads"},
    {"attention.key_length", "d_kv"},
    {"attention.relative_buckets_count", "relative_attention_num_buckets"},
    {"decoder_start_token_id", "decoder_start_token_id"},
};

Json t5_config_from_gguf(const Json& m, const std::string& head) {
  const Json& tensors = m.at("tensors");
  const bool table_per_layer = tensors.contains("enc.blk.1.attn_rel_b.weight");
  Json c = {{"model_type", table_per_layer ? "umt5" : "t5"}, {"architectures", {(table_per_layer ? "UMT5" : "T5") + head}}};
  if (tensors.contains("enc.blk.0.ffn_up.weight")) c["feed_forward_proj"] = tensors.contains("enc.blk.0.ffn_gate.weight") ? "gated-gelu" : "relu";
  for (const auto& [from, to] : kNumbers)
    if (m.contains(from)) c[to] = m[from];
  for (const auto& [from, to] : {std::pair{"tokenizer.ggml.eos_token_id", "eos_token_id"}, {"tokenizer.ggml.padding_token_id", "pad_token_id"}})
    if (m.contains(from)) c[to] = m[from];
  for (const char* eps : {"attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"})
    if (m.contains(eps)) c["layer_norm_epsilon"] = m[eps];
  return c;
}
Json config_of_t5(const Json& m) { return t5_config_from_gguf(m, "ForConditionalGeneration"); }
Json config_of_t5_encoder(const Json& m) { return t5_config_from_gguf(m, "EncoderModel"); }

Json t5_metadata_for_gguf(const Json& json, const char* head) {
  const T5Config c(json);
  const std::string unit = nn::config_string(json, "feed_forward_proj", "relu");
  require(json.contains("architectures") && json["architectures"][0].get<std::string>().ends_with(head) && (unit == "relu" || unit == "gated-gelu") &&
              c.relative_attention_max_distance == 128 && c.scale_decoder_outputs == c.tie_word_embeddings,
          "convert: GGUF's t5 holds ForConditionalGeneration and EncoderModel with relu or gated-gelu and biases up to distance 128; keep the model as safetensors");
  Json m = {{"context_length", nn::config_int(json, "n_positions", 512)}, {"attention.value_length", c.d_kv}, {"attention.layer_norm_epsilon", c.layer_norm_epsilon},
            {"attention.layer_norm_rms_epsilon", c.layer_norm_epsilon}};
  const Json known = {{"d_model", c.d_model}, {"num_layers", c.num_layers}, {"num_decoder_layers", c.num_decoder_layers}, {"d_ff", c.d_ff}, {"num_heads", c.num_heads},
                      {"d_kv", c.d_kv}, {"relative_attention_num_buckets", c.relative_attention_num_buckets},
                      {"decoder_start_token_id", nn::config_int(json, "decoder_start_token_id", nn::config_int(json, "pad_token_id", 0, 0), 0)}};
  for (const auto& [name, from] : kNumbers) m[name] = known[from];
  return m;
}
Json metadata_of_t5(const Json& config) { return t5_metadata_for_gguf(config, "ForConditionalGeneration"); }
Json metadata_of_t5_encoder(const Json& config) { return t5_metadata_for_gguf(config, "EncoderModel"); }

constexpr GgufFamily kGguf = {"t5", config_of_t5, metadata_of_t5, t5_rules};
constexpr GgufFamily kGgufEncoder = {"t5encoder", config_of_t5_encoder, metadata_of_t5_encoder, t5_rules};

const std::vector<std::string_view> kT5Ignored = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
                                                  "EncDecAttention.relative_attention_bias.weight"};

}  // namespace

extern const ModelEntry model_t5{"t5",
                                 {"T5ForConditionalGeneration", "T5Model", "T5ForSequenceClassification", "T5ForTokenClassification", "T5ForQuestionAnswering"},
                                 make_t5,
                                 "transformer.",
                                 kT5Ignored,
                                 kGguf};
extern const ModelEntry model_t5_encoder{"t5", {"T5EncoderModel"}, make_t5, "transformer.", kT5Ignored, kGgufEncoder};
extern const ModelEntry model_mt5{
    "mt5",
    {"MT5ForConditionalGeneration", "MT5Model", "MT5ForSequenceClassification", "MT5ForTokenClassification", "MT5ForQuestionAnswering"},
    make_t5,
    "transformer.",
    kT5Ignored,
    kGguf};
extern const ModelEntry model_mt5_encoder{"mt5", {"MT5EncoderModel"}, make_t5, "transformer.", kT5Ignored, kGgufEncoder};
extern const ModelEntry model_umt5{
    "umt5",
    {"UMT5ForConditionalGeneration", "UMT5Model", "UMT5ForSequenceClassification", "UMT5ForTokenClassification", "UMT5ForQuestionAnswering"},
    make_umt5,
    "transformer.",
    kT5Ignored,
    kGguf};
extern const ModelEntry model_umt5_encoder{"umt5", {"UMT5EncoderModel"}, make_umt5, "transformer.", kT5Ignored, kGgufEncoder};

}  // namespace mynah
