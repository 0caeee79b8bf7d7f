// SpeechT5: one transformer between text and speech, with parts before and behind it for either side. Text to
// spectrogram (with the HiFi-GAN that makes it sound) and speech to text. Papers: arXiv:2110.07205, arXiv:2010.05646
// (vocoder), arXiv:1710.08969 (guided attention). Shapes: B rows, T places, C hidden, M mel bins, R frames that the
// decoder writes at once (reduction_factor).
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/random.h"
#include "base/require.h"
#include "models/hifigan.h"
#include "models/model_entry.h"
#include "models/speecht5_layers.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/conv1d.h"
#include "nn/inputs.h"
#include "nn/speech.h"

namespace mynah {
namespace {

using nn::NamedTensors;
using nn::Weights;

// Sines and cosines by turns, as far as a learned factor lets them through.
struct ScaledPositions {
  ScaledPositions(const Weights& w, int64_t width, int64_t limit)
      : size(width), most(limit), alpha(w.tensor("alpha", {}, nn::Init::ones())) {}
  // x [B,T,C] whose first place is `first`
  Tensor operator()(const Tensor& x, int64_t first = 0) const {
    const int64_t length = x.size(1);
    require(first + length <= most, "forward: {} places, the model has {}", first + length, most);
    Tensor table = Tensor::empty({length, size});
    for (int64_t i = 0; i < size; ++i) {
      const float frequency =
          std::exp(static_cast<float>(i / 2 * 2) * -(std::log(10000.0f) / static_cast<float>(size)));
      for (int64_t t = 0; t < length; ++t) {
        const float angle = static_cast<float>(first + t) * frequency;
        table.data<float>()[t * size + i] = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
      }
    }
    return x + alpha * table;
  }

  int64_t size, most;
  Tensor alpha;
};

struct TextEncoderPrenet {
  TextEncoderPrenet(const speecht5::Config& c, const Weights& w)
      : padding(static_cast<int32_t>(c.pad_token_id)),
        tokens(w.matrix("embed_tokens", c.vocab_size, c.hidden_size, c.init())),
        positions(w / "encode_positions", c.hidden_size, c.max_text_positions) {}
  Tensor operator()(const std::vector<int32_t>& ids, const Shape& shape) const {
    return positions(reshape(tokens.lookup(ids, padding), {shape[0], shape[1], positions.size}));
  }

  int32_t padding;
  nn::Matrix tokens;
  ScaledPositions positions;
};

// Frames and a voice as the decoder reads them. Its dropout is part of the model and never off (arXiv:1712.05884, 2.2),
// unless the config's probability is 0.
struct SpeechDecoderPrenet {
  SpeechDecoderPrenet(const speecht5::Config& c, const Weights& w)
      : probability(c.speech_decoder_prenet_dropout),
        final_layer(w, "final_layer", c.speech_decoder_prenet_units, c.hidden_size, c.init()),
        positions(w / "encode_positions", c.hidden_size, c.max_speech_positions),
        speaker_layer(w, "speaker_embeds_layer", c.speaker_embedding_dim + c.hidden_size, c.hidden_size, c.init()) {
    for (int64_t i = 0; i < c.speech_decoder_prenet_layers; ++i)
      layers.emplace_back(w / "layers", std::to_string(i), i == 0 ? c.num_mel_bins : c.speech_decoder_prenet_units,
                          c.speech_decoder_prenet_units, c.init());
  }
  // frames [B,T,M] from place `first` on, speaker [B,E] or undefined -> [B,T,C]
  Tensor operator()(const Tensor& frames, const Tensor& speaker, int64_t first, uint64_t seed) const {
    Tensor x = frames;
    for (size_t i = 0; i < layers.size(); ++i) {
      x = relu(layers[i](x));
      if (probability > 0) x = x * kept(x.size(1), x.size(2), first, seed, i);
    }
    x = positions(final_layer(x), first);
    if (!speaker.defined()) return x;
    return relu(
        speaker_layer(cat({x, expand(unsqueeze(normalized(speaker), 1), {x.size(0), x.size(1), speaker.size(1)})}, 2)));
  }
  // The reference keeps with the probability that the config gives and divides by one minus it; the same for every row.
  Tensor kept(int64_t length, int64_t width, int64_t first, uint64_t seed, size_t layer) const {
    Tensor mask = Tensor::empty({1, length, width});
    const uint64_t stream = stream_of("speecht5 prenet") + layer;
    for (int64_t i = 0; i < length * width; ++i)
      mask.data<float>()[i] =
          uniform(seed, stream, static_cast<uint64_t>(first * width + i), RandomPurpose::dropout) < probability
              ? 1 / (1 - probability)
              : 0;
    return mask;
  }
  static Tensor normalized(const Tensor& speaker) {
    Tensor y = Tensor::from(speaker.to_vector(), speaker.shape());
    for (int64_t b = 0; b < y.size(0); ++b) {
      float* row = y.data<float>() + b * y.size(1);
      double squares = 0;
      for (int64_t i = 0; i < y.size(1); ++i) squares += static_cast<double>(row[i]) * row[i];
      const auto length = static_cast<float>(std::max(std::sqrt(squares), 1e-12));
      for (int64_t i = 0; i < y.size(1); ++i) row[i] /= length;
    }
    return y;
  }

