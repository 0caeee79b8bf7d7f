// Mamba ("Linear-time sequence modeling with selective state spaces", arXiv:2312.00752): no attention. Each layer's state has a fixed
// size, whatever the length of the text: the last inputs of a short convolution and the state of the scan.
// Checkpoints: state-spaces/mamba-130m-hf to mamba-2.8b-hf. Weights are named as in transformers. hidden_states.N are the outputs
// of the layers and, behind them, of the final norm: as in the reference the embeddings are not among them.
// Shapes: N tokens of all sequences, C hidden, I inner channels, S elements of a channel's state, R rank of the step, K width of the
// convolution, V vocabulary.
#include <algorithm>
#include <cmath>

#include "autograd/record.h"
#include "base/require.h"
#include "models/model_entry.h"
#include "nn/causal_lm.h"
#include "nn/config.h"
#include "nn/layers.h"
#include "nn/recompute.h"
#include "ops/selective_scan.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Weights;

struct MambaConfig {
  explicit MambaConfig(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 50280)),
        hidden_size(nn::config_int(c, "hidden_size", 768)),
        state_size(nn::config_int(c, "state_size", 16, 1, 4096)),
        num_hidden_layers(nn::config_int(c, "num_hidden_layers", 32, 1, 10000)),
        conv_kernel(nn::config_int(c, "conv_kernel", 4, 1, 4096)),
        intermediate_size(static_cast<int64_t>(nn::config_number(c, "expand", 2) * static_cast<double>(hidden_size))),
        layer_norm_epsilon(static_cast<float>(nn::config_number(c, "layer_norm_epsilon", 1e-5))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.1))),
        use_bias(nn::config_bool(c, "use_bias", false)),
        use_conv_bias(nn::config_bool(c, "use_conv_bias", true)),
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)),
        hidden_act(activation(nn::config_string(c, "hidden_act", "silu"))) {
    const bool derived = !c.contains("time_step_rank") || c["time_step_rank"].is_null() || c["time_step_rank"] == "auto";
    time_step_rank = derived ? (hidden_size + 15) / 16 : nn::config_int(c, "time_step_rank");
    require(intermediate_size > 0, "config.json: expand {} leaves no channels", nn::config_number(c, "expand", 2));
  }

  int64_t vocab_size, hidden_size, state_size, num_hidden_layers, conv_kernel, intermediate_size, time_step_rank = 0;
  float layer_norm_epsilon, initializer_range;
  bool use_bias, use_conv_bias, tie_word_embeddings;
  Activation hidden_act;

  Init init() const { return Init::with_std(initializer_range); }
  // Of a layer's state: the scan's [S, I], then the convolution's last inputs [K - 1, I].
  int64_t scan_state() const { return state_size * intermediate_size; }
  int64_t state() const { return scan_state() + (conv_kernel - 1) * intermediate_size; }
};

// Rows of all sequences with the K - 1 inputs before each sequence in front of it: from its state, where the new last ones are left.
Tensor with_past(const MambaConfig& c, const Tensor& x, const nn::TokenBatch& batch, int layer) {
  const int64_t past = c.conv_kernel - 1, width = c.intermediate_size;
  std::vector<Tensor> parts;
  int64_t row = 0;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    Tensor before = Tensor::zeros({past, width});
    float* kept = batch.caches.empty() ? nullptr : batch.caches[i]->state(layer).data() + c.scan_state();
    if (kept) std::copy_n(kept, past * width, before.data<float>());
    const Tensor rows = narrow(x, 0, row, batch.lengths[i]);
    parts.push_back(before);
    parts.push_back(rows);
    row += batch.lengths[i];
    if (!kept) continue;
    const Tensor all = contiguous(cat({before, rows}, 0));
    std::copy_n(all.data<float>() + (all.size(0) - past) * width, past * width, kept);
  }
  return cat(parts, 0);
}

struct Mixer {
  Mixer(const MambaConfig& config, const Weights& w, int index)
      : c(config),
        layer(index),
        in(w, "in_proj", c.hidden_size, 2 * c.intermediate_size, c.init(), c.use_bias),
        parameters(w, "x_proj", c.intermediate_size, c.time_step_rank + 2 * c.state_size, c.init(), false),
        step(w.matrix("dt_proj", c.intermediate_size, c.time_step_rank, Init::with_std(1 / std::sqrt(3 * static_cast<float>(c.time_step_rank))))),
        out(w, "out_proj", c.intermediate_size, c.hidden_size, c.init(), c.use_bias) {
    constexpr float kFirstStep = -4.6f;  // softplus of it is 0.01, the middle of the steps that training starts with
    step_bias = (w / "dt_proj").tensor("bias", {c.intermediate_size}, {Init::constant, kFirstStep});
    conv = (w / "conv1d").tensor("weight", {c.intermediate_size, 1, c.conv_kernel}, Init::with_std(0.5f / std::sqrt(static_cast<float>(c.conv_kernel))));
    if (c.use_conv_bias) conv_bias = (w / "conv1d").tensor("bias", {c.intermediate_size}, Init::zeros());
    a_log = w.tensor("A_log", {c.intermediate_size, c.state_size}, Init::with_std(1));
    d = w.tensor("D", {c.intermediate_size}, Init::ones());
    if (!a_log.requires_grad()) a = neg(exp(a_log));
  }

