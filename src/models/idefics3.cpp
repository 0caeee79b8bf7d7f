// Idefics3 and SmolVLM: a SigLIP tower for pictures of any size, whose neighbouring rows are put together and mapped
// into the embeddings of a Llama, in place of <image> tokens. Papers: arXiv:2408.12637, arXiv:2504.05299; positions:
// arXiv:2307.06304. Shapes: B texts, I pictures (with padding ones), P patches of a picture, E the tower's width, C the
// decoder's.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/clip_layers.h"
#include "models/llama.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

const Json kIdefics3Vision = {{"hidden_size", 1152},       {"intermediate_size", 3072}, {"num_hidden_layers", 12},
                              {"num_attention_heads", 16}, {"image_size", 224},         {"patch_size", 32}};

Json idefics3_vision_part(const Json& json) {
  return nn::with_defaults(config_part(json, "vision_config", "idefics3_vision"), kIdefics3Vision);
}
Json idefics3_text_part(const Json& json) {
  Json c = config_part(json, "text_config", "llama");
  c["architectures"] = {"LlamaForCausalLM"};
  return c;
}

struct Idefics3Tower {
  Idefics3Tower(const Json& json, const Weights& w)
      : config(json, 1152, 12, 16, 3072, "gelu_pytorch_tanh", 1e-6),
        patches(json, config, w / "embeddings", false),
        stack(config, w / "encoder"),
        after(w, "post_layernorm", config.hidden_size, config.layer_norm_eps) {}

  // pixels [n,3,H,W]; `seen` [n, P] says which patches hold a picture, the upper left ones -> [n,P,E]
  Tensor forward(const Tensor& pixels, const std::vector<uint8_t>& seen) const {
    const int64_t images = pixels.size(0), rows = pixels.size(2) / patches.patch_size,
                  columns = pixels.size(3) / patches.patch_size;
    const Tensor x = nn::patch_rows(pixels, patches.projection, patches.projection_bias);
    TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(images), rows * columns);
    if (std::find(seen.begin(), seen.end(), 0) != seen.end()) batch.key_mask = seen;
    const Tensor y = after(
        stack.forward(x + embedding(patches.positions, places(seen, images, rows, columns)), batch, false, nullptr));
    return reshape(y, {images, rows * columns, config.hidden_size});
  }

  ClipStackConfig config;
  ClipPatches patches;
  ClipStack stack;
  nn::LayerNorm after;

 private:
  // The place of a patch in the table's grid: its share of the picture's height and width, shortened by a millionth,
  // among the grid's boundaries; all in f32, as the reference computes it.
  int32_t bucket(int64_t index, int64_t count) const {
    const int64_t side = patches.image_size / patches.patch_size;
    const float share = static_cast<float>(index) / static_cast<float>(count) * static_cast<float>(1 - 1e-6);
    int32_t at = 0;
    for (int64_t i = 0; i + 1 < side; ++i)
      if (static_cast<float>(1.0 / static_cast<double>(side) +
                             static_cast<double>(i) * (1.0 / static_cast<double>(side))) <= share)
        ++at;
    return at;
  }
  std::vector<int32_t> places(const std::vector<uint8_t>& seen, int64_t images, int64_t rows, int64_t columns) const {
    const int64_t side = patches.image_size / patches.patch_size;
    std::vector<int32_t> out(seen.size(), 0);
    for (int64_t n = 0; n < images; ++n) {
      const auto at = [&](int64_t y, int64_t x) { return static_cast<size_t>((n * rows + y) * columns + x); };
      int64_t height = 0, width = 0;
      for (int64_t y = 0; y < rows; ++y) height += seen[at(y, 0)];
      for (int64_t x = 0; x < columns; ++x) width += seen[at(0, x)];
      for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
          out[at(y, x)] = bucket(y, height) * static_cast<int32_t>(side) + bucket(x, width);
    }
    return out;
  }
};

class Idefics3 : public nn::CausalLM {
 public:
  Idefics3(const Json& json, const Weights& w)
      : CausalLM(json),
        tower_(idefics3_vision_part(json), w / "model" / "vision_model"),
        scale_(nn::config_int(json, "scale_factor", 2, 1, 64)),
        image_token_(static_cast<int32_t>(nn::config_int(json, "image_token_id", 128257, 0))) {
    const Json text = idefics3_text_part(json);
    require(text["model_type"] == "llama", "config.json: text_config is of type {}, expected llama",
            text["model_type"].dump());
    DecoderConfig c = llama_config(text);
    c.names.base = "model.text_model";
    projection_ = nn::Linear(w / "model" / "connector" / "modality_projection", "proj",
                             tower_.config.hidden_size * scale_ * scale_, c.hidden_size, c.init(), false);
    text_.emplace(text, std::move(c), w);
  }

  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override {
    return text_->body(batch, states);
  }
  Tensor head(const Tensor& hidden) const override { return text_->head(hidden); }
  nn::CacheShape cache_shape() const override { return text_->cache_shape(); }
  int64_t vocabulary_size() const override { return text_->vocabulary_size(); }
  int64_t max_positions() const override { return text_->max_positions(); }
  bool takes_media() const override { return true; }