  float probability;
  std::vector<nn::Linear> layers;
  nn::Linear final_layer;
  ScaledPositions positions;
  nn::Linear speaker_layer;
};

struct Postnet {
  Postnet(const speecht5::Config& c, const Weights& w)
      : bins(c.num_mel_bins),
        feat_out(w, "feat_out", c.hidden_size, c.num_mel_bins * c.reduction_factor, c.init()),
        prob_out(w, "prob_out", c.hidden_size, c.reduction_factor, c.init()) {
    for (int64_t i = 0; i < c.speech_decoder_postnet_layers; ++i) {
      const Weights at = w / "layers" / i;
      const int64_t in = i == 0 ? bins : c.speech_decoder_postnet_units,
                    out = i + 1 == c.speech_decoder_postnet_layers ? bins : c.speech_decoder_postnet_units;
      nn::Conv1dConfig window = nn::Conv1dConfig::same(c.speech_decoder_postnet_kernel);
      window.bias = false;
      const Weights n = at / "batch_norm";
      layers.push_back({nn::Conv1d(at, "conv", in, out, window, c.init()),
                        n.buffer("running_mean", {out}, nn::Init::zeros()),
                        n.buffer("running_var", {out}, nn::Init::ones()), n.tensor("weight", {out}, nn::Init::ones()),
                        n.tensor("bias", {out}, nn::Init::zeros())});
    }
  }
  // hidden [B,T,C] -> [B, T R, M]
  Tensor frames(const Tensor& hidden) const { return reshape(feat_out(hidden), {hidden.size(0), -1, bins}); }
  Tensor refined(const Tensor& frames) const {
    Tensor x = transpose(frames, 1, 2);
    for (size_t i = 0; i < layers.size(); ++i) {
      const Layer& l = layers[i];
      x = batch_norm(l.conv(x), l.mean, l.variance, l.weight, l.bias, 1e-5f);
      if (i + 1 < layers.size()) x = tanh(x);
    }
    return frames + transpose(x, 1, 2);
  }

