// CLAP: a RoBERTa that reads and a Swin that hears, whose outputs meet in one space. Papers: arXiv:2211.06687, arXiv:2202.00874 (HTS-AT,
// the ears). Checkpoints: laion/clap-htsat-unfused, -fused. Shapes: B sounds, F bands, C hidden; a spectrogram's stretches of time lie above
// one another, so that a square picture comes of it.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/bert_encoder.h"
#include "models/clip_layers.h"
#include "models/model_entry.h"
#include "models/swin_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/inputs.h"
#include "nn/losses.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::Weights;

constexpr float kClapEps = 1e-5f;  // of norms whose eps no config names

const BertFamily kClapText = {.base = "text_model", .heads = {.pooler = "text_model.pooler.dense"}, .positions_after_padding = true};

Json clap_text_part(const Json& json) {
  Json c = tower_config(json, "text_config");
  c.erase("architectures");
  return nn::with_defaults(c, {{"vocab_size", 50265}, {"max_position_embeddings", 514}, {"type_vocab_size", 1}, {"pad_token_id", 1}});
}

// Under Swin's names.
SwinConfig ears_config(const Json& c) {
  Json own = nn::with_defaults(c, {{"patch_embeds_hidden_size", 96}, {"num_attention_heads", {4, 8, 16, 32}}, {"window_size", 8}, {"hidden_dropout_prob", 0.1},
                                   {"drop_path_rate", 0.0}, {"patch_embed_input_channels", 1}});
  own["embed_dim"] = own["patch_embeds_hidden_size"];
  own["num_heads"] = own["num_attention_heads"];
  own["num_channels"] = own["patch_embed_input_channels"];
  return SwinConfig(own);
}

// [B,C,T,F] -> [B,C,to,F], cubic with a = -0.75, first and last places the same.
Tensor stretched(const Tensor& x, int64_t to) {
  const int64_t planes = x.size(0) * x.size(1), from = x.size(2);
  const Tensor rows = reshape(contiguous(x), {planes * from, x.size(3)});
  const float step = to > 1 ? static_cast<float>(from - 1) / static_cast<float>(to - 1) : 0.0f;
  const auto weight = [](float d) {
    constexpr float a = -0.75f;
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  };
  Tensor y;
  for (int64_t tap = -1; tap <= 2; ++tap) {
    std::vector<int64_t> source;
    std::vector<float> weights;
    for (int64_t p = 0; p < planes; ++p)
      for (int64_t i = 0; i < to; ++i) {
        const float place = step * static_cast<float>(i);
        const auto first = static_cast<int64_t>(std::floor(place));
        source.push_back(p * from + std::clamp<int64_t>(first + tap, 0, from - 1));
        weights.push_back(weight(std::abs(place - static_cast<float>(first) - static_cast<float>(tap))));
      }
    const Tensor part = index_rows(rows, source) * Tensor::from(std::span<const float>(weights), {planes * to, 1});
    y = y.defined() ? y + part : part;
  }
  return reshape(y, {x.size(0), x.size(1), to, x.size(3)});
}

// Attentional feature fusion of two maps (arXiv:2009.14082).
struct Fusion {
  Fusion(const Json& c, const Weights& w, int64_t channels, nn::Init init) {
    const int64_t inner = channels / nn::config_int(c, "aff_block_r", 4);
    local = Squeeze(w / "local_att", 0, channels, inner, init);
    global = Squeeze(w / "global_att", 1, channels, inner, init);
  }
  Tensor forward(const Tensor& x, const Tensor& more) const {
    const Tensor both = x + more;
    const Tensor whole = mean(mean(both, 3, true), 2, true);
    const Tensor share = sigmoid(local.forward(both) + global.forward(whole));
    return x * share * 2.0f + more * add(share * -1.0f, 1.0f) * 2.0f;
  }