  std::vector<std::string_view> media_names() const override { return {"pixel_values", "pixel_attention_mask"}; }
  // pixel_values [B,I,3,H,W], pictures of zeros being padding; pixel_attention_mask [B,I,H,W].
  NamedTensors read_media(const Inputs& in, TokenBatch* batch) const override {
    if (!in.has("pixel_values")) return {};
    const Tensor all = in.floats("pixel_values", {-1, -1, tower_.patches.channels, -1, -1});
    const int64_t count = all.size(0) * all.size(1), height = all.size(3), width = all.size(4),
                  patch = tower_.patches.patch_size;
    const std::vector<uint8_t> mask = in.mask("pixel_attention_mask", {all.size(0), all.size(1), height, width});
    const Tensor pixels = reshape(contiguous(all), {count, all.size(2), height, width});
    std::vector<int64_t> real;
    std::vector<uint8_t> seen;
    for (int64_t n = 0; n < count; ++n) {
      const int64_t each = pixels.numel() / count;
      const float* p = pixels.data<float>() + n * each;
      if (std::all_of(p, p + each, [](float v) { return v == 0; })) continue;
      real.push_back(n);
      for (int64_t y = 0; y < height / patch; ++y)
        for (int64_t x = 0; x < width / patch; ++x) seen.push_back(shows(mask, n, y, x, height, width, patch));
    }
    if (real.empty()) return {};
    const Tensor rows = tower_.forward(index_rows(pixels, real), seen);
    const Tensor features = projection_(joined_neighbours(rows));
    batch->media = reshape(features, {features.size(0) * features.size(1), features.size(2)});
    for (size_t i = 0; i < batch->ids.size(); ++i)
      if (batch->ids[i] == image_token_) batch->media_rows.push_back(static_cast<int64_t>(i));
    require(batch->media.size(0) == static_cast<int64_t>(batch->media_rows.size()),
            "forward: pixel_values {} make_idefics3 {} features, input_ids holds {} image tokens ({})", all.shape().str(),
            batch->media.size(0), batch->media_rows.size(), image_token_);
    return {{"image_hidden_states", features}};
  }

 private:
  // Whether any pixel of a patch belongs to the picture.
  static uint8_t shows(const std::vector<uint8_t>& mask, int64_t n, int64_t y, int64_t x, int64_t height, int64_t width,
                       int64_t patch) {
    if (mask.empty()) return 1;
    for (int64_t i = 0; i < patch; ++i)
      for (int64_t j = 0; j < patch; ++j)
        if (mask[static_cast<size_t>((n * height + y * patch + i) * width + x * patch + j)]) return 1;
    return 0;
  }

  // [n,P,E] of a square of patches -> [n, P / s^2, E s^2]: each square of s x s rows becomes one.
  Tensor joined_neighbours(const Tensor& x) const {
    const int64_t n = x.size(0), e = x.size(2), side = static_cast<int64_t>(std::sqrt(static_cast<double>(x.size(1)))),
                  s = scale_;
    require(side * side == x.size(1) && side % s == 0,
            "forward: {} patches of a picture, expected a square whose side {} divides", x.size(1), s);
    const std::array<int, 4> swapped{0, 2, 1, 3};
    const Tensor wide = permute(reshape(x, {n, side, side / s, e * s}), swapped);
    const Tensor square = permute(reshape(contiguous(wide), {n, side / s, side / s, e * s * s}), swapped);
    return reshape(contiguous(square), {n, (side / s) * (side / s), e * s * s});
  }

  Idefics3Tower tower_;
  int64_t scale_;
  int32_t image_token_;
  nn::Linear projection_;
  std::optional<Decoder> text_;
};

std::unique_ptr<nn::Model> make_idefics3(const Json& config, const Weights& w) { return std::make_unique<Idefics3>(config, w); }

}  // namespace

extern const ModelEntry model_idefics3{"idefics3",
                                       {"Idefics3ForConditionalGeneration", "Idefics3Model"},
                                       make_idefics3,
                                       "model.",
                                       {"rotary_emb.inv_freq", ".position_ids"},
                                       {}};
extern const ModelEntry model_smolvlm{"smolvlm",
                                      {"SmolVLMForConditionalGeneration", "SmolVLMModel"},
                                      make_idefics3,
                                      "model.",
                                      {"rotary_emb.inv_freq", ".position_ids"},
                                      {}};

}  // namespace mynah