  // The causal convolution of every channel with itself.
  Tensor convolve(const Tensor& x, const nn::TokenBatch& batch) const {
    const Tensor rows = with_past(c, x, batch, layer);
    Tensor y = conv_bias;
    for (int64_t k = 0; k < c.conv_kernel; ++k) {
      std::vector<int64_t> from;
      int64_t first = k;
      for (const int64_t length : batch.lengths) {
        for (int64_t t = 0; t < length; ++t) from.push_back(first + t);
        first += length + c.conv_kernel - 1;
      }
      const Tensor part = index_rows(rows, from) * select(select(conv, 2, k), 1, 0);
      y = y.defined() ? part + y : part;
    }
    return y;
  }

  Tensor operator()(const Tensor& hidden, const nn::TokenBatch& batch, const Tensor& mask) const {
    const auto shown = [&](const Tensor& rows) { return mask.defined() ? rows * mask : rows; };
    const Tensor both = in(hidden);
    const Tensor gate = activate(narrow(both, 1, c.intermediate_size, c.intermediate_size), c.hidden_act);
    const Tensor x = shown(activate(convolve(shown(narrow(both, 1, 0, c.intermediate_size)), batch), c.hidden_act));
    const Tensor p = parameters(x);
    const Tensor steps = step(narrow(p, 1, 0, c.time_step_rank), {step_bias});
    std::vector<ops::ScanSequence> sequences;
    for (size_t i = 0; i < batch.lengths.size(); ++i) sequences.push_back({batch.lengths[i], batch.caches.empty() ? nullptr : batch.caches[i]->state(layer).data()});
    const Tensor y = ops::selective_scan(x, steps, a.defined() ? a : neg(exp(a_log)), narrow(p, 1, c.time_step_rank, c.state_size),
                                         narrow(p, 1, c.time_step_rank + c.state_size, c.state_size), sequences);
    return out((y + x * d) * gate);
  }

  const MambaConfig c;
  const int layer;
  nn::Linear in, parameters;
  nn::Matrix step;
  nn::Linear out;
  Tensor step_bias, conv, conv_bias, a_log, d;
  Tensor a;  // -exp(a_log), computed once where that is not trained
};

struct MambaLayer {
  MambaLayer(const MambaConfig& c, const Weights& w, int index) : norm(w, "norm", c.hidden_size, c.layer_norm_epsilon), mixer(c, w / "mixer", index) {}
  nn::RmsNorm norm;
  Mixer mixer;
};

class Mamba : public nn::CausalLM {
 public:
  Mamba(const Json& json, const Weights& w) : CausalLM(json), c_(json) {
    const Weights base = w / "backbone";
    embeddings_ = base.matrix("embeddings", c_.vocab_size, c_.hidden_size, c_.init());
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, base / "layers" / i, static_cast<int>(i));
    norm_ = nn::RmsNorm(base, "norm_f", c_.hidden_size, c_.layer_norm_epsilon);
    head_ = load_head(w, "lm_head", embeddings_, c_.tie_word_embeddings, c_.init());
  }

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor mask;
    if (!batch.key_mask.empty()) {
      mask = Tensor::empty({static_cast<int64_t>(batch.key_mask.size()), 1});
      std::copy(batch.key_mask.begin(), batch.key_mask.end(), mask.data<float>());
    }
    Tensor x = embeddings_.lookup(batch.ids);
    for (const MambaLayer& layer : layers_) {
      x = nn::layer(x, {}, batch, [&layer, mask](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return in + layer.mixer(layer.norm(in), b, mask); });
      if (states) states->push_back(x);
    }
    for (size_t i = 0; i < batch.caches.size(); ++i) batch.caches[i]->advance(batch.lengths[i]);
    x = norm_(x);
    if (states) states->push_back(x);
    return x;
  }
  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  nn::CacheShape cache_shape() const override { return {.layers = static_cast<int>(c_.num_hidden_layers), .state = c_.state()}; }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return 0; }
  bool packs() const override { return false; }

 private:
  const MambaConfig c_;
  nn::Matrix embeddings_, head_;
  std::vector<MambaLayer> layers_;
  nn::RmsNorm norm_;
};

std::unique_ptr<nn::Model> make_mamba(const Json& json, const Weights& w) { return std::make_unique<Mamba>(json, w); }

}  // namespace

extern const ModelEntry model_mamba{"mamba", {"MambaForCausalLM", "MambaModel"}, make_mamba, "backbone.", {}, {}, {{"backbone.embeddings.", "backbone.embedding."}}};

}  // namespace mynah