 private:
  struct Squeeze {
    Squeeze() = default;
    Squeeze(const Weights& w, int64_t first, int64_t channels, int64_t inner, nn::Init init)
        : down(w, std::to_string(first), channels, inner, 1, init),
          up(w, std::to_string(first + 3), inner, channels, 1, init),
          inner_norm(w, std::to_string(first + 1), inner, kClapEps),
          norm(w, std::to_string(first + 4), channels, kClapEps) {}
    Tensor forward(const Tensor& x) const { return norm(up.forward(activate(inner_norm(down.forward(x)), Activation::relu))); }

    MapConvolution down, up;
    MapNorm inner_norm, norm;
  };
  Squeeze local, global;
};

class ClapEars {
 public:
  ClapEars(const Json& c, const Weights& w)
      : config(ears_config(c)),
        bands_(nn::config_int(c, "num_mel_bins", 64)),
        side_(nn::config_int(c, "spec_size", 256)),
        stride_(nn::config_pair(c, "patch_stride", 4)),
        norm_in_(w, "batch_norm", bands_, kClapEps),
        stack_(config, w),
        norm_out_(w, "norm", config.size(config.depths.size() - 1), kClapEps) {
    require(side_ % bands_ == 0 && side_ % (stride_[0] << (config.depths.size() - 1)) == 0 && stride_[0] == stride_[1],
            "config.json: spec_size {} is no multiple of num_mel_bins {} and of what its stages leave of it", side_, bands_);
    const Weights patches = w / "patch_embed";
    const auto conv = [&](const char* name, int64_t width) {
      return std::pair((patches / name).tensor("weight", {config.embed_dim, config.num_channels, config.patch_size[0], config.patch_size[1] * width}, config.init()),
                       (patches / name).tensor("bias", {config.embed_dim}, nn::Init::zeros()));
    };
    std::tie(weight_, bias_) = conv("proj", 1);
    if (nn::config_bool(c, "enable_patch_layer_norm", true)) patch_norm_ = nn::LayerNorm(patches, "norm", config.embed_dim, kClapEps);
    if (nn::config_bool(c, "enable_fusion", false)) {
      require(nn::config_string(c, "fusion_type", "") != "channel_map", "config.json: fusion_type channel_map is not supported for clap");
      std::tie(local_weight_, local_bias_) = conv("mel_conv2d", 3);
      fusion_.emplace(c, patches / "fusion_model", config.embed_dim, config.init());
    }
  }

