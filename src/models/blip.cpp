// BLIP: an image tower, and BERT's layers that attend to its rows as a writer of captions and answers or as a reader of
// questions. Paper: arXiv:2201.12086. Differences from CLIP's tower and from BERT: queries, keys and values of the
// tower in one matrix, its last norm over all rows and once more over the pooled one; no token types. Shapes: B texts
// and images, T tokens, P rows of an image, C the text's width, E the image's.
#include <algorithm>
#include <optional>

#include "base/require.h"
#include "models/bert_decoder.h"
#include "models/clip_layers.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/losses.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

const Json kBlipText = {{"vocab_size", 30524},
                        {"hidden_size", 768},
                        {"intermediate_size", 3072},
                        {"num_hidden_layers", 12},
                        {"num_attention_heads", 8},
                        {"pad_token_id", 0},
                        {"bos_token_id", 30522},
                        {"sep_token_id", 102},
                        {"max_position_embeddings", 512},
                        {"hidden_dropout_prob", 0.0},
                        {"attention_probs_dropout_prob", 0.0}};
const Json kBlipVision = {{"hidden_size", 768},        {"intermediate_size", 3072}, {"num_hidden_layers", 12},
                          {"num_attention_heads", 12}, {"image_size", 384},         {"patch_size", 16}};

const BertFamily kBlipFamily = {
    .base = "bert",
    .heads = {.pooler = "",
              .masked_lm = {"cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
                            "cls.predictions.decoder", "cls.predictions.bias"},
              .masked_lm_act = {},
              .sequences = {},
              .choices = {},
              .relationship = ""},
};

Json blip_text_part(const Json& json) {
  Json c = nn::with_defaults(config_part(json, "text_config", "blip_text_model"), kBlipText);
  c["type_vocab_size"] = 0;
  c["architectures"] = {"BertLMHeadModel"};
  return c;
}
Json blip_vision_part(const Json& json) {
  return nn::with_defaults(config_part(json, "vision_config", "blip_vision_model"), kBlipVision);
}

struct TowerLayer {
  TowerLayer(const ClipStackConfig& c, const Weights& w)
      : heads(c.num_attention_heads),
        norm1(w, "layer_norm1", c.hidden_size, c.layer_norm_eps),
        qkv(w / "self_attn", "qkv", c.hidden_size, 3 * c.hidden_size, c.init()),
        projection(w / "self_attn", "projection", c.hidden_size, c.hidden_size, c.init()),
        norm2(w, "layer_norm2", c.hidden_size, c.layer_norm_eps),
        mlp(c, w / "mlp") {}
  Tensor forward(const Tensor& x, const TokenBatch& batch) const {
    const int64_t n = x.size(0), size = x.size(1);
    const Tensor all = qkv(norm1(x));
    const auto part = [&](int64_t i) {
      return nn::split_heads(narrow(all, 1, i * size, size), n, heads, size / heads);
    };
    AttentionConfig config;
    config.causal = false;
    const Tensor y = x + projection(reshape(nn::attend(part(0), part(1), part(2), batch, 0, config), {n, size}));
    return y + mlp(norm2(y));
  }

  int64_t heads;
  nn::LayerNorm norm1;
  nn::Linear qkv, projection;
  nn::LayerNorm norm2;
  ClipMLP mlp;
};

