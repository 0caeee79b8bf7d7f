// T5 1.0 and 1.1, Flan-T5, mT5. Papers: arXiv:1910.10683, arXiv:2002.05202 (gated units), arXiv:2010.11934 (mT5).
// No attention scale and no biases; the position of a key relative to its query picks a bias per head, one table for a stack.
// Shapes: N tokens of all sequences, C hidden (d_model), H heads, D head size (d_kv).
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "nn/config.h"
#include "nn/encoder_model.h"
#include "nn/relative_buckets.h"
#include "nn/seq2seq_lm.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::Weights;

struct Config {
  int64_t vocab_size, d_model, d_kv, d_ff, num_layers, num_decoder_layers, num_heads, relative_attention_num_buckets,
      relative_attention_max_distance;
  float layer_norm_epsilon, initializer_factor;
  bool tie_word_embeddings, gated;
  Activation act;

  explicit Config(const Json& c)
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
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)) {
    std::string unit = nn::config_string(c, "feed_forward_proj", "relu");
    gated = unit.starts_with("gated-");
    if (gated) unit = unit.substr(6);
    act = unit == "gelu" && gated ? Activation::gelu_tanh : activation(unit);
  }
  // Standard deviations of the reference's initialisation.
  Init init(int64_t fan_in) const { return Init::with_std(initializer_factor / std::sqrt(static_cast<float>(fan_in))); }
};

struct Attention {
  Attention(const Config& c, const Weights& w)
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

struct FeedForward {
  FeedForward(const Config& c, const Weights& w)
      : gated(c.gated), act(c.act), wo(w, "wo", c.d_ff, c.d_model, c.init(c.d_ff), false) {
    if (gated) wi = nn::JoinedLinear(w, {"wi_0", "wi_1"}, c.d_model, {c.d_ff, c.d_ff}, c.init(c.d_model), false);
    else wi = nn::JoinedLinear(w, {"wi"}, c.d_model, {c.d_ff}, c.init(c.d_model), false);
  }
  Tensor forward(const Tensor& x) const { return wo(gated ? glu(wi(x), act) : activate(wi(x), act)); }

  bool gated;
  Activation act;
  nn::JoinedLinear wi;
  nn::Linear wo;
};

struct Block {
  Block(const Config& c, const Weights& w, bool decoder)
      : self_norm(w / "layer" / 0, "layer_norm", c.d_model, c.layer_norm_epsilon),
        self(c, w / "layer" / 0 / "SelfAttention"),
        ff_norm(w / "layer" / (decoder ? 2 : 1), "layer_norm", c.d_model, c.layer_norm_epsilon),
        ff(c, w / "layer" / (decoder ? 2 : 1) / "DenseReluDense") {
    if (!decoder) return;
    cross_norm = nn::RmsNorm(w / "layer" / 1, "layer_norm", c.d_model, c.layer_norm_epsilon);
    cross.emplace(c, w / "layer" / 1 / "EncDecAttention");
  }

  nn::RmsNorm self_norm;
  Attention self;
  nn::RmsNorm cross_norm;
  std::optional<Attention> cross;
  nn::RmsNorm ff_norm;
  FeedForward ff;
};

struct Stack {
  Stack(const Config& c, const Weights& w, bool is_decoder)
      : decoder(is_decoder),
        max_distance(c.relative_attention_max_distance),
        buckets((w / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias")
                    .tensor("weight", {c.relative_attention_num_buckets, c.num_heads}, c.init(c.d_model))),
        final_norm(w, "final_layer_norm", c.d_model, c.layer_norm_epsilon) {
    const int64_t layers = decoder ? c.num_decoder_layers : c.num_layers;
    for (int64_t i = 0; i < layers; ++i) blocks.emplace_back(c, w / "block" / i, decoder);
  }

  Tensor forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
    AttentionConfig config, across;
    config.scale = across.scale = 1;
    config.causal = decoder;
    config.distance_bias = nn::distance_bias(buckets, batch.longest(), max_distance, !decoder);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Block& b = blocks[i];
      const int layer = static_cast<int>(i);
      if (states) states->push_back(x);
      const Tensor y = b.self_norm(x);
      const auto [k, v] = b.self.keys_values(y);
      x = x + b.self.output(nn::attend(b.self.queries(y), k, v, batch, layer, config));
      if (b.cross)
        x = x + b.cross->output(nn::attend_memory(b.cross->queries(b.cross_norm(x)), batch, layer, b.cross->heads,
                                                  [&](const Tensor& rows) { return b.cross->keys_values(rows); }, across));
      x = x + b.ff.forward(b.ff_norm(x));
    }
    x = final_norm(x);
    if (states) states->push_back(x);
    return x;
  }