  // input_features [B,1,T,F], or of models that fuse [B,4,T,F] with is_longer [B,1] -> [B,C,h,w] and [B,C].
  TowerOutput forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Tensor x = in.floats("input_features", {-1, -1, -1, bands_});
    const int64_t images = x.size(0);
    require(x.size(1) == (fusion_ ? 4 : config.num_channels), "forward: input_features has {} spectrograms, expected {}", x.size(1), fusion_ ? 4 : config.num_channels);
    const Tensor picture = square(transpose(norm_in_(contiguous(transpose(x, 1, 3))), 1, 3));
    const Tensor planes = embed(picture, in);
    MapSize map(planes);
    Tensor rows = map_rows(planes);
    if (patch_norm_.weight.defined()) rows = patch_norm_(rows);
    std::vector<Tensor> own;
    if (states) own.push_back(reshape(rows, {images, map.height * map.width, rows.size(1)}));
    rows = norm_out_(stack_.forward(rows, &map, states ? &own : nullptr));
    for (const Tensor& state : own) {
      const auto edge = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(state.size(1)))));
      states->push_back(reshape(contiguous(transpose(state, 1, 2)), {images, state.size(2), edge, edge}));
    }
    // Places of one band and all stretches of time one after another.
    const int64_t c = rows.size(1), ratio = side_ / bands_, band = map.height / ratio;
    const Tensor apart = reshape(maps_of(rows, map), {images, c, map.height / band, band, map.width});
    const Tensor hidden = reshape(contiguous(transpose(apart, 2, 3)), {images, c, band, map.height / band * map.width});
    return {hidden, mean(reshape(hidden, {images, c, map.height * map.width}), 2)};
  }

  const SwinConfig config;

 private:
  // [B,C,T,F] -> [B,C,side,side]
  Tensor square(const Tensor& x) const {
    const int64_t ratio = side_ / bands_, width = side_ * ratio, images = x.size(0), channels = x.size(1);
    require(x.size(2) <= width, "forward: input_features has {} frames, the model hears {}", x.size(2), width);
    const Tensor whole = x.size(2) < width ? stretched(x, width) : x;
    const Tensor apart = reshape(contiguous(whole), {images, channels * ratio, width / ratio, bands_});
    return reshape(contiguous(transpose(apart, 2, 3)), {images, channels, side_, side_});
  }

  Tensor embed(const Tensor& picture, const Inputs& in) const {
    const ConvConfig near{stride_, {(config.patch_size[0] - stride_[0]) / 2, (config.patch_size[1] - stride_[1]) / 2}};
    if (!fusion_) return conv2d(picture, weight_, bias_, near);
    const int64_t images = picture.size(0);
    const Tensor whole = conv2d(contiguous(narrow(picture, 1, 0, 1)), weight_, bias_, near);
    const std::vector<int32_t> longer = in.integers("is_longer", {images, 1});
    require(!longer.empty(), "forward: is_longer is missing: which sounds are longer than the model hears at once");
    const ConvConfig wide{{stride_[0], stride_[1] * 3}, near.padding};
    std::vector<Tensor> all;
    for (int64_t b = 0; b < images; ++b) {
      const Tensor one = narrow(whole, 0, b, 1);
      if (longer[static_cast<size_t>(b)] != 1) {
        all.push_back(one);
        continue;
      }
      // The three parts side by side, zeros behind them.
      const Tensor parts = conv2d(reshape(contiguous(narrow(narrow(picture, 0, b, 1), 1, 1, 3)), {3, 1, side_, side_}), local_weight_, local_bias_, wide);
      Tensor row = cat({narrow(parts, 0, 0, 1), narrow(parts, 0, 1, 1), narrow(parts, 0, 2, 1)}, 3);
      if (const int64_t missing = one.size(3) - row.size(3); missing > 0) row = cat({row, Tensor::zeros({1, row.size(1), row.size(2), missing})}, 3);
      all.push_back(fusion_->forward(one, row));
    }
    return all.size() == 1 ? all[0] : cat(all, 0);
  }

  int64_t bands_, side_;
  std::array<int64_t, 2> stride_;
  MapNorm norm_in_;
  SwinStack stack_;
  nn::LayerNorm norm_out_, patch_norm_;
  Tensor weight_, bias_, local_weight_, local_bias_;
  std::optional<Fusion> fusion_;
};

struct ClapProjection {
  ClapProjection() = default;
  ClapProjection(const Json& c, const Weights& w, int64_t from, nn::Init init)
      : linear1(w, "linear1", from, nn::config_int(c, "projection_dim", 512), init),
        linear2(w, "linear2", nn::config_int(c, "projection_dim", 512), nn::config_int(c, "projection_dim", 512), init),
        act(activation(nn::config_string(c, "projection_hidden_act", "relu"))) {}
  Tensor operator()(const Tensor& x) const { return linear2(activate(linear1(x), act)); }

  nn::Linear linear1, linear2;
  Activation act = Activation::relu;
};

