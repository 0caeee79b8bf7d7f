// VITS and MMS-TTS: text becomes speech in one pass. A transformer reads the tokens, a predictor says how long each of
// them sounds, a chain of invertible maps turns their means into a spectrogram and HiFi-GAN that into samples. Piper's
// voices are such models. Paper: arXiv:2106.06103. Shapes: B texts, T tokens, C hidden, H heads, D head size, F frames.
#include "models/vits.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/hifigan.h"
#include "models/model_entry.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/speech.h"

namespace mynah {
namespace vits {

Config::Config(const Json& c)
    : vocab_size(nn::config_int(c, "vocab_size", 38)),
      hidden_size(nn::config_int(c, "hidden_size", 192, 1, 1 << 20)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", 6, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", 2, 1, 100000)),
      window_size(c.contains("window_size") && c["window_size"].is_null()
                      ? 0
                      : nn::config_int(c, "window_size", 4, 1, 1 << 20)),
      ffn_dim(nn::config_int(c, "ffn_dim", 768)),
      ffn_kernel_size(nn::config_int(c, "ffn_kernel_size", 3, 1, 1 << 20)),
      flow_size(nn::config_int(c, "flow_size", 192, 2, 1 << 20)),
      num_speakers(nn::config_int(c, "num_speakers", 1)),
      speaker_embedding_size(nn::config_int(c, "speaker_embedding_size", 0, 0)),
      depth_separable_channels(nn::config_int(c, "depth_separable_channels", 2, 2, 2)),
      depth_separable_num_layers(nn::config_int(c, "depth_separable_num_layers", 3, 1, 20)),
      duration_predictor_flow_bins(nn::config_int(c, "duration_predictor_flow_bins", 10, 1, 1000)),
      duration_predictor_kernel_size(nn::config_int(c, "duration_predictor_kernel_size", 3, 1, 1000)),
      duration_predictor_num_flows(nn::config_int(c, "duration_predictor_num_flows", 4, 1, 1000)),
      duration_predictor_filter_channels(nn::config_int(c, "duration_predictor_filter_channels", 256)),
      prior_encoder_num_flows(nn::config_int(c, "prior_encoder_num_flows", 4, 1, 1000)),
      prior_encoder_num_wavenet_layers(nn::config_int(c, "prior_encoder_num_wavenet_layers", 4, 1, 1000)),
      wavenet_kernel_size(nn::config_int(c, "wavenet_kernel_size", 5, 1, 1 << 20)),
      wavenet_dilation_rate(nn::config_int(c, "wavenet_dilation_rate", 1, 1, 1000)),
      sampling_rate(nn::config_int(c, "sampling_rate", 16000, 1, 1 << 20)),
      use_bias(nn::config_bool(c, "use_bias", true)),
      use_stochastic_duration_prediction(nn::config_bool(c, "use_stochastic_duration_prediction", true)),
      hidden_act(activation(nn::config_string(c, "hidden_act", "relu"))),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-5))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      duration_predictor_tail_bound(static_cast<float>(nn::config_number(c, "duration_predictor_tail_bound", 5.0))),
      speaking_rate(static_cast<float>(nn::config_number(c, "speaking_rate", 1.0))),
      noise_scale(static_cast<float>(nn::config_number(c, "noise_scale", 0.667))),
      noise_scale_duration(static_cast<float>(nn::config_number(c, "noise_scale_duration", 0.8))) {
  require(hidden_size % num_attention_heads == 0,
          "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size, num_attention_heads);
  require(flow_size % 2 == 0, "config.json: flow_size is {}, expected an even number", flow_size);
  for (const auto& [name, size] : {std::pair{"duration_predictor_kernel_size", duration_predictor_kernel_size},
                                   {"wavenet_kernel_size", wavenet_kernel_size}})
    require(size % 2 == 1, "config.json: {} is {}, expected an odd number", name, size);
  require(duration_predictor_flow_bins < 1000 && duration_predictor_tail_bound > 0,
          "config.json: duration_predictor_flow_bins {} or tail bound {} out of range", duration_predictor_flow_bins,
          duration_predictor_tail_bound);
  require(speaking_rate > 0, "config.json: speaking_rate is {}, expected a positive number", speaking_rate);
}

}  // namespace vits