  struct Layer {
    nn::Conv1d conv;
    Tensor mean, variance, weight, bias;
  };
  int64_t bins;
  nn::Linear feat_out, prob_out;
  std::vector<Layer> layers;
};

Tensor softplus(const Tensor& x) { return relu(x) + log(add(exp(neg(abs(x))), 1.0f)); }

// The reference's loss: distances of both spectrograms, the end, and attention that runs along the diagonal.
class SpectrogramLoss {
 public:
  // labels [B,L,M], -100 where nothing is compared; text [B*S], which tokens count.
  SpectrogramLoss(const speecht5::Config& c, const Tensor& labels, std::vector<uint8_t> text)
      : c_(c),
        rows_(labels.size(0)),
        length_(labels.size(1)),
        bins_(labels.size(2)),
        text_(std::move(text)),
        target_(Tensor::zeros(labels.shape())),
        counts_(Tensor::zeros(labels.shape())) {
    const std::vector<float> values = labels.to_vector();
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] == -100.0f) continue;
      target_.data<float>()[i] = values[i];
      counts_.data<float>()[i] = 1;
      ++compared_;
    }
  }
  Tensor operator()(const Tensor& before, const Tensor& after, const Tensor& stops,
                    const std::vector<Tensor>& attention) const {
    Tensor loss = distance(after) + distance(before) + end(stops);
    return c_.use_guided_attention_loss ? loss + guided(attention) * c_.guided_attention_loss_scale : loss;
  }

 private:
  bool counted(int64_t b, int64_t t) const { return counts_.data<float>()[(b * length_ + t) * bins_] != 0; }
  Tensor distance(const Tensor& x) const {
    return sum(abs(x - target_) * counts_) * (1 / static_cast<float>(compared_));
  }
  // stops [B,L]: the end comes behind the last frame that counts.
  Tensor end(const Tensor& stops) const {
    constexpr float kWeight = 5;
    Tensor yes = Tensor::zeros({rows_, length_}), no = Tensor::zeros({rows_, length_});
    int64_t count = 0;
    for (int64_t b = 0; b < rows_; ++b)
      for (int64_t t = 0; t < length_; ++t) {
        if (!counted(b, t)) continue;
        ++count;
        const bool last = t + 1 == length_ || !counted(b, t + 1);
        (last ? yes : no).data<float>()[b * length_ + t] = last ? kWeight : 1;
      }
    return sum(softplus(neg(stops)) * yes + softplus(stops) * no) * (1 / static_cast<float>(count));
  }
  // Attention [B,H,T,S] of each layer; the first few heads count.
  Tensor guided(const std::vector<Tensor>& attention) const {
    const int64_t targets = attention[0].size(2), sources = attention[0].size(3),
                  heads = std::min(c_.guided_attention_loss_num_heads, attention[0].size(1));
    Tensor weight = Tensor::zeros({rows_, 1, targets, sources});
    int64_t pairs = 0;
    for (int64_t b = 0; b < rows_; ++b) {
      const auto sees = [&](int64_t s) { return text_.empty() || text_[static_cast<size_t>(b * sources + s)] != 0; };
      const auto speaks = [&](int64_t t) { return counted(b, t * c_.reduction_factor + c_.reduction_factor - 1); };
      int64_t in = 0, out = 0;
      for (int64_t s = 0; s < sources; ++s) in += sees(s);
      for (int64_t t = 0; t < targets; ++t) out += speaks(t);
      pairs += in * out;
      for (int64_t t = 0; t < targets; ++t)
        for (int64_t s = 0; s < sources; ++s) {
          if (!sees(s) || !speaks(t) || t >= out || s >= in) continue;
          const float off =
              static_cast<float>(s) / static_cast<float>(in) - static_cast<float>(t) / static_cast<float>(out);
          weight.data<float>()[(b * targets + t) * sources + s] =
              1 - std::exp(-off * off / (2 * c_.guided_attention_loss_sigma * c_.guided_attention_loss_sigma));
        }
    }
    Tensor total;
    for (const Tensor& layer : attention) {
      const Tensor part = sum(narrow(layer, 1, 0, heads) * weight);
      total = total.defined() ? total + part : part;
    }
    return total * (1 / static_cast<float>(pairs * heads * static_cast<int64_t>(attention.size())));
  }

  const speecht5::Config& c_;
  int64_t rows_, length_, bins_;
  std::vector<uint8_t> text_;
  Tensor target_, counts_;
  int64_t compared_ = 0;
};

void add_states(NamedTensors* out, const char* name, const std::vector<Tensor>& states) {
  for (size_t i = 0; i < states.size(); ++i)
    (*out)[std::string(name) + "_hidden_states." + std::to_string(i)] = states[i];
}

class TextToSpeech : public nn::SpectrogramModel {
 public:
  TextToSpeech(const Json& json, const Weights& w)
      : c_(json),
        prenet_(c_, w / "speecht5" / "encoder" / "prenet"),
        encoder_(c_, w / "speecht5" / "encoder" / "wrapped_encoder"),
        decoder_prenet_(c_, w / "speecht5" / "decoder" / "prenet"),
        decoder_(c_, w / "speecht5" / "decoder" / "wrapped_decoder"),
        postnet_(c_, w / "speech_decoder_postnet") {}

  nn::HeadKind kind() const override { return nn::HeadKind::bare; }
  int64_t speaker_size() const override { return c_.speaker_embedding_dim; }

