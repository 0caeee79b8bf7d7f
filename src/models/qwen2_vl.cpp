// Qwen2-VL: a vision tower for pictures and videos of any size, whose patches turn by row and column, four neighbours of which become
// one embedding of a Qwen2 that turns by time, row and column. Paper: arXiv:2409.12191. Shapes: B texts, T tokens, n patches of all
// pictures, E the tower's width, C the decoder's.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "models/qwen.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

constexpr DecoderDefaults kQwen2Vl{152064, 8192, 29568, 80, 64, 8, 0, 32768, 1e-5, 1000000};
constexpr float kTowerEps = 1e-6f;

// The reference writes the architecture into text_config.
Json with_architecture(Json json) {
  const auto part = json.find("text_config");
  if (!json.contains("architectures") && part != json.end() && part->is_object() && part->contains("architectures")) json["architectures"] = Json((*part)["architectures"]);
  return json;
}

// The decoder's part: under text_config, or, in old files, the whole config.
Json qwen2_vl_text(const Json& json) {
  const auto part = json.find("text_config");
  Json text = part != json.end() && part->is_object() ? *part : json;
  if (!text.contains("tie_word_embeddings")) text["tie_word_embeddings"] = nn::config_bool(json, "tie_word_embeddings", false);
  text["architectures"] = with_architecture(json).value("architectures", Json());
  return text;
}

struct PatchGrid {
  int64_t time, height, width;
  int64_t frame() const { return height * width; }
};

struct QwenTowerConfig {
  explicit QwenTowerConfig(const Json& c)
      : width(nn::config_int(c, "embed_dim", 1280)),
        layers(nn::config_int(c, "depth", 32, 1, 10000)),
        heads(nn::config_int(c, "num_heads", 16, 1, 100000)),
        inner(static_cast<int64_t>(static_cast<double>(width) * nn::config_number(c, "mlp_ratio", 4))),
        out(nn::config_int(c, "hidden_size", 3584)),
        channels(nn::config_int(c, c.contains("in_chans") ? "in_chans" : "in_channels", 3)),
        patch(nn::config_int(c, "patch_size", 14)),
        frames(nn::config_int(c, "temporal_patch_size", 2)),
        merge(nn::config_int(c, "spatial_merge_size", 2)),
        act(activation(nn::config_string(c, "hidden_act", "quick_gelu"))),
        init(nn::Init::with_std(static_cast<float>(nn::config_number(c, "initializer_range", 0.02)))) {
    require(width % (4 * heads) == 0, "config.json: embed_dim {} is not a multiple of four times num_heads {}", width, heads);
  }

  int64_t width, layers, heads, inner, out, channels, patch, frames, merge;
  Activation act;
  nn::Init init;
  int64_t pixels() const { return channels * frames * patch * patch; }  // of a patch
};

struct QwenTowerLayer {
  QwenTowerLayer(const QwenTowerConfig& c, const Weights& w)
      : norm1(w, "norm1", c.width, kTowerEps),
        norm2(w, "norm2", c.width, kTowerEps),
        qkv(w / "attn", "qkv", c.width, 3 * c.width, c.init),
        out(w / "attn", "proj", c.width, c.width, c.init),
        fc1(w / "mlp", "fc1", c.width, c.inner, c.init),
        fc2(w / "mlp", "fc2", c.inner, c.width, c.init) {}

  Tensor forward(const QwenTowerConfig& c, const Tensor& x, const TokenBatch& batch, const std::pair<Tensor, Tensor>& turns, int layer) const {
    const int64_t n = x.size(0), head = c.width / c.heads;
    const Tensor all = qkv(norm1(x));
    const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * c.width, c.width), n, c.heads, head); };
    AttentionConfig config;
    config.causal = false;
    const Tensor seen = nn::attend(rope(part(0), turns.first, turns.second), rope(part(1), turns.first, turns.second), part(2), batch, layer, config);
    const Tensor y = x + out(reshape(seen, {n, c.width}));
    return y + fc2(activate(fc1(norm2(y)), c.act));
  }

  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, fc1, fc2;
};

class QwenTower {
 public:
  QwenTower(const Json& json, const Weights& w)
      : c(json),
        projection_((w / "patch_embed" / "proj").tensor("weight", {c.width, c.channels, c.frames, c.patch, c.patch}, c.init)),
        norm_(w / "merger", "ln_q", c.width, kTowerEps),
        first_(w / "merger" / "mlp", "0", c.width * c.merge * c.merge, c.width * c.merge * c.merge, c.init),
        second_(w / "merger" / "mlp", "2", c.width * c.merge * c.merge, c.out, c.init) {
    for (int64_t i = 0; i < c.layers; ++i) layers_.emplace_back(c, w / "blocks" / i);
  }