namespace {

using nn::Conv1d;
using nn::Conv1dConfig;
using nn::NamedTensors;
using nn::Weights;

// VitsAttention whose queries also meet an embedding of each distance up to `window`, and whose answers contain one.
struct VitsAttention {
  VitsAttention(const vits::Config& c, const Weights& w)
      : heads(c.num_attention_heads),
        head_dim(c.hidden_size / heads),
        window(c.window_size),
        qkv(w, {"q_proj", "k_proj", "v_proj"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init(),
            c.use_bias),
        out_proj(w, "out_proj", c.hidden_size, c.hidden_size, c.init(), c.use_bias) {
    if (window == 0) return;
    const Shape shape{1, 2 * window + 1, head_dim};
    const auto init = nn::Init::with_std(1 / std::sqrt(static_cast<float>(head_dim)));
    keys = w.tensor("emb_rel_k", shape, init);
    values = w.tensor("emb_rel_v", shape, init);
  }

  // x [B,T,C]; mask [B,T], 0 hides a token, or empty.
  Tensor operator()(const Tensor& x, const std::vector<uint8_t>& mask) const {
    const int64_t rows = x.size(0), length = x.size(1), size = heads * head_dim;
    const Tensor all = qkv(x);
    const auto part = [&](int64_t i) {  // [B * H, T, D]
      const Tensor p =
          transpose(reshape(contiguous(narrow(all, 2, i * size, size)), {rows, length, heads, head_dim}), 1, 2);
      return reshape(contiguous(p), {rows * heads, length, head_dim});
    };
    const Tensor q = part(0) * (1 / std::sqrt(static_cast<float>(head_dim))), v = part(2);
    Tensor scores = matmul(q, transpose(part(1), 1, 2));
    if (window > 0)
      along_band(matmul(q, transpose(select(keys, 0, 0), 0, 1)), scores,
                 [](float& band, float& score) { score += band; });
    for (int64_t r = 0; !mask.empty() && r < rows * heads * length; ++r) {
      float* row = scores.data<float>() + r * length;
      for (int64_t j = 0; j < length; ++j)
        if (!mask[static_cast<size_t>(r / (heads * length) * length + j)]) row[j] = -3e38f;
    }
    Tensor share = softmax(scores), y = matmul(share, v);
    if (window > 0) {
      Tensor near = Tensor::zeros({rows * heads, length, 2 * window + 1});
      along_band(near, share, [](float& band, float& weight) { band = weight; });
      y = y + matmul(near, select(values, 0, 0));
    }
    return out_proj(
        reshape(contiguous(transpose(reshape(y, {rows, heads, length, head_dim}), 1, 2)), {rows, length, size}));
  }

  // f(band[r][i][j - i + window], square[r][i][j]) for every pair of places that are near enough.
  template <class F>
  void along_band(Tensor band, Tensor square, const F& f) const {
    const int64_t length = square.size(2), width = 2 * window + 1;
    for (int64_t r = 0; r < square.size(0) * length; ++r) {
      const int64_t i = r % length;
      for (int64_t j = std::max<int64_t>(0, i - window); j < std::min(length, i + window + 1); ++j)
        f(band.data<float>()[r * width + j - i + window], square.data<float>()[r * length + j]);
    }
  }

  int64_t heads, head_dim, window;
  nn::JoinedLinear qkv;
  nn::Linear out_proj;
  Tensor keys, values;
};

struct VitsLayer {
  VitsLayer(const vits::Config& c, const Weights& w)
      : act(c.hidden_act),
        attention(c, w / "attention"),
        layer_norm(w, "layer_norm", c.hidden_size, c.layer_norm_eps),
        conv_1(w / "feed_forward", "conv_1", c.hidden_size, c.ffn_dim, window(c), c.init()),
        conv_2(w / "feed_forward", "conv_2", c.ffn_dim, c.hidden_size, window(c), c.init()),
        final_layer_norm(w, "final_layer_norm", c.hidden_size, c.layer_norm_eps) {}
  static Conv1dConfig window(const vits::Config& c) {
    return {.kernel = c.ffn_kernel_size, .padding = c.ffn_kernel_size / 2};
  }
  // An even window reaches one place further to the right.
  static Tensor slide(const Conv1d& conv, const Tensor& x) {
    return narrow(conv(x), 2, conv.c.kernel % 2 == 0, x.size(2));
  }