  bool decoder;
  int64_t max_distance;
  Tensor buckets;
  std::vector<Block> blocks;
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
    const Init init = c_.init(c_.d_model);
    if (kind() == HeadKind::question_answering) classifier_ = nn::Linear(w, "qa_outputs", c_.d_model, 2, init);
    if (kind() == HeadKind::sequence_classification) {
      dense_ = nn::Linear(w / "classification_head", "dense", c_.d_model, c_.d_model, init);
      classifier_ = nn::Linear(w / "classification_head", "out_proj", c_.d_model, nn::label_count(json), init);
    }
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
    return head_(c_.tie_word_embeddings ? hidden * (1 / std::sqrt(static_cast<float>(c_.d_model))) : hidden);
  }

  nn::CacheShape cache_shape() const override { return {static_cast<int>(c_.num_decoder_layers), c_.num_heads, c_.d_kv}; }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return 0; }

 protected:
  Tensor classify(const Tensor& hidden) const override { return classifier_(dense_.defined() ? tanh(dense_(hidden)) : hidden); }
  bool decodes_its_input() const override { return kind() == HeadKind::sequence_classification || kind() == HeadKind::question_answering; }

 private:
  Config c_;
  nn::Matrix shared_;
  Stack encoder_, decoder_;
  nn::Matrix head_;
  nn::Linear dense_, classifier_;
};

// T5EncoderModel and T5ForTokenClassification.
class T5Encoder : public nn::EncoderModel {
 public:
  T5Encoder(const Json& json, const Weights& w)
      : EncoderModel(json), c_(json), shared_(w.matrix("shared", c_.vocab_size, c_.d_model, Init::with_std(c_.initializer_factor))), encoder_(c_, w / "encoder", false) {
    if (kind() == HeadKind::token_classification)
      classifier_ = nn::Linear(w, "classifier", c_.d_model, nn::label_count(json), Init::with_std(c_.initializer_factor));
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return encoder_.forward(shared_.lookup(batch.ids), batch, states);
  }
  Outputs head(const Tensor& hidden, const nn::TokenBatch&) const override {
    if (classifier_.defined()) return {{{"logits", classifier_(hidden)}}, {}};
    return {{{"last_hidden_state", hidden}}, {}};
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }

 private:
  Config c_;
  nn::Matrix shared_;
  Stack encoder_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make(const Json& config, const Weights& weights) {
  const std::string name = config.contains("architectures") ? config["architectures"][0].get<std::string>() : "";
  if (name.ends_with("EncoderModel") || nn::head_kind(config) == HeadKind::token_classification) return std::make_unique<T5Encoder>(config, weights);
  return std::make_unique<T5>(config, weights);
}

}  // namespace

extern const ModelEntry model_t5{"t5",
                                 {"T5ForConditionalGeneration", "T5Model", "T5EncoderModel", "T5ForSequenceClassification", "T5ForTokenClassification",
                                  "T5ForQuestionAnswering", "MT5ForConditionalGeneration", "MT5Model", "MT5EncoderModel",
                                  "MT5ForSequenceClassification", "MT5ForTokenClassification", "MT5ForQuestionAnswering"},
                                 make,
                                 "transformer.",
                                 {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "EncDecAttention.relative_attention_bias.weight"},
                                 {}};

}  // namespace mynah