  // Inputs: input_ids [B,S]; optional attention_mask; decoder_input_values [B,T,M] (else labels [B,L,M], thinned out
  // and moved right), decoder_attention_mask, speaker_embeddings [B,E], labels. Outputs: spectrogram [B, T R, M], loss,
  // encoder_last_hidden_state, encoder_hidden_states.N, decoder_hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"input_ids", "attention_mask", "decoder_input_values", "decoder_attention_mask",
                                 "speaker_embeddings", "labels", "stop_labels"});
    const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
    const int64_t rows = shape[0];
    const std::vector<uint8_t> mask = in.mask("attention_mask", shape);
    const Tensor labels = in.has("labels") ? in.floats("labels", {rows, -1, c_.num_mel_bins}) : Tensor();
    require(!labels.defined() || (labels.size(1) > 0 && labels.size(1) % c_.reduction_factor == 0),
            "forward: labels has {} frames, expected a multiple of reduction_factor {}",
            labels.defined() ? labels.size(1) : 0, c_.reduction_factor);
    Tensor frames;
    std::vector<uint8_t> frame_mask;
    if (in.has("decoder_input_values")) {
      frames = in.floats("decoder_input_values", {rows, -1, c_.num_mel_bins});
      frame_mask = in.mask("decoder_attention_mask", {rows, frames.size(1)});
    } else {
      require(labels.defined(), "forward: decoder_input_values is missing, and there are no labels to make_speecht5 it of");
      frames = shifted(labels);
      const std::vector<uint8_t> whole = in.mask("decoder_attention_mask", {rows, labels.size(1)});
      for (size_t i = static_cast<size_t>(c_.reduction_factor) - 1; i < whole.size();
           i += static_cast<size_t>(c_.reduction_factor))
        frame_mask.push_back(whole[i]);
    }
    require(!labels.defined() || frames.size(1) * c_.reduction_factor == labels.size(1),
            "forward: decoder_input_values has {} frames and labels {}, expected {} times as many", frames.size(1),
            labels.defined() ? labels.size(1) : 0, c_.reduction_factor);
    const Tensor speaker =
        in.has("speaker_embeddings") ? in.floats("speaker_embeddings", {rows, c_.speaker_embedding_dim}) : Tensor();

    std::vector<Tensor> states, decoder_states, attention;
    const Tensor encoded = encoder_(prenet_(in.ids("input_ids", shape, c_.vocab_size), shape), mask,
                                    options.hidden_states ? &states : nullptr);
    const Tensor hidden =
        decoder_(decoder_prenet_(frames, speaker, 0, 0), frame_mask, decoder_.remember(encoded, mask), nullptr,
                 options.hidden_states ? &decoder_states : nullptr, labels.defined() ? &attention : nullptr);
    NamedTensors out;
    add_states(&out, "encoder", states);
    add_states(&out, "decoder", decoder_states);
    out["encoder_last_hidden_state"] = encoded;
    const Tensor before = postnet_.frames(hidden);
    out["spectrogram"] = postnet_.refined(before);
    if (labels.defined())
      out["loss"] = SpectrogramLoss(c_, labels, mask)(before, out["spectrogram"],
                                                      reshape(postnet_.prob_out(hidden), {rows, -1}), attention);
    return out;
  }

  // Frame by frame until the end is likely enough, as the reference's generate_speech.
  Tensor spectrogram(std::span<const int32_t> ids, const nn::VoiceSettings& settings) const override {
    const NoGrad none;
    require(!ids.empty(), "speech: no tokens to speak");
    for (const int32_t id : ids)
      require(id >= 0 && id < c_.vocab_size, "speech: token {} is outside the vocabulary of {}", id, c_.vocab_size);
    require(settings.speaker_embedding.defined() &&
                settings.speaker_embedding.shape() == Shape{1, c_.speaker_embedding_dim},
            "speech: this model needs speaker_embeddings, {} numbers that describe a voice", c_.speaker_embedding_dim);
    const Shape shape{1, static_cast<int64_t>(ids.size())};
    const speecht5::Memory memory = decoder_.remember(encoder_(prenet_({ids.begin(), ids.end()}, shape), {}, nullptr), {});
    const double each = static_cast<double>(shape[1]) / static_cast<double>(c_.reduction_factor);
    const auto most = std::min(static_cast<int64_t>(each * settings.maxlenratio), c_.max_speech_positions),
               least = static_cast<int64_t>(each * settings.minlenratio);
    nn::Cache cache(decoder_.cache_shape());
    Tensor last = Tensor::zeros({1, 1, c_.num_mel_bins});
    std::vector<Tensor> frames;
    for (int64_t step = 1;; ++step) {
      const Tensor hidden = decoder_(decoder_prenet_(last, settings.speaker_embedding, step - 1, settings.seed), {},
                                     memory, &cache, nullptr, nullptr);
      frames.push_back(postnet_.frames(hidden));
      last = narrow(frames.back(), 1, c_.reduction_factor - 1, 1);
      if (step >= most) break;
      if (step >= least && sum(sigmoid(postnet_.prob_out(hidden))).item() >= settings.threshold) break;
    }
    return postnet_.refined(cat(frames, 1));
  }

 private:
  // What the decoder reads for these labels: every R-th frame, one further right, zeros for what is not compared.
  Tensor shifted(const Tensor& labels) const {
    const int64_t rows = labels.size(0), count = labels.size(1) / c_.reduction_factor, bins = c_.num_mel_bins;
    Tensor y = Tensor::zeros({rows, count, bins});
    for (int64_t b = 0; b < rows; ++b)
      for (int64_t t = 1; t < count; ++t) {
        const float* from = labels.data<float>() + (b * labels.size(1) + t * c_.reduction_factor - 1) * bins;
        std::transform(from, from + bins, y.data<float>() + (b * count + t) * bins,
                       [](float v) { return v == -100.0f ? 0.0f : v; });
      }
    return y;
  }

  speecht5::Config c_;
  TextEncoderPrenet prenet_;
  speecht5::Encoder encoder_;
  SpeechDecoderPrenet decoder_prenet_;
  speecht5::Decoder decoder_;
  Postnet postnet_;
};