  // x [B,T,C], mask_1 [B,1,T]
  Tensor forward(const Tensor& in, const std::vector<uint8_t>& mask, const Tensor& mask_1) const {
    const Tensor x = layer_norm(in + attention(in, mask));
    Tensor y = slide(conv_1, transpose(x, 1, 2) * mask_1);
    y = slide(conv_2, activate(y, act) * mask_1) * mask_1;
    return final_layer_norm(x + transpose(y, 1, 2));
  }

  Activation act;
  VitsAttention attention;
  nn::LayerNorm layer_norm;
  Conv1d conv_1, conv_2;
  nn::LayerNorm final_layer_norm;
};

// Gated convolutions whose outputs are summed: arXiv:1609.03499.
struct WaveNet {
  WaveNet(const vits::Config& c, const Weights& w, int64_t layers) : hidden(c.hidden_size) {
    if (c.speaker_embedding_size > 0)
      condition = Conv1d(w, "cond_layer", c.speaker_embedding_size, 2 * hidden * layers, {}, c.init());
    int64_t dilation = 1;
    for (int64_t i = 0; i < layers; ++i, dilation *= c.wavenet_dilation_rate) {
      require(dilation < (int64_t{1} << 30), "config.json: wavenet_dilation_rate {} is too large for {} layers",
              c.wavenet_dilation_rate, layers);
      in_layers.emplace_back(w / "in_layers", std::to_string(i), hidden, 2 * hidden,
                             Conv1dConfig::same(c.wavenet_kernel_size, dilation), c.init());
      res_skip.emplace_back(w / "res_skip_layers", std::to_string(i), hidden, i + 1 < layers ? 2 * hidden : hidden,
                            Conv1dConfig{}, c.init());
    }
  }
  Tensor operator()(Tensor x, const Tensor& mask, const Tensor& speaker) const {
    Tensor sum;
    const Tensor all = speaker.defined() ? condition(speaker) : Tensor();
    for (size_t i = 0; i < in_layers.size(); ++i) {
      Tensor y = in_layers[i](x);
      if (all.defined()) y = y + narrow(all, 1, static_cast<int64_t>(i) * 2 * hidden, 2 * hidden);
      y = res_skip[i](tanh(narrow(y, 1, 0, hidden)) * sigmoid(narrow(y, 1, hidden, hidden)));
      const bool last = i + 1 == in_layers.size();
      const Tensor skip = last ? y : narrow(y, 1, hidden, hidden);
      sum = sum.defined() ? sum + skip : skip;
      if (!last) x = (x + narrow(y, 1, 0, hidden)) * mask;
    }
    return sum * mask;
  }

  int64_t hidden;
  Conv1d condition;
  std::vector<Conv1d> in_layers, res_skip;
};

// One half of the channels says what is subtracted from the other half.
struct Coupling {
  Coupling(const vits::Config& c, const Weights& w)
      : half(c.flow_size / 2),
        conv_pre(w, "conv_pre", half, c.hidden_size, {}, c.init()),
        wavenet(c, w / "wavenet", c.prior_encoder_num_wavenet_layers),
        conv_post(w, "conv_post", c.hidden_size, half, {}, c.init()) {}
  Tensor inverse(const Tensor& x, const Tensor& mask, const Tensor& speaker) const {
    const Tensor first = narrow(x, 1, 0, half);
    const Tensor mean = conv_post(wavenet(conv_pre(first) * mask, mask, speaker)) * mask;
    return cat({first, (narrow(x, 1, half, half) - mean) * mask}, 1);
  }

  int64_t half;
  Conv1d conv_pre;
  WaveNet wavenet;
  Conv1d conv_post;
};

HifiGanConfig decoder_config(const Json& json, const vits::Config& c) {
  HifiGanConfig d(json, c.flow_size);
  const std::string form = nn::config_string(json, "resblock", "1");
  require(form == "1" || form == "2", "config.json: resblock is \"{}\", expected \"1\" or \"2\"", form);
  d.single = form == "2";
  d.post_bias = false;
  d.speaker_size = c.speaker_embedding_size;
  d.init = c.init();
  return d;
}

class Vits : public nn::SpeechModel {
 public:
  Vits(const Json& json, const Weights& w)
      : c_(json),
        generator_(decoder_config(json, c_)),
        decoder_(generator_, w / "decoder"),
        durations_(vits::duration_predictor(c_, w / "duration_predictor")) {
    const Weights text = w / "text_encoder";
    embedding_ = text.matrix("embed_tokens", c_.vocab_size, c_.hidden_size, c_.init());
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, text / "encoder" / "layers" / i);
    project_ = Conv1d(text, "project", c_.hidden_size, 2 * c_.flow_size, {}, c_.init());
    for (int64_t i = 0; i < c_.prior_encoder_num_flows; ++i) flows_.emplace_back(c_, w / "flow" / "flows" / i);
    if (c_.num_speakers > 1)
      speakers_ = w.matrix("embed_speaker", c_.num_speakers, c_.speaker_embedding_size, c_.init());
  }