  // Patches [n, pixels], the merge x merge ones of a neighbourhood one after another -> [n / merge^2, C]
  Tensor forward(const Tensor& patches, const std::vector<PatchGrid>& grids) const {
    Tensor x = linear(patches, reshape(projection_, {c.width, c.pixels()}));
    TokenBatch batch;
    for (const PatchGrid& g : grids)
      for (int64_t t = 0; t < g.time; ++t) batch.lengths.push_back(g.frame());
    const auto turns = std::make_shared<const std::pair<Tensor, Tensor>>(turns_of(grids));
    for (size_t i = 0; i < layers_.size(); ++i)
      x = nn::layer(x, {}, batch, [this, i, turns](const Tensor& in, const Tensor&, const TokenBatch& b) { return layers_[i].forward(c, in, b, *turns, static_cast<int>(i)); });
    const int64_t together = c.merge * c.merge;
    return second_(activate(first_(reshape(norm_(x), {x.size(0) / together, c.width * together})), Activation::gelu));
  }

  const QwenTowerConfig c;

 private:
  // cos and sin [n, D/2]: the first half of the frequencies turns by the patch's row, the second by its column.
  std::pair<Tensor, Tensor> turns_of(const std::vector<PatchGrid>& grids) const {
    int64_t n = 0;
    for (const PatchGrid& g : grids) n += g.time * g.frame();
    const int64_t half = c.width / c.heads / 2, each = half / 2;
    std::vector<float> frequencies;
    for (int64_t i = 0; i < each; ++i) frequencies.push_back(1.0f / std::pow(10000.0f, static_cast<float>(2 * i) / static_cast<float>(half)));
    Tensor cosines = Tensor::empty({n, half}), sines = Tensor::empty({n, half});
    float *cos = cosines.data<float>(), *sin = sines.data<float>();
    for (const PatchGrid& g : grids)
      for (int64_t i = 0; i < g.time * g.frame(); ++i) {
        const int64_t inside = i % g.frame() % (c.merge * c.merge), block = i % g.frame() / (c.merge * c.merge), blocks = g.width / c.merge;
        const int64_t row = block / blocks * c.merge + inside / c.merge, column = block % blocks * c.merge + inside % c.merge;
        for (const int64_t place : {row, column})
          for (const float f : frequencies) {
            *cos++ = std::cos(static_cast<float>(place) * f);
            *sin++ = std::sin(static_cast<float>(place) * f);
          }
      }
    return {cosines, sines};
  }

  Tensor projection_;
  std::vector<QwenTowerLayer> layers_;
  nn::LayerNorm norm_;
  nn::Linear first_, second_;
};

class Qwen2Vl : public nn::CausalLM {
 public:
  Qwen2Vl(const Json& json, const Weights& w)
      : CausalLM(with_architecture(json)),
        tower_(config_part(json, "vision_config", "qwen2_vl"), w / "visual"),
        image_(static_cast<int32_t>(nn::config_int(json, "image_token_id", 151655, 0))),
        video_(static_cast<int32_t>(nn::config_int(json, "video_token_id", 151656, 0))) {
    Json text = qwen2_vl_text(json);
    const Json scaling = nn::rope_settings(text);
    std::vector<int64_t> sections = nn::config_ints(scaling, "mrope_section", {16, 24, 24});
    for (const char* key : {"rope_scaling", "rope_parameters"}) text.erase(key);  // "mrope" names the sections, all else turns as by default
    if (scaling.contains("rope_theta")) text["rope_theta"] = scaling["rope_theta"];
    DecoderConfig c = qwen2_config(text, kQwen2Vl);
    require(sections.size() == 3 && 2 * (sections[0] + sections[1] + sections[2]) == c.head_dim, "config.json: mrope_section {} does not make half a head of {} elements",
            scaling.dump(), c.head_dim);
    require(tower_.c.out == c.hidden_size, "config.json: the tower's hidden_size {} is not the decoder's {}", tower_.c.out, c.hidden_size);
    c.axis_sections = std::move(sections);
    text_.emplace(text, std::move(c), w);
  }

  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override { return text_->body(batch, states); }
  Tensor head(const Tensor& hidden) const override { return text_->head(hidden); }
  nn::CacheShape cache_shape() const override { return text_->cache_shape(); }
  int64_t vocabulary_size() const override { return text_->vocabulary_size(); }
  int64_t max_positions() const override { return text_->max_positions(); }
  bool packs() const override { return false; }
  bool takes_media() const override { return true; }