struct BlipTower {
  BlipTower(const Json& json, const Weights& w)
      : c(json, 768, 12, 12, 3072, "gelu", 1e-5),
        side(nn::config_int(json, "image_size", 384) / nn::config_int(json, "patch_size", 16)),
        class_embedding((w / "embeddings").tensor("class_embedding", {1, 1, c.hidden_size}, c.init())),
        positions((w / "embeddings").tensor("position_embedding", {1, side * side + 1, c.hidden_size}, c.init())),
        patch((w / "embeddings" / "patch_embedding")
                  .tensor("weight",
                          {c.hidden_size, 3, nn::config_int(json, "patch_size", 16),
                           nn::config_int(json, "patch_size", 16)},
                          c.init())),
        patch_bias((w / "embeddings" / "patch_embedding").tensor("bias", {c.hidden_size}, nn::Init::zeros())),
        norm(w, "post_layernorm", c.hidden_size, c.layer_norm_eps) {
    for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c, w / "encoder" / "layers" / i);
  }

  // pixel_values [B,3,H,W] -> [B,P,E]; with `states`, appends what the layers read and give.
  Tensor forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Tensor pixels = in.floats("pixel_values", {-1, 3, -1, -1});
    const int64_t images = pixels.size(0), rows = pixels.size(2) / patch.size(2),
                  columns = pixels.size(3) / patch.size(3), tokens = rows * columns + 1;
    Tensor x = reshape(join_tokens({class_embedding}, nn::patch_rows(pixels, patch, patch_bias), images),
                       {images, tokens, c.hidden_size});
    x = reshape(x + place(rows, columns, in.flag("interpolate_pos_encoding")), {images * tokens, c.hidden_size});
    TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(images), tokens);
    const auto note = [&] {
      if (states) states->push_back(reshape(x, {images, tokens, c.hidden_size}));
    };
    note();
    for (const TowerLayer& layer : layers) {
      x = layer.forward(x, batch);
      note();
    }
    return reshape(norm(x), {images, tokens, c.hidden_size});
  }
  // The class token's row, normed once more: [B,E]
  Tensor pooled(const Tensor& hidden) const { return norm(select(hidden, 1, 0)); }

  ClipStackConfig c;
  int64_t side;
  Tensor class_embedding, positions, patch, patch_bias;
  nn::LayerNorm norm;
  std::vector<TowerLayer> layers;

 private:
  Tensor place(int64_t rows, int64_t columns, bool interpolate) const {
    if (rows == side && columns == side) return positions;
    if (!interpolate) {
      require(rows * columns < positions.size(1),
              "forward: pixel_values have {}x{} patches, expected {}x{}; set interpolate_pos_encoding for other sizes",
              rows, columns, side, side);
      return narrow(positions, 1, 0, rows * columns + 1);  // smaller ones take the first places
    }
    const Tensor patches = nn::resize_positions(
        reshape(narrow(positions, 1, 1, side * side), {side * side, c.hidden_size}), {side, side}, rows, columns);
    return cat({narrow(positions, 1, 0, 1), reshape(patches, {1, rows * columns, c.hidden_size})}, 1);
  }
};

// BERT's layers as a reader, which may attend to image rows.
struct TextReader {
  TextReader(const Json& json, const Weights& w, int64_t image_size)
      : c(json, true),
        embeddings(c, w / "embeddings", c.hidden_size),
        stack(c, w / "encoder", kBertLayer, {false, image_size}) {}

  // input_ids [B,T], attention_mask -> [B,T,C]; `image` [B,P,E] or undefined.
  Tensor forward(const Inputs& in, const Tensor& image) const {
    const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
    require(shape[1] <= c.max_position_embeddings, "forward: input_ids has {} tokens, the model's context holds {}",
            shape[1], c.max_position_embeddings);
    TokenBatch batch;
    batch.ids = in.ids("input_ids", shape, c.vocab_size);
    batch.positions = in.positions("position_ids", shape[0], shape[1]);
    batch.key_mask = in.mask("attention_mask", shape);
    batch.lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
    if (image.defined()) {
      require(image.size(0) == shape[0], "forward: {} images for {} texts", image.size(0), shape[0]);
      batch.memory = reshape(image, {image.size(0) * image.size(1), image.size(2)});
      batch.memory_lengths.assign(static_cast<size_t>(shape[0]), image.size(1));
    }
    return reshape(stack.forward(embeddings.forward(batch), batch, nullptr), {shape[0], shape[1], c.hidden_size});
  }

  BertConfig c;
  BertEmbeddings embeddings;
  BertStack stack;
};

// Cross-entropy of the next token: logits [B,T,V], labels [B,T]. Part `smoothing` of it looks at all tokens alike.
Tensor writing_loss(const Tensor& logits, const std::vector<int32_t>& labels, float smoothing) {
  const int64_t rows = logits.size(0), length = logits.size(1);
  const Tensor flat = reshape(logits, {rows * length, logits.size(2)});
  if (smoothing == 0) return nn::next_token_loss(flat, labels, rows, length);
  std::vector<int64_t> at;
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < rows * length; ++i)
    if ((i + 1) % length != 0 && labels[static_cast<size_t>(i + 1)] != -100) {
      at.push_back(i);
      targets.push_back(labels[static_cast<size_t>(i + 1)]);
    }
  const Tensor counted = index_rows(flat, at);
  return nn::token_loss(counted, targets) * (1 - smoothing) + mean(log_softmax(counted)) * -smoothing;
}