HifiGanConfig vocoder_config(const Json& json) {
  Json with = nn::with_defaults(json, {{"upsample_rates", {4, 4, 4, 4}}, {"upsample_kernel_sizes", {8, 8, 8, 8}}});
  HifiGanConfig c(with, nn::config_int(json, "model_in_dim", 80));
  c.init = nn::Init::with_std(static_cast<float>(nn::config_number(json, "initializer_range", 0.01)));
  return c;
}

class Vocoder : public nn::VocoderModel {
 public:
  Vocoder(const Json& json, const Weights& w)
      : c_(vocoder_config(json)),
        normalizes_(nn::config_bool(json, "normalize_before", true)),
        rate_(nn::config_int(json, "sampling_rate", 16000, 1, 1 << 20)),
        generator_(c_, w) {
    mean_ = w.buffer("mean", {c_.bins}, nn::Init::zeros());
    scale_ = w.buffer("scale", {c_.bins}, nn::Init::ones());
  }
  nn::HeadKind kind() const override { return nn::HeadKind::bare; }
  int64_t sampling_rate() const override { return rate_; }

  // Input: spectrogram [B,T,M] or [T,M]. Output: waveform [B,samples] or [samples].
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions&) const override {
    const nn::Inputs in(inputs, {"spectrogram"});
    const bool batched = in.tensor("spectrogram").rank() == 3;
    const Tensor x =
        batched ? in.floats("spectrogram", {-1, -1, c_.bins}) : unsqueeze(in.floats("spectrogram", {-1, c_.bins}), 0);
    require(x.numel() > 0, "forward: spectrogram {} is empty", x.shape().str());
    const Tensor y = waveform(x);
    return {{"waveform", batched ? y : squeeze(y, 0)}};
  }
  Tensor waveform(const Tensor& spectrogram) const override {
    const NoGrad none;  // the reference has no loss for it
    return generator_(transpose(normalizes_ ? (spectrogram - mean_) / scale_ : spectrogram, 1, 2));
  }

 private:
  HifiGanConfig c_;
  bool normalizes_;
  int64_t rate_;
  HifiGan generator_;
  Tensor mean_, scale_;
};

std::unique_ptr<nn::Model> make_speecht5(const Json& config, const Weights& w) {
  const std::string architecture =
      config.contains("architectures") ? config["architectures"][0].get<std::string>() : "";
  if (architecture == "SpeechT5ForSpeechToText") return speecht5::make_speech_to_text(config, w);
  return std::make_unique<TextToSpeech>(config, w);
}
std::unique_ptr<nn::Model> make_vocoder(const Json& config, const Weights& w) {
  return std::make_unique<Vocoder>(config, w);
}

}  // namespace

extern const ModelEntry model_speecht5{"speecht5",  {"SpeechT5ForTextToSpeech", "SpeechT5ForSpeechToText"}, make_speecht5,
                                       "speecht5.", {".masked_spec_embed", ".num_batches_tracked"},         {}};
extern const ModelEntry model_hifigan{"hifigan", {"SpeechT5HifiGan"}, make_vocoder, "", {}, {}};

}  // namespace mynah