  std::vector<std::string_view> media_names() const override { return {"pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw"}; }
  // pixel_values [n, pixels of a patch] and image_grid_thw [I, 3], patches in time, height and width; the same of videos. In the order of
  // the tokens that stand for them in all rows.
  NamedTensors read_media(const Inputs& in, TokenBatch* batch) const override {
    std::vector<PatchGrid> images, videos;
    const Tensor seen = features(in, "pixel_values", "image_grid_thw", &images), watched = features(in, "pixel_values_videos", "video_grid_thw", &videos);
    if (!seen.defined() && !watched.defined()) return {};
    place(images, videos, batch);
    std::vector<int32_t> from;  // rows of seen and watched together
    int32_t next_seen = 0, next_watched = seen.defined() ? static_cast<int32_t>(seen.size(0)) : 0;
    const int32_t first_watched = next_watched;
    for (size_t i = 0; i < batch->ids.size(); ++i) {
      if (batch->ids[i] != image_ && batch->ids[i] != video_) continue;
      if (batch->ids[i] == image_ ? !seen.defined() : !watched.defined()) continue;
      batch->media_rows.push_back(static_cast<int64_t>(i));
      from.push_back(batch->ids[i] == image_ ? next_seen++ : next_watched++);
    }
    const int64_t given = (seen.defined() ? seen.size(0) : 0) + (watched.defined() ? watched.size(0) : 0);
    require(next_seen == first_watched && static_cast<int64_t>(from.size()) == given, "forward: the pictures make {} features, input_ids holds {} image and video tokens ({}, {})",
            given, from.size(), image_, video_);
    if (!watched.defined()) batch->media = seen;
    else batch->media = seen.defined() ? embedding(cat({seen, watched}, 0), from) : watched;
    return {};
  }

 private:
  Tensor features(const Inputs& in, const char* pixels, const char* grid, std::vector<PatchGrid>* grids) const {
    if (!in.has(pixels)) return {};
    const Tensor patches = in.floats(pixels, {-1, tower_.c.pixels()});
    const Shape shape = in.shape_of(grid, 2, "[pictures, 3]");
    require(shape[1] == 3, "forward: {} has shape {}, expected [pictures, 3]", grid, shape.str());
    const std::vector<int32_t> numbers = in.integers(grid, shape);
    int64_t n = 0;
    for (size_t i = 0; i < numbers.size(); i += 3) {
      const PatchGrid g{numbers[i], numbers[i + 1], numbers[i + 2]};
      require(g.time > 0 && g.height > 0 && g.width > 0 && g.height % tower_.c.merge == 0 && g.width % tower_.c.merge == 0 && g.time < 65536 && g.height < 65536 && g.width < 65536,
              "forward: {} holds {}x{}x{}, expected sides that {} divides", grid, g.time, g.height, g.width, tower_.c.merge);
      n += g.time * g.frame();
      grids->push_back(g);
    }
    require(n == patches.size(0), "forward: {} has {} patches, {} says {}", pixels, patches.size(0), grid, n);
    return tower_.forward(patches, *grids);
  }

  // The places of all tokens: text goes on by one in all three, a picture spreads from where it stands, what follows goes on behind its
  // longest side.
  void place(const std::vector<PatchGrid>& images, const std::vector<PatchGrid>& videos, TokenBatch* batch) const {
    size_t at = 0, image = 0, video = 0;
    for (const int64_t length : batch->lengths) {
      int32_t next = 0;
      for (const size_t end = at + static_cast<size_t>(length); at < end;) {
        const int32_t id = batch->ids[at];
        const bool hidden = !batch->key_mask.empty() && batch->key_mask[at] == 0;
        const std::vector<PatchGrid>& grids = id == image_ ? images : videos;
        size_t& used = id == image_ ? image : video;
        if (hidden || (id != image_ && id != video_) || grids.empty()) {
          batch->axes.push_back({next, next, next});
          next += hidden ? 0 : 1;
          ++at;
          continue;
        }
        require(used < grids.size(), "forward: input_ids has more pictures than the {} given", grids.size());
        const PatchGrid& g = grids[used++];
        const auto height = static_cast<int32_t>(g.height / tower_.c.merge), width = static_cast<int32_t>(g.width / tower_.c.merge), time = static_cast<int32_t>(g.time);
        require(static_cast<size_t>(time * height * width) <= end - at, "forward: a picture of {} features has fewer tokens in input_ids", time * height * width);
        for (int32_t i = 0; i < time * height * width; ++i, ++at)
          batch->axes.push_back({next + i / (height * width), next + i / width % height, next + i % width});
        next += std::max({time, height, width});
      }
      batch->axes_end.push_back(next);
    }
  }

  QwenTower tower_;
  int32_t image_, video_;
  std::optional<Decoder> text_;
};

std::unique_ptr<nn::Model> make_qwen2_vl(const Json& config, const Weights& w) { return std::make_unique<Qwen2Vl>(config, w); }

}  // namespace

extern const ModelEntry model_qwen2_vl{"qwen2_vl",
                                       {"Qwen2VLForConditionalGeneration", "Qwen2VLModel"},
                                       make_qwen2_vl,
                                       "model.",
                                       {"rotary_emb.inv_freq", "rotary_pos_emb.inv_freq"},
                                       {},
                                       {{"visual.", "model.visual."}, {"model.", "model.language_model."}, {"model.", "language_model."}}};

}  // namespace mynah
