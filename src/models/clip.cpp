// CLIP: a text tower and an image tower whose outputs meet in one space. Paper: arXiv:2103.00020.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/clip_layers.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/losses.h"
#include "nn/model.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::Weights;

struct ClipTextTower {
  ClipTextTower(const Json& c, const Weights& w)
      : config(c, 512, 12, 8, 2048, "quick_gelu", 1e-5),
        vocab_size(nn::config_int(c, "vocab_size", 49408)),
        eos(nn::config_int(c, "eos_token_id", 49407, 0)),
        max_positions(nn::config_int(c, "max_position_embeddings", 77)),
        tokens((w / "embeddings").matrix("token_embedding", vocab_size, config.hidden_size, config.init())),
        positions((w / "embeddings" / "position_embedding").tensor("weight", {max_positions, config.hidden_size}, config.init())),
        stack(config, w / "encoder"),
        norm(w, "final_layer_norm", config.hidden_size, config.layer_norm_eps) {}

  TowerOutput forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
    nn::TokenBatch batch;
    batch.ids = in.ids("input_ids", shape, vocab_size);
    require(shape[1] <= max_positions, "forward: input_ids has {} tokens, the model's context holds {}", shape[1], max_positions);
    batch.positions = in.positions("position_ids", shape[0], shape[1]);
    batch.key_mask = in.mask("attention_mask", shape);
    batch.lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
    // The end token of each text. Old configs name id 2, which never occurs: there it is the largest id.
    std::vector<int64_t> ends;
    for (int64_t b = 0; b < shape[0]; ++b) {
      const auto row = batch.ids.begin() + b * shape[1], end = row + shape[1];
      const auto at = eos == 2 ? std::max_element(row, end) : std::find(row, end, static_cast<int32_t>(eos));
      ends.push_back(b * shape[1] + (at == end ? 0 : at - row));
    }
    if (pooled_only && !states) batch.read = ends;
    const Tensor x = norm(stack.forward(tokens.lookup(batch.ids) + embedding(positions, batch.positions), batch, true, states));
    return {batch.read ? Tensor() : reshape(x, {shape[0], shape[1], x.size(1)}), nn::wanted_rows(x, ends)};
  }

  ClipStackConfig config;
  bool pooled_only = false;  // nobody asks for the hidden rows
  int64_t vocab_size, eos, max_positions;
  nn::Matrix tokens;
  Tensor positions;
  ClipStack stack;
  nn::LayerNorm norm;
};

struct ClipImageTower {
  ClipImageTower(const Json& c, const Weights& w)
      : config(c, 768, 12, 12, 3072, "quick_gelu", 1e-5),
        patches(c, config, w / "embeddings", true),
        before(w, "pre_layrnorm", config.hidden_size, config.layer_norm_eps),  // spelled so in checkpoints
        stack(config, w / "encoder"),
        after(w, "post_layernorm", config.hidden_size, config.layer_norm_eps) {}

  // The hidden rows are those before the last norm, which only the class token passes.
  TowerOutput forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Tensor pixels = in.floats("pixel_values", {-1, patches.channels, -1, -1});
    const bool interpolate = in.flag("interpolate_pos_encoding");
    const Tensor x = before(patches.forward(pixels, interpolate));
    nn::TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(pixels.size(0)), x.size(0) / pixels.size(0));
    const std::vector<int64_t> firsts = nn::first_rows(batch);
    if (pooled_only && !states) batch.read = firsts;
    const Tensor y = stack.forward(x, batch, false, states);
    return {batch.read ? Tensor() : reshape(y, {pixels.size(0), batch.lengths[0], y.size(1)}), after(nn::wanted_rows(y, firsts))};
  }

  ClipStackConfig config;
  bool pooled_only = false;  // nobody asks for the hidden rows
  ClipPatches patches;
  nn::LayerNorm before;
  ClipStack stack;
  nn::LayerNorm after;
};

