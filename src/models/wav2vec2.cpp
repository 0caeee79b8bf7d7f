// Wav2Vec 2.0, MMS (language adapters) and HuBERT: a stack of convolutions over samples, then a transformer; CTC and classifiers.
// Papers: arXiv:2006.11477, arXiv:2305.13516, arXiv:2106.07447. Shapes: B sounds, T frames of each, N = B * T rows, C hidden.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/wav2vec2_layers.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/ctc_loss.h"
#include "nn/inputs.h"
#include "nn/layers.h"
#include "nn/losses.h"
#include "nn/model.h"
#include "nn/recompute.h"
#include "nn/spec_augment.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Init;
using nn::NamedTensors;
using nn::Weights;

struct Wav2vec2Config : SoundFeatureConfig {
  int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, vocab_size, adapter_attn_dim;
  bool do_stable_layer_norm, conv_pos_batch_norm, feat_proj_layer_norm, use_weighted_layer_sum;
  Activation hidden_act;
  float layer_norm_eps, initializer_range;
  float hidden_dropout, attention_dropout, activation_dropout, feat_proj_dropout, final_dropout, layerdrop;  // while training

  explicit Wav2vec2Config(const Json& c)
      : SoundFeatureConfig(c),
        hidden_size(nn::config_int(c, "hidden_size", 768)),
        num_hidden_layers(nn::config_int(c, "num_hidden_layers", 12, 1, 10000)),
        num_attention_heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
        intermediate_size(nn::config_int(c, "intermediate_size", 3072)),
        vocab_size(nn::config_int(c, "vocab_size", 32)),
        adapter_attn_dim(nn::config_int(c, "adapter_attn_dim", 0, 0)),
        do_stable_layer_norm(nn::config_bool(c, "do_stable_layer_norm", false)),
        conv_pos_batch_norm(nn::config_bool(c, "conv_pos_batch_norm", false)),
        feat_proj_layer_norm(nn::config_bool(c, "feat_proj_layer_norm", true)),
        use_weighted_layer_sum(nn::config_bool(c, "use_weighted_layer_sum", false)),
        hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))),
        layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-5))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
        hidden_dropout(nn::dropout_rate(c, "hidden_dropout", 0.1)),
        attention_dropout(nn::dropout_rate(c, "attention_dropout", 0.1)),
        activation_dropout(nn::dropout_rate(c, "activation_dropout", 0.1)),
        feat_proj_dropout(nn::dropout_rate(c, "feat_proj_dropout", 0)),
        final_dropout(nn::dropout_rate(c, "final_dropout", 0.1)),
        layerdrop(nn::dropout_rate(c, "layerdrop", 0.1)) {
    require(hidden_size % num_attention_heads == 0 && hidden_size % num_conv_pos_embedding_groups == 0,
            "config.json: hidden_size {} is not a multiple of num_attention_heads {} and num_conv_pos_embedding_groups {}", hidden_size, num_attention_heads,
            num_conv_pos_embedding_groups);
    require(!nn::config_bool(c, "add_adapter", false), "config.json: add_adapter is not supported for this family");
  }
  Init init() const { return Init::with_std(initializer_range); }
};