// Captions (BlipForConditionalGeneration: the decoder attends to the image) and answers (BlipForQuestionAnswering: it
// attends to the question, which has attended to the image).
class BlipWriter : public nn::CausalLM {
 public:
  BlipWriter(const Json& json, const Weights& w)
      : CausalLM(json),
        text_config_(blip_text_part(json)),
        tower_(blip_vision_part(json), w / "vision_model"),
        smoothing_(static_cast<float>(nn::config_number(text_config_, "label_smoothing", 0))),
        bos_(static_cast<int32_t>(nn::config_int(text_config_, "bos_token_id", 30522, 0))) {
    const BertConfig c(text_config_, true);
    const int64_t image_size = tower_.c.hidden_size;
    if (std::string(json["architectures"][0]).ends_with("QuestionAnswering")) {
      require(c.hidden_size == image_size,
              "config.json: answers need a text as wide as the image, got hidden_size {} and {}", c.hidden_size,
              image_size);
      reader_.emplace(text_config_, w / "text_encoder", image_size);
    }
    decoder_.emplace(text_config_, c, w / "text_decoder", kBlipFamily, BertDecoding{true, image_size});
  }

  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override {
    return decoder_->body(batch, states);
  }
  Tensor head(const Tensor& hidden) const override { return decoder_->head(hidden); }
  void remember(const Tensor& rows, nn::Cache* memory) const override { decoder_->remember(rows, memory); }
  nn::CacheShape cache_shape() const override { return decoder_->cache_shape(); }
  int64_t vocabulary_size() const override { return decoder_->vocabulary_size(); }
  int64_t max_positions() const override { return decoder_->max_positions(); }

  std::vector<std::string_view> media_names() const override { return {"pixel_values", "interpolate_pos_encoding"}; }
  NamedTensors read_media(const Inputs& in, TokenBatch* batch) const override {
    const Tensor image = tower_.forward(in, nullptr), memory = reader_ ? reader_->forward(in, image) : image;
    attend_to(memory, batch);
    return {};
  }
  // A caption goes on from the text without its end token; an answer starts anew.
  void start_rows(int64_t count, Rows* ids, Rows* mask) const override {
    if (reader_ || ids->empty()) {
      ids->assign(static_cast<size_t>(count), {bos_});
      mask->assign(static_cast<size_t>(count), {1});
      return;
    }
    for (std::vector<int32_t>& row : *ids) {
      require(row.size() > 1,
              "generate: input_ids holds one token, expected two or more: the last one is the end token, which is left "
              "out");
      row[0] = bos_;
      row.pop_back();
    }
    for (std::vector<int32_t>& row : *mask) row.pop_back();
  }

  // Inputs: pixel_values [B,3,H,W], input_ids [B,T], attention_mask; labels; of an answerer decoder_input_ids,
  // decoder_attention_mask. Outputs: logits [B,T,V] of captions; loss; image_embeds and last_hidden_state [B,P,E];
  // hidden_states.N, of the image.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    std::vector<std::string_view> known = {"pixel_values", "input_ids", "attention_mask", "labels",
                                           "interpolate_pos_encoding"};
    if (reader_) known.insert(known.end(), {"decoder_input_ids", "decoder_attention_mask"});
    const Inputs in(inputs, known);
    std::vector<Tensor> states;
    const Tensor image = tower_.forward(in, options.hidden_states ? &states : nullptr);
    NamedTensors out{{"image_embeds", image}, {"last_hidden_state", image}};
    for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];

    const char* ids = !reader_ ? "input_ids" : in.has("decoder_input_ids") ? "decoder_input_ids" : "labels";
    const char* mask = reader_ ? "decoder_attention_mask" : "attention_mask";
    const Shape shape = in.shape_of(ids, 2, "[batch, tokens]");
    TokenBatch batch;
    batch.precision = attention_type();
    batch.ids = in.ids(ids, shape, vocabulary_size());
    batch.positions = in.positions("decoder_position_ids", shape[0], shape[1]);
    batch.key_mask = in.mask(mask, shape);
    batch.lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
    // As in the reference, all of a question is seen, its padding too.
    attend_to(reader_ ? reader_->forward(in, image) : image, &batch);
    const Tensor logits = head(body(batch, nullptr)), by_row = reshape(logits, {shape[0], shape[1], logits.size(1)});
    if (!reader_) out["logits"] = by_row;
    if (in.has("labels")) out["loss"] = writing_loss(by_row, in.integers("labels", shape), smoothing_);
    return out;
  }

 private:
  static void attend_to(const Tensor& memory, TokenBatch* batch) {
    require(memory.size(0) == static_cast<int64_t>(batch->lengths.size()),
            "forward: {} images or questions for {} texts", memory.size(0), batch->lengths.size());
    batch->memory = reshape(memory, {memory.size(0) * memory.size(1), memory.size(2)});
    batch->memory_lengths.assign(batch->lengths.size(), memory.size(1));
  }

  const Json text_config_;
  BlipTower tower_;
  float smoothing_;
  int32_t bos_;
  std::optional<TextReader> reader_;
  std::optional<BertDecoder> decoder_;
};