class Clap : public nn::Model {
 public:
  Clap(const Json& json, const Weights& w) {
    const std::string name = json.contains("architectures") ? json["architectures"][0].get<std::string>() : "ClapModel";
    const bool both = !name.starts_with("ClapAudio") && !name.starts_with("ClapText");
    if (both || name.starts_with("ClapText")) {
      const Json part = clap_text_part(json);
      const BertConfig c(part);
      text_.emplace(part, c, w, kClapText);
      text_projection_ = ClapProjection(part, w / "text_projection", c.hidden_size, c.init());
    }
    if (both || name.starts_with("ClapAudio")) {
      const Json& part = tower_config(json, "audio_config");
      ears_.emplace(part, w / "audio_model" / "audio_encoder");
      const int64_t width = ears_->config.size(ears_->config.depths.size() - 1);
      require(nn::config_int(part, "hidden_size", 768) == width, "config.json: hidden_size {} of the ears is not the width {} of their last stage", part["hidden_size"].dump(), width);
      audio_projection_ = ClapProjection(part, w / "audio_projection", width, ears_->config.init());
    }
    if (!both) return;
    const float scale = std::log(static_cast<float>(nn::config_number(json, "logit_scale_init_value", 1 / 0.07)));
    audio_scale_ = w.tensor("logit_scale_a", {}, {nn::Init::constant, scale});
    text_scale_ = w.tensor("logit_scale_t", {}, {nn::Init::constant, scale});
  }

  nn::HeadKind kind() const override { return nn::HeadKind::bare; }

  // input_ids [B,T] with attention_mask, position_ids; input_features with is_longer; return_loss. Outputs: text_embeds and audio_embeds of
  // length 1, logits_per_audio, logits_per_text, loss; of one tower alone its embeddings and last_hidden_state.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const Inputs in(inputs, {"input_ids", "attention_mask", "position_ids", "input_features", "is_longer", "return_loss"});
    const bool both = text_ && ears_, reads = text_ && (!both || in.has("input_ids") || !in.has("input_features")), hears = ears_ && (!both || in.has("input_features"));
    NamedTensors out;
    if (reads) {
      NamedTensors own;
      for (const char* name : {"input_ids", "attention_mask", "position_ids"})
        if (in.has(name)) own[name] = in.tensor(name);
      NamedTensors seen = text_->forward(own, {options.hidden_states && !both});
      const Tensor embeds = text_projection_(seen.at("pooler_output"));
      out["text_embeds"] = both ? unit_rows(embeds) : embeds;
      seen.erase("pooler_output");
      if (!both) out.merge(seen);
    }
    if (hears) {
      std::vector<Tensor> states;
      const TowerOutput heard = ears_->forward(in, options.hidden_states && !both ? &states : nullptr);
      const Tensor embeds = audio_projection_(heard.pooled);
      out["audio_embeds"] = both ? unit_rows(embeds) : embeds;
      if (!both) out["last_hidden_state"] = heard.hidden;
      for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
    }
    if (!both || !reads || !hears) return out;
    const Tensor alike = linear(out["text_embeds"], out["audio_embeds"]);
    out["logits_per_text"] = alike * exp(text_scale_);
    out["logits_per_audio"] = transpose(alike, 0, 1) * exp(audio_scale_);
    if (in.flag("return_loss")) out["loss"] = loss_of(out);
    return out;
  }

 private:
  // The reference turns logits_per_audio before it asks which text is each sound's own: both terms ask that of texts.
  static Tensor loss_of(const NamedTensors& out) {
    const Tensor &texts = out.at("logits_per_text"), &sounds = out.at("logits_per_audio");
    require(texts.size(0) == sounds.size(0), "forward: return_loss needs as many texts as sounds, got {} and {}", texts.size(0), sounds.size(0));
    std::vector<int32_t> own;
    for (int64_t i = 0; i < texts.size(0); ++i) own.push_back(static_cast<int32_t>(i));
    return (nn::token_loss(texts, own) + nn::token_loss(contiguous(transpose(sounds, 0, 1)), own)) * 0.5f;
  }

  std::optional<BertEncoder> text_;
  std::optional<ClapEars> ears_;
  ClapProjection text_projection_, audio_projection_;
  Tensor audio_scale_, text_scale_;
};

std::unique_ptr<nn::Model> make_clap(const Json& config, const Weights& w) { return std::make_unique<Clap>(config, w); }

}  // namespace

extern const ModelEntry model_clap{
    "clap", {"ClapModel", "ClapTextModelWithProjection", "ClapAudioModelWithProjection"}, make_clap, "", {".position_ids", ".relative_position_index", ".token_type_ids", ".num_batches_tracked"}, {}};

}  // namespace mynah