  nn::HeadKind kind() const override { return nn::HeadKind::bare; }
  int64_t sampling_rate() const override { return c_.sampling_rate; }

  // Inputs: input_ids [B,T]; optional attention_mask [B,T], speaker_id (one number, or one for each text). Outputs:
  // waveform [B,samples], sequence_lengths [B], spectrogram [B,flow_size,F]; hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"input_ids", "attention_mask", "speaker_id"});
    const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
    std::vector<int32_t> speakers;
    if (in.has("speaker_id"))
      speakers = in.integers("speaker_id",
                             in.tensor("speaker_id").numel() == 1 ? in.tensor("speaker_id").shape() : Shape{shape[0]});
    return synthesise(in.ids("input_ids", shape, c_.vocab_size), shape, in.mask("attention_mask", shape), speakers, {},
                      options.hidden_states);
  }

  std::vector<float> speak(std::span<const int32_t> ids, const nn::VoiceSettings& settings) const override {
    require(!ids.empty(), "speech: no tokens to speak");
    for (const int32_t id : ids)
      require(id >= 0 && id < c_.vocab_size, "speech: token {} is outside the vocabulary of {}", id, c_.vocab_size);
    require(!settings.speaker_embedding.defined(),
            "speech: this model takes no speaker_embeddings; its voices have numbers, speaker_id");
    std::vector<int32_t> speakers;
    if (settings.speaker) {
      require(c_.num_speakers > 1 || *settings.speaker == 0, "speech: speaker {}: this model has one voice",
              *settings.speaker);
      require(*settings.speaker >= 0 && *settings.speaker < c_.num_speakers, "speech: speaker {}, expected 0 to {}",
              *settings.speaker, c_.num_speakers - 1);
      speakers = {static_cast<int32_t>(*settings.speaker)};
    }
    const Shape shape{1, static_cast<int64_t>(ids.size())};
    return synthesise({ids.begin(), ids.end()}, shape, {}, speakers, settings, false).at("waveform").to_vector();
  }

 private:
  NamedTensors synthesise(const std::vector<int32_t>& ids, const Shape& shape, const std::vector<uint8_t>& mask,
                          const std::vector<int32_t>& speakers, const nn::VoiceSettings& settings, bool states) const {
    const NoGrad none;  // the reference has no loss for this family
    const int64_t rows = shape[0], length = shape[1];
    Tensor speaker;
    if (c_.num_speakers > 1 && !speakers.empty()) {
      for (const int32_t id : speakers)
        require(id >= 0 && id < c_.num_speakers, "forward: speaker_id {}, expected 0 to {}", id, c_.num_speakers - 1);
      speaker = unsqueeze(speakers_.lookup(speakers), 2);
    }
    Tensor mask_1 = Tensor::full({rows, 1, length}, 1);
    for (size_t i = 0; i < mask.size(); ++i) mask_1.data<float>()[i] = mask[i];

    NamedTensors out;
    Tensor x =
        reshape(embedding_.lookup(ids), {rows, length, c_.hidden_size}) * std::sqrt(static_cast<float>(c_.hidden_size));
    const Tensor by_token = transpose(mask_1, 1, 2);  // [B,T,1]
    x = x * by_token;
    for (size_t i = 0; i <= layers_.size(); ++i) {
      if (i == layers_.size()) x = x * by_token;
      if (states) out["hidden_states." + std::to_string(i)] = x;
      if (i < layers_.size()) x = layers_[i].forward(x, mask, mask_1);
    }
    x = contiguous(transpose(x, 1, 2));  // [B,C,T]
    const Tensor stats = project_(x) * mask_1;
    const Tensor spans = spans_of(
        durations_->log_durations(x, mask_1, speaker, settings.noise_scale_duration.value_or(c_.noise_scale_duration),
                                  settings.seed),
        mask_1, 1 / settings.speaking_rate.value_or(c_.speaking_rate));

    const std::vector<int64_t> lengths = lengths_of(spans);
    const int64_t frames = *std::max_element(lengths.begin(), lengths.end());
    Tensor frame_mask = Tensor::zeros({rows, 1, frames});
    for (int64_t b = 0; b < rows; ++b)
      std::fill_n(frame_mask.data<float>() + b * frames, lengths[static_cast<size_t>(b)], 1.0f);
    const Tensor wide = spread(stats, spans, frames);
    Tensor latents = narrow(wide, 1, 0, c_.flow_size);
    if (const float scale = settings.noise_scale.value_or(c_.noise_scale); scale != 0)
      latents = latents + vits::noise(rows, c_.flow_size, frames, scale, settings.seed, "vits prior") *
                              exp(narrow(wide, 1, c_.flow_size, c_.flow_size));
    for (size_t i = flows_.size(); i-- > 0;) latents = flows_[i].inverse(turned(latents), frame_mask, speaker);
    out["spectrogram"] = latents * frame_mask;
    out["waveform"] = decoder_(out["spectrogram"], speaker);
    Tensor& samples = out["sequence_lengths"] = Tensor::empty({rows}, DType::i64);
    for (int64_t b = 0; b < rows; ++b)
      samples.data<int64_t>()[b] = lengths[static_cast<size_t>(b)] * generator_.samples_per_frame();
    return out;
  }