// How well images and texts fit: by a head over a text that attends to its image (BlipForImageTextRetrieval), or by the
// distance of their pooled rows (BlipModel; the same class without use_itm_head).
class BlipMatcher : public nn::Model {
 public:
  BlipMatcher(const Json& json, const Weights& w)
      : kind_(nn::head_kind(json)), tower_(blip_vision_part(json), w / "vision_model") {
    const Json text = blip_text_part(json);
    const int64_t c = nn::config_int(text, "hidden_size"), e = tower_.c.hidden_size;
    retrieves_ = kind_ == nn::HeadKind::image_text_matching;
    reader_.emplace(text, w / (retrieves_ ? "text_encoder" : "text_model"), e);
    const nn::Init init = tower_.c.init();
    if (retrieves_) {
      const int64_t width = nn::config_int(json, "image_text_hidden_size", 256);
      image_projection_ = nn::Linear(w, "vision_proj", e, width, init);
      text_projection_ = nn::Linear(w, "text_proj", c, width, init);
      itm_ = nn::Linear(w, "itm_head", c, 2, init);
      return;
    }
    const int64_t width = nn::config_int(json, "projection_dim", 512);
    pooler_ = nn::Linear(w / "text_model" / "pooler", "dense", c, c, init);
    image_projection_ = nn::Linear(w, "visual_projection", e, width, init, false);
    text_projection_ = nn::Linear(w, "text_projection", c, width, init, false);
    logit_scale_ =
        w.tensor("logit_scale", {},
                 {nn::Init::constant, static_cast<float>(nn::config_number(json, "logit_scale_init_value", 2.6592))});
  }

  nn::HeadKind kind() const override { return kind_; }

  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const Inputs in(inputs, {"pixel_values", "input_ids", "attention_mask", "position_ids", "interpolate_pos_encoding",
                             retrieves_ ? "use_itm_head" : "return_loss"});
    std::vector<Tensor> states;
    const Tensor image = tower_.forward(in, options.hidden_states && retrieves_ ? &states : nullptr);
    NamedTensors out;
    for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
    if (!retrieves_) return contrast(in, image);
    const bool by_head = !in.has("use_itm_head") || in.flag("use_itm_head");
    const Tensor text = reader_->forward(in, by_head ? image : Tensor());
    out["last_hidden_state"] = image;
    out["question_embeds"] = text;
    out["itm_score"] = by_head ? itm_(select(text, 1, 0))
                               : linear(unit_rows(image_projection_(select(image, 1, 0))),
                                        unit_rows(text_projection_(select(text, 1, 0))));
    return out;
  }

 private:
  NamedTensors contrast(const Inputs& in, const Tensor& image) const {
    const Tensor text = tanh(pooler_(select(reader_->forward(in, {}), 1, 0)));
    NamedTensors out{{"image_embeds", unit_rows(image_projection_(tower_.pooled(image)))},
                     {"text_embeds", unit_rows(text_projection_(text))}};
    out["logits_per_text"] = linear(out["text_embeds"], out["image_embeds"]) * exp(logit_scale_);
    out["logits_per_image"] = transpose(out["logits_per_text"], 0, 1);
    if (in.flag("return_loss")) out["loss"] = contrastive_loss(out);
    return out;
  }

  nn::HeadKind kind_;
  BlipTower tower_;
  bool retrieves_ = false;
  std::optional<TextReader> reader_;
  nn::Linear image_projection_, text_projection_, itm_, pooler_;
  Tensor logit_scale_;
};

std::unique_ptr<nn::Model> make_blip(const Json& config, const Weights& w) {
  if (nn::head_kind(config) == nn::HeadKind::image_text) return std::make_unique<BlipWriter>(config, w);
  return std::make_unique<BlipMatcher>(config, w);
}

// Texts end with the separator, whatever the end token is called.
void generation(const Json& config, Json* settings) {
  const Json text = blip_text_part(config);
  (*settings)["eos_token_id"] = text["sep_token_id"];
  (*settings)["pad_token_id"] = text["pad_token_id"];
}

}  // namespace

extern const ModelEntry model_blip{
    "blip",
    {"BlipModel", "BlipForConditionalGeneration", "BlipForQuestionAnswering", "BlipForImageTextRetrieval"},
    make_blip,
    "",
    {".position_ids", "cls.predictions.decoder.bias", "cls.predictions.decoder.weight"},
    {},
    {},
    generation};

}  // namespace mynah