struct Wav2vec2Layer {
  Wav2vec2Layer(const Wav2vec2Config& c, const Weights& w)
      : heads(c.num_attention_heads),
        head_dim(c.hidden_size / heads),
        stable(c.do_stable_layer_norm),
        qkv(w / "attention", {"q_proj", "k_proj", "v_proj"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init()),
        out_proj(w / "attention", "out_proj", c.hidden_size, c.hidden_size, c.init()),
        norm(w, "layer_norm", c.hidden_size, c.layer_norm_eps),
        intermediate(w / "feed_forward", "intermediate_dense", c.hidden_size, c.intermediate_size, c.init()),
        output(w / "feed_forward", "output_dense", c.intermediate_size, c.hidden_size, c.init()),
        final_norm(w, "final_layer_norm", c.hidden_size, c.layer_norm_eps),
        act(c.hidden_act),
        drop(c.hidden_dropout),
        attention_drop(c.attention_dropout),
        activation_drop(c.activation_dropout) {
    if (!stable || c.adapter_attn_dim == 0) return;
    const Weights a = w / "adapter_layer";
    adapter_norm.emplace(a, "norm", c.hidden_size, 1e-5f);
    adapter_1 = nn::Linear(a, "linear_1", c.hidden_size, c.adapter_attn_dim, c.init());
    adapter_2 = nn::Linear(a, "linear_2", c.adapter_attn_dim, c.hidden_size, c.init());
  }
  Tensor attend(const Tensor& x, const nn::TokenBatch& batch) const {
    const int64_t n = x.size(0), size = heads * head_dim;
    const Tensor all = qkv(x);
    const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
    AttentionConfig config;
    config.causal = false;
    return nn::dropout(out_proj(reshape(nn::attend(part(0), part(1), part(2), batch, 0, config, attention_drop), {n, size})), drop);
  }
  Tensor feed_forward(const Tensor& x) const { return nn::dropout(output(nn::dropout(activate(intermediate(x), act), activation_drop)), drop); }
  Tensor forward(const Tensor& in, const nn::TokenBatch& batch) const {
    if (!stable) {
      const Tensor x = norm(in + attend(in, batch));
      return final_norm(x + feed_forward(x));
    }
    Tensor x = in + attend(norm(in), batch);
    x = x + feed_forward(final_norm(x));
    return adapter_norm ? x + adapter_2(relu(adapter_1((*adapter_norm)(x)))) : x;
  }

  int64_t heads, head_dim;
  bool stable;
  nn::JoinedLinear qkv;
  nn::Linear out_proj;
  nn::LayerNorm norm;
  nn::Linear intermediate, output;
  nn::LayerNorm final_norm;
  Activation act;
  float drop, attention_drop, activation_drop;
  std::optional<nn::LayerNorm> adapter_norm;
  nn::Linear adapter_1, adapter_2;
};

class Wav2Vec2 : public nn::Model {
 public:
  Wav2Vec2(const Json& json, const Weights& weights, const char* prefix, bool hubert) : json_(json), kind_(nn::head_kind(json)), c_(json), augment_(json, true), hubert_(hubert) {
    const Weights w = weights / prefix;
    for (size_t i = 0; i < c_.conv_dim.size(); ++i) features_.emplace_back(c_, w / "feature_extractor" / "conv_layers" / static_cast<int64_t>(i), i);
    if (!hubert || c_.feat_proj_layer_norm) feature_norm_.emplace(w / "feature_projection", "layer_norm", c_.conv_dim.back(), c_.layer_norm_eps);
    projection_ = nn::Linear(w / "feature_projection", "projection", c_.conv_dim.back(), c_.hidden_size, c_.init());
    positions_.emplace(c_, w / "encoder" / "pos_conv_embed", c_.hidden_size, c_.conv_pos_batch_norm);
    norm_ = nn::LayerNorm(w / "encoder", "layer_norm", c_.hidden_size, c_.layer_norm_eps);
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, w / "encoder" / "layers" / i);
    if (w.has("masked_spec_embed")) hidden_moment_ = w.tensor("masked_spec_embed", {c_.hidden_size}, c_.init());
    if (kind_ == HeadKind::ctc) head_ = nn::Linear(weights, "lm_head", c_.hidden_size, c_.vocab_size, c_.init());
    if (kind_ == HeadKind::sequence_classification) {
      const int64_t width = nn::config_int(json, "classifier_proj_size", 256);
      projector_ = nn::Linear(weights, "projector", c_.hidden_size, width, c_.init());
      head_ = nn::Linear(weights, "classifier", width, nn::label_count(json), c_.init());
      if (c_.use_weighted_layer_sum) layer_weights_ = weights.tensor("layer_weights", {c_.num_hidden_layers + 1}, Init::ones());
    }
  }

