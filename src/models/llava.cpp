// LLaVA: what a CLIP tower sees goes through two linear maps and stands among a decoder's embeddings, in place of
// <image> tokens. Papers: arXiv:2304.08485, arXiv:2310.03744. Any text family of decoder.h and any image tower (CLIP,
// SigLIP, ViT) may be its parts. Shapes: B texts, T tokens, I images of P patches, C the decoder's width.

#include "base/require.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

// vision_feature_layer: one number or several; negative ones count from the end.
std::vector<int64_t> feature_layers(const Json& json) {
  const auto it = json.find("vision_feature_layer");
  if (it == json.end() || !it->is_array()) return {nn::config_int(json, "vision_feature_layer", -2, -10000, 10000)};
  std::vector<int64_t> layers;
  for (const Json& layer : *it)
    layers.push_back(nn::config_int({{"vision_feature_layer", layer}}, "vision_feature_layer", {}, -10000, 10000));
  require(!layers.empty(), "config.json: vision_feature_layer names no layer");
  return layers;
}

class Llava : public nn::CausalLM {
 public:
  Llava(const Json& json, const Weights& w)
      : CausalLM(json),
        vision_config_(config_part(json, "vision_config", "clip_vision_model")),
        text_model_(make_text_model(config_part(json, "text_config", "llama"), w / "language_model")),
        tower_(make_image_tower(vision_config_, w / "vision_tower")),
        layers_(feature_layers(json)),
        image_token_(static_cast<int32_t>(
            nn::config_int(json, json.contains("image_token_id") ? "image_token_id" : "image_token_index", 32000, 0))),
        act_(activation(nn::config_string(json, "projector_hidden_act", "gelu"))) {
    require(text().takes_media(), "config.json: text_config's family cannot read images");
    const std::string strategy = nn::config_string(json, "vision_feature_select_strategy", "default");
    require(strategy == "default" || strategy == "full",
            "config.json: vision_feature_select_strategy is \"{}\", expected default or full", strategy);
    first_ = strategy == "default" ? 1 : 0;
    const int64_t seen = nn::config_int(vision_config_, "hidden_size", 1024),
                  width = nn::config_int(config_part(json, "text_config", "llama"), "hidden_size", 4096);
    const bool bias = nn::config_bool(json, "multimodal_projector_bias", true);
    linear1_ = nn::Linear(w / "multi_modal_projector", "linear_1", seen * static_cast<int64_t>(layers_.size()), width,
                          {}, bias);
    linear2_ = nn::Linear(w / "multi_modal_projector", "linear_2", width, width, {}, bias);
  }

  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override {
    return text().body(batch, states);
  }
  Tensor head(const Tensor& hidden) const override { return text().head(hidden); }
  nn::CacheShape cache_shape() const override { return text().cache_shape(); }
  int64_t vocabulary_size() const override { return text().vocabulary_size(); }
  int64_t max_positions() const override { return text().max_positions(); }
  bool packs() const override { return text().packs(); }
  Tensor auxiliary_loss(const TokenBatch& batch) const override { return text().auxiliary_loss(batch); }
  float auxiliary_weight() const override { return text().auxiliary_weight(); }
  bool takes_media() const override { return true; }

  std::vector<std::string_view> media_names() const override { return {"pixel_values"}; }
  // pixel_values [I,3,H,W], in the order of the <image> tokens of all rows; P of these for each image.
  NamedTensors read_media(const Inputs& in, TokenBatch* batch) const override {
    if (!in.has("pixel_values")) return {};
    batch->media = features(in.tensor("pixel_values"));
    for (size_t i = 0; i < batch->ids.size(); ++i)
      if (batch->ids[i] == image_token_) batch->media_rows.push_back(static_cast<int64_t>(i));
    require(batch->media.size(0) == static_cast<int64_t>(batch->media_rows.size()),
            "forward: pixel_values {} make_llava {} features, input_ids holds {} image tokens ({})",
            in.tensor("pixel_values").shape().str(), batch->media.size(0), batch->media_rows.size(), image_token_);
    return {{"image_hidden_states", batch->media}};
  }

 private:
  const nn::CausalLM& text() const { return *text_model_->causal_lm(); }

  // [I * P, C]
  Tensor features(const Tensor& pixels) const {
    const NamedTensors out = tower_->forward({{"pixel_values", pixels}}, {.hidden_states = true});
    int64_t states = 0;
    while (out.count("hidden_states." + std::to_string(states))) ++states;
    std::vector<Tensor> picked;
    for (const int64_t layer : layers_) {
      const int64_t at = layer < 0 ? states + layer : layer;
      require(at >= 0 && at < states, "config.json: vision_feature_layer {} does not exist, the tower has {}", layer,
              states);
      const Tensor& hidden = out.at("hidden_states." + std::to_string(at));
      picked.push_back(narrow(hidden, 1, first_, hidden.size(1) - first_));
    }
    const Tensor all = picked.size() == 1 ? picked[0] : cat(picked, 2);
    return linear2_(activate(linear1_(reshape(all, {all.size(0) * all.size(1), all.size(2)})), act_));
  }

  const Json vision_config_;
  std::unique_ptr<nn::Model> text_model_, tower_;
  std::vector<int64_t> layers_;
  int32_t image_token_;
  Activation act_;
  int64_t first_ = 0;
  nn::Linear linear1_, linear2_;
};

std::unique_ptr<nn::Model> make_llava(const Json& config, const Weights& w) { return std::make_unique<Llava>(config, w); }

}  // namespace

extern const ModelEntry model_llava{"llava",
                                    {"LlavaForConditionalGeneration", "LlavaModel"},
                                    make_llava,
                                    "",
                                    {".position_ids", "rotary_emb.inv_freq"},
                                    {},
                                    {{"language_model.model.", "model.language_model."},
                                     {"language_model.model.", "language_model."},
                                     {"language_model.lm_head.", "lm_head."},
                                     {"vision_tower.", "model.vision_tower."},
                                     {"multi_modal_projector.", "model.multi_modal_projector."}}};

}  // namespace mynah