  // Whole frames that each token takes: [B,1,T].
  Tensor spans_of(const Tensor& log_durations, const Tensor& mask, float scale) const {
    require(scale > 0 && std::isfinite(scale), "speech: speaking_rate out of range, expected a positive number");
    Tensor spans = contiguous(exp(log_durations) * mask * scale);
    for (int64_t i = 0; i < spans.numel(); ++i) {
      float& span = spans.data<float>()[i];
      span = std::ceil(span);
    }
    return spans;
  }
  std::vector<int64_t> lengths_of(const Tensor& spans) const {
    const int64_t length = spans.size(2);
    const double most = kMostSamples / static_cast<double>(generator_.samples_per_frame());
    std::vector<int64_t> lengths;
    for (int64_t b = 0; b < spans.size(0); ++b) {
      double total = 0;
      for (int64_t t = 0; t < length; ++t) total += spans.data<float>()[b * length + t];
      require(
          total <= most,
          "speech: the model wants {} frames for {} tokens, more than {}; give less text at once or check the weights",
          total, length, most);
      lengths.push_back(std::max<int64_t>(1, static_cast<int64_t>(total)));
    }
    return lengths;
  }
  // Columns of stats [B,C,T], each as often as its token sounds: [B,C,F], zeros behind the last.
  static Tensor spread(const Tensor& stats, const Tensor& spans, int64_t frames) {
    const int64_t channels = stats.size(1), length = stats.size(2);
    Tensor y = Tensor::zeros({stats.size(0), channels, frames});
    for (int64_t r = 0; r < stats.size(0) * channels; ++r) {
      float* to = y.data<float>() + r * frames;
      for (int64_t t = 0; t < length; ++t)
        to = std::fill_n(to, static_cast<int64_t>(spans.data<float>()[r / channels * length + t]),
                         stats.data<float>()[r * length + t]);
    }
    return y;
  }
  // The channels in the opposite order.
  static Tensor turned(const Tensor& x) {
    const int64_t channels = x.size(1), length = x.size(2);
    const Tensor in = contiguous(x);
    Tensor y = Tensor::empty(x.shape());
    for (int64_t r = 0; r < x.size(0) * channels; ++r)
      std::copy_n(in.data<float>() + (r / channels * channels + channels - 1 - r % channels) * length, length,
                  y.data<float>() + r * length);
    return y;
  }

  static constexpr double kMostSamples = 1e8;  // over an hour, and 400 MB

  vits::Config c_;
  HifiGanConfig generator_;
  HifiGan decoder_;
  std::unique_ptr<vits::DurationPredictor> durations_;
  nn::Matrix embedding_, speakers_;
  std::vector<VitsLayer> layers_;
  Conv1d project_;
  std::vector<Coupling> flows_;
};

std::unique_ptr<nn::Model> make_vits(const Json& config, const Weights& w) { return std::make_unique<Vits>(config, w); }

}  // namespace

// What training alone needs is not read.
extern const ModelEntry model_vits{"vits",
                                   {"VitsModel"},
                                   make_vits,
                                   "",
                                   {"posterior_encoder.*", "duration_predictor.post_*", "duration_predictor.flows.1.*"},
                                   {}};

}  // namespace mynah