  HeadKind kind() const override { return kind_; }

  // Inputs: input_values [B,samples]; optional attention_mask of that shape (tails hidden), labels: [B,L] filled with -100 for CTC,
  // [B] for classifiers. Outputs: last_hidden_state, extract_features; logits; loss; hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"input_values", "attention_mask", "labels"});
    const Tensor samples = in.floats("input_values", {-1, -1});
    const int64_t sounds = samples.size(0);
    const auto mask = in.mask("attention_mask", samples.shape());
    const std::vector<int64_t> lengths = c_.frames_of(samples.shape(), mask);  // frames of each sound that count

    Tensor x = unsqueeze(samples, 1);
    for (const SoundFeatureLayer& layer : features_) x = layer.forward(x);
    Tensor features = transpose(x, 1, 2);  // [B,T,C]
    if (feature_norm_) features = (*feature_norm_)(features);
    std::vector<Tensor> states;
    const Tensor projected = augmented(nn::dropout(projection_(features), c_.feat_proj_dropout), lengths);
    const Tensor hidden = encode(projected, lengths, !mask.empty(), options.hidden_states || layer_weights_.defined() ? &states : nullptr);
    NamedTensors out;
    if (options.hidden_states)
      for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
    if (kind_ == HeadKind::bare) {
      out["last_hidden_state"] = hidden;
      if (!hubert_) out["extract_features"] = features;
    } else if (kind_ == HeadKind::ctc) {
      out["logits"] = head_(nn::dropout(hidden, c_.final_dropout));
      if (in.has("labels")) out["loss"] = loss(out["logits"], lengths, in);
    } else {
      out["logits"] = classify(hidden, states, lengths);
      if (in.has("labels")) out["loss"] = nn::token_loss(out["logits"], in.integers("labels", {sounds}));
    }
    return out;
  }

 private:
  // [B,T,C] with 1 where a frame counts.
  static Tensor frame_mask(const Shape& shape, const std::vector<int64_t>& lengths) {
    Tensor m = Tensor::zeros({shape[0], shape[1], 1});
    for (int64_t b = 0; b < shape[0]; ++b) std::fill_n(m.data<float>() + b * shape[1], lengths[static_cast<size_t>(b)], 1.0f);
    return m;
  }

  // x with what SpecAugment hides: moments become a vector that is learnt, features 0.
  Tensor augmented(Tensor x, const std::vector<int64_t>& lengths) const {
    const int64_t sounds = x.size(0), steps = x.size(1);
    const auto shares = [](const std::vector<uint8_t>& hidden, const Shape& shape, bool kept) {
      std::vector<float> values;
      for (const uint8_t h : hidden) values.push_back((h != 0) != kept ? 1.0f : 0.0f);
      return Tensor::from(values, shape);
    };
    if (hidden_moment_.defined())
      if (const auto hidden = augment_.hidden_moments(steps, lengths); !hidden.empty())
        x = x * shares(hidden, {sounds, steps, 1}, true) + shares(hidden, {sounds, steps, 1}, false) * hidden_moment_;
    if (const auto hidden = augment_.hidden_features(sounds, x.size(2)); !hidden.empty()) x = x * shares(hidden, {sounds, 1, x.size(2)}, true);
    return x;
  }

  Tensor encode(Tensor x, const std::vector<int64_t>& lengths, bool masked, std::vector<Tensor>* states) const {
    const Shape shape = x.shape();
    nn::TokenBatch batch;
    batch.lengths.assign(lengths.size(), shape[1]);
    if (masked) {
      x = x * frame_mask(shape, lengths);
      for (const int64_t length : lengths)
        for (int64_t t = 0; t < shape[1]; ++t) batch.key_mask.push_back(t < length);
    }
    x = x + positions_->forward(x);
    if (!c_.do_stable_layer_norm) x = norm_(x);
    Tensor rows = reshape(nn::dropout(x, c_.hidden_dropout), {shape[0] * shape[1], shape[2]});
    const auto note = [&](const Tensor& r) {
      if (states) states->push_back(reshape(r, shape));
    };
    for (const Wav2vec2Layer& layer : layers_) {
      note(rows);
      if (nn::skips_layer(c_.layerdrop)) continue;
      rows = nn::layer(rows, {}, batch, [&layer](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b); });
    }
    if (c_.do_stable_layer_norm) rows = norm_(rows);
    note(rows);
    return reshape(rows, shape);
  }

  Tensor loss(const Tensor& logits, const std::vector<int64_t>& lengths, const nn::Inputs& in) const {
    const Shape shape = in.shape_of("labels", 2, "[batch, labels]");
    require(shape[0] == logits.size(0), "forward: labels has {} rows, input_values {}", shape[0], logits.size(0));
    const auto all = in.integers("labels", shape);
    std::vector<std::vector<int32_t>> labels(static_cast<size_t>(shape[0]));
    for (size_t i = 0; i < all.size(); ++i)
      if (all[i] >= 0) labels[i / static_cast<size_t>(shape[1])].push_back(all[i]);
    nn::CtcOptions options;
    options.blank = static_cast<int32_t>(nn::config_int(json_, "pad_token_id", 0, 0));
    options.mean = nn::config_string(json_, "ctc_loss_reduction", "sum") == "mean";
    options.zero_infinity = nn::config_bool(json_, "ctc_zero_infinity", false);
    const Tensor rows = reshape(log_softmax(logits), {logits.size(0) * logits.size(1), logits.size(2)});
    return nn::ctc_loss(rows, logits.size(0), lengths, labels, options);
  }

  // Mean over the frames that count.
  Tensor classify(Tensor hidden, const std::vector<Tensor>& states, const std::vector<int64_t>& lengths) const {
    if (layer_weights_.defined()) {
      const Tensor weights = softmax(layer_weights_);
      hidden = states[0] * select(weights, 0, 0);
      for (size_t i = 1; i < states.size(); ++i) hidden = hidden + states[i] * select(weights, 0, static_cast<int64_t>(i));
    }
    const Tensor projected = projector_(hidden);
    Tensor share = frame_mask(projected.shape(), lengths);
    for (int64_t b = 0; b < share.size(0); ++b)
      for (int64_t t = 0; t < share.size(1); ++t) share.data<float>()[b * share.size(1) + t] /= static_cast<float>(lengths[static_cast<size_t>(b)]);
    return head_(sum(projected * share, 1));
  }

  const Json json_;
  HeadKind kind_;
  Wav2vec2Config c_;
  nn::SpecAugment augment_;
  bool hubert_;
  std::vector<SoundFeatureLayer> features_;
  std::optional<nn::LayerNorm> feature_norm_;
  nn::Linear projection_;
  Tensor hidden_moment_;  // [C]; undefined where the checkpoint has none
  std::optional<PositionalConvolution> positions_;
  nn::LayerNorm norm_;
  std::vector<Wav2vec2Layer> layers_;
  nn::Linear projector_, head_;
  Tensor layer_weights_;
};

std::unique_ptr<nn::Model> make_wav2vec2(const Json& config, const Weights& w) { return std::make_unique<Wav2Vec2>(config, w, "wav2vec2", false); }
std::unique_ptr<nn::Model> make_hubert(const Json& config, const Weights& w) { return std::make_unique<Wav2Vec2>(config, w, "hubert", true); }

}  // namespace

extern const ModelEntry model_wav2vec2{"wav2vec2", {"Wav2Vec2ForCTC", "Wav2Vec2Model", "Wav2Vec2ForSequenceClassification"}, make_wav2vec2, "wav2vec2.",
                                       {".masked_spec_embed"}, {}};
extern const ModelEntry model_hubert{"hubert", {"HubertForCTC", "HubertModel", "HubertForSequenceClassification"}, make_hubert, "hubert.", {".masked_spec_embed", ".num_batches_tracked"}, {}};

}  // namespace mynah