// One class for the whole model and for each tower alone: what architectures[0] asks for is loaded and computed.
class Clip : public nn::Model {
 public:
  Clip(const Json& json, const Weights& w) : json_(json), kind_(nn::head_kind(json)) {
    const std::string name = json.contains("architectures") ? json["architectures"][0].get<std::string>() : "CLIPModel";
    const bool image_only = name.starts_with("CLIPVision") || kind_ == nn::HeadKind::image_classification;
    const bool text_only = name.starts_with("CLIPText"), both = !image_only && !text_only;
    const int64_t width = nn::config_int(json, "projection_dim", 512);
    if (!image_only) text_.emplace(tower_config(json, "text_config"), w / "text_model");
    if (!text_only) image_.emplace(tower_config(json, "vision_config"), w / "vision_model");
    const bool projects = both || name.ends_with("WithProjection");
    if (text_ && projects) text_projection_ = nn::Linear(w, "text_projection", text_->config.hidden_size, width, text_->config.init(), false);
    if (image_ && projects) image_projection_ = nn::Linear(w, "visual_projection", image_->config.hidden_size, width, image_->config.init(), false);
    if (both) text_->pooled_only = image_->pooled_only = true;
    if (both) logit_scale_ = w.tensor("logit_scale", {}, {nn::Init::constant, static_cast<float>(nn::config_number(json, "logit_scale_init_value", 2.6592))});
    if (kind_ == nn::HeadKind::image_classification)
      classifier_ = nn::Linear(w, "classifier", image_->config.hidden_size, nn::label_count(json), image_->config.init());
  }

  nn::HeadKind kind() const override { return kind_; }

  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const Inputs in(inputs, {"input_ids", "attention_mask", "position_ids", "pixel_values", "interpolate_pos_encoding", "return_loss", "labels"});
    NamedTensors out;
    const auto [text, image] = ask_towers(text_, image_, in, options.hidden_states, &out);
    if (text_ && image_) {
      if (text.pooled.defined()) out["text_embeds"] = unit_rows(text_projection_(text.pooled));
      if (image.pooled.defined()) out["image_embeds"] = unit_rows(image_projection_(image.pooled));
      if (out.size() < 2) return out;  // one side alone was asked for
      out["logits_per_text"] = linear(out["text_embeds"], out["image_embeds"]) * exp(logit_scale_);
      out["logits_per_image"] = transpose(out["logits_per_text"], 0, 1);
      if (in.flag("return_loss")) out["loss"] = contrastive_loss(out);
      return out;
    }
    const TowerOutput& one = text_ ? text : image;
    if (classifier_.defined()) {
      const int64_t tokens = one.hidden.size(1);
      out["logits"] = classifier_(mean(narrow(one.hidden, 1, 1, tokens - 1), 1));
      if (in.has("labels")) out["loss"] = nn::classification_loss(json_, out["logits"], in);
      return out;
    }
    out["last_hidden_state"] = one.hidden;
    const nn::Linear& projection = text_ ? text_projection_ : image_projection_;
    if (projection.defined()) out[text_ ? "text_embeds" : "image_embeds"] = projection(one.pooled);
    else out["pooler_output"] = one.pooled;
    return out;
  }

 private:
  const Json json_;
  nn::HeadKind kind_;
  std::optional<ClipTextTower> text_;
  std::optional<ClipImageTower> image_;
  nn::Linear text_projection_, image_projection_, classifier_;
  Tensor logit_scale_;
};

std::unique_ptr<nn::Model> make_clip(const Json& config, const Weights& weights) { return std::make_unique<Clip>(config, weights); }

}  // namespace

extern const ModelEntry model_clip{"clip",
                                   {"CLIPModel", "CLIPTextModel", "CLIPVisionModel", "CLIPTextModelWithProjection", "CLIPVisionModelWithProjection",
                                    "CLIPForImageClassification"},
                                   make_clip,
                                   "",
                                   {".position_ids"},
                                   {}};

}  // namespace mynah
