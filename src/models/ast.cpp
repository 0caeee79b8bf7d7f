// Audio spectrogram transformer: a ViT that looks at mel spectra through overlapping patches. Paper: arXiv:2104.01778.
// Shapes: B sounds, T frames, M mel bins.

#include "base/require.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/losses.h"

namespace mynah {
namespace {

using nn::NamedTensors;
using nn::Weights;

struct AstConfig : VitConfig {
  int64_t patch, frequency_stride, time_stride, max_length, num_mel_bins;

  explicit AstConfig(const Json& c)
      : VitConfig(c),
        patch(nn::config_int(c, "patch_size", 16)),
        frequency_stride(nn::config_int(c, "frequency_stride", 10)),
        time_stride(nn::config_int(c, "time_stride", 10)),
        max_length(nn::config_int(c, "max_length", 1024)),
        num_mel_bins(nn::config_int(c, "num_mel_bins", 128)) {
    require(patch <= max_length && patch <= num_mel_bins,
            "config.json: patch_size {} is larger than max_length {} or num_mel_bins {}", patch, max_length,
            num_mel_bins);
  }
  int64_t patches() const {
    return ((num_mel_bins - patch) / frequency_stride + 1) * ((max_length - patch) / time_stride + 1);
  }
};

class Ast : public nn::Model {
 public:
  Ast(const Json& json, const Weights& weights, const Weights& w)
      : json_(json),
        kind_(nn::head_kind(json)),
        c_(json),
        stack_(c_, w / "encoder"),
        norm_(w, "layernorm", c_.hidden_size, c_.layer_norm_eps) {
    const Weights e = w / "embeddings", projection = e / "patch_embeddings" / "projection";
    for (const char* name : {"cls_token", "distillation_token"})
      special_.push_back(e.tensor(name, {1, 1, c_.hidden_size}, c_.init()));
    positions_ = e.tensor("position_embeddings", {1, c_.patches() + 2, c_.hidden_size}, c_.init());
    projection_ = projection.tensor("weight", {c_.hidden_size, 1, c_.patch, c_.patch}, c_.init());
    projection_bias_ = projection.tensor("bias", {c_.hidden_size}, nn::Init::zeros());
    if (kind_ == nn::HeadKind::bare) return;
    head_norm_ = nn::LayerNorm(weights / "classifier", "layernorm", c_.hidden_size, c_.layer_norm_eps);
    head_ = nn::Linear(weights / "classifier", "dense", c_.hidden_size, nn::label_count(json), c_.init());
  }

  nn::HeadKind kind() const override { return kind_; }

  // Inputs: input_values [B,T,M]; labels. Outputs: last_hidden_state and pooler_output; or logits and loss;
  // hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"input_values", "labels"});
    const Tensor spectra = in.floats("input_values", {-1, c_.max_length, c_.num_mel_bins});
    const int64_t sounds = spectra.size(0), c = c_.hidden_size;
    ConvConfig strides;
    strides.stride = {c_.frequency_stride, c_.time_stride};
    const Tensor planes =
        conv2d(transpose(unsqueeze(spectra, 1), 2, 3), projection_, projection_bias_, strides);  // [B,C,M',T']
    const int64_t patches = planes.size(2) * planes.size(3);
    const Tensor rows =
        reshape(contiguous(transpose(reshape(planes, {sounds, c, patches}), 1, 2)), {sounds * patches, c});
    const int64_t tokens = patches + 2;
    Tensor x = reshape(join_tokens(special_, rows, sounds), {sounds, tokens, c}) + positions_;
    std::vector<Tensor> states;
    const int64_t kept = kind_ == nn::HeadKind::bare || options.hidden_states ? tokens : static_cast<int64_t>(special_.size());
    x = norm_(
        reshape(stack_.forward(reshape(x, {sounds * tokens, c}), sounds, options.hidden_states ? &states : nullptr, kept),
                {sounds, kept, c}));
    if (!states.empty()) states.back() = x;  // the last one counts after the norm, as in the reference
    const Tensor pooled = (select(x, 1, 0) + select(x, 1, 1)) * 0.5f;
    NamedTensors out;
    for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
    if (kind_ == nn::HeadKind::bare) {
      out["last_hidden_state"] = x;
      out["pooler_output"] = pooled;
      return out;
    }
    out["logits"] = head_(head_norm_(pooled));
    if (in.has("labels")) out["loss"] = nn::classification_loss(json_, out["logits"], in);
    return out;
  }

 private:
  const Json json_;
  nn::HeadKind kind_;
  AstConfig c_;
  std::vector<Tensor> special_;
  Tensor positions_, projection_, projection_bias_;
  VitStack stack_;
  nn::LayerNorm norm_, head_norm_;
  nn::Linear head_;
};

std::unique_ptr<nn::Model> make_ast(const Json& config, const Weights& w) {
  return std::make_unique<Ast>(config, w, w / "audio_spectrogram_transformer");
}

}  // namespace

extern const ModelEntry model_ast{"audio-spectrogram-transformer",
                                  {"ASTForAudioClassification", "ASTModel"},
                                  make_ast,
                                  "audio_spectrogram_transformer.",
                                  {},
                                  {}};

}  // namespace mynah
