// A decoder that attends to an image encoder's rows: any image tower (ViT, DeiT, Swin ...) with any decoder that has
// cross-attention (GPT-2, BERT), as in vit-gpt2-image-captioning. Paper of the scheme: arXiv:1907.12461. Shapes: B
// images of P rows, T tokens, E the encoder's width, C the decoder's.

#include "base/require.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/losses.h"
#include "nn/seq2seq_lm.h"

namespace mynah {
namespace {

using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

// A width under the name that the family gives it.
int64_t width_of(const Json& part) {
  for (const char* key : {"hidden_size", "n_embd", "d_model"})
    if (part.contains(key)) return nn::config_int(part, key);
  return 768;
}

class VisionEncoderDecoder : public nn::Seq2SeqLM {
 public:
  VisionEncoderDecoder(const Json& json, const Weights& w)
      : Seq2SeqLM(json),
        encoder_(make_image_tower(config_part(json, "encoder", "vit"), w / "encoder")),
        decoder_(make_text_model(config_part(json, "decoder", "gpt2"), w / "decoder")) {
    const Json encoder = config_part(json, "encoder", "vit"), decoder = config_part(json, "decoder", "gpt2");
    const int64_t from = width_of(encoder), to = width_of(decoder);
    donut_ = encoder.value("model_type", "").find("donut") != std::string::npos;
    const bool own_width =
        decoder.contains("cross_attention_hidden_size") && !decoder["cross_attention_hidden_size"].is_null();
    if (from != to && !own_width) projection_ = nn::Linear(w, "enc_to_dec_proj", from, to);
  }

  std::string_view medium() const override { return "pixel_values"; }
  // Donut's prompts begin with a token for what is to be done.
  bool starts_prompts() const override { return !donut_; }
  // pixel_values [B,3,H,W] and interpolate_pos_encoding
  nn::Encoded encode_media(const NamedTensors& media, std::vector<Tensor>* states) const override {
    NamedTensors out = encoder_->forward(media, {states != nullptr});
    for (int i = 0; states && out.count("hidden_states." + std::to_string(i)); ++i)
      states->push_back(rows_of(out["hidden_states." + std::to_string(i)]));
    const Tensor& hidden = out.at("last_hidden_state");
    require(hidden.rank() == 3, "forward: the encoder's last_hidden_state has shape {}, expected [images, rows, width]",
            hidden.shape().str());
    return {rows_of(hidden), std::vector<int64_t>(static_cast<size_t>(hidden.size(0)), hidden.size(1)), {}};
  }
  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override {
    if (!projection_.defined() || !batch.memory.defined()) return text().body(batch, states);
    TokenBatch projected = batch;
    projected.memory = projection_(batch.memory);
    return text().body(projected, states);
  }
  void remember(const Tensor& rows, nn::Cache* memory) const override {
    text().remember(projection_.defined() ? projection_(rows) : rows, memory);
  }
  Tensor head(const Tensor& hidden) const override { return text().head(hidden); }
  nn::CacheShape cache_shape() const override { return text().cache_shape(); }
  nn::CacheShape memory_shape() const override { return text().memory_shape(); }
  int64_t vocabulary_size() const override { return text().vocabulary_size(); }
  int64_t max_positions() const override { return text().max_positions(); }

  // As Seq2SeqLM::forward. The loss takes labels as a language model's does, one place further, although the decoder
  // has read them moved right already: so does the reference.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"*"});
    if (!in.has("labels")) return Seq2SeqLM::forward(inputs, options);
    const Shape shape = in.shape_of("labels", 2, "[batch, tokens]");
    const std::vector<int32_t> labels = in.integers("labels", shape);
    NamedTensors own = inputs;
    own.erase("labels");
    if (!in.has("decoder_input_ids")) {
      const std::vector<int32_t> ids = shift_right(labels, shape[0], shape[1]);
      own["decoder_input_ids"] = Tensor::from(std::span<const int32_t>(ids), shape);
    }
    NamedTensors out = Seq2SeqLM::forward(own, options);
    const Tensor& logits = out.at("logits");
    require(logits.size(0) == shape[0] && logits.size(1) == shape[1],
            "forward: labels has shape {}, the decoder's input [{}, {}]", shape.str(), logits.size(0), logits.size(1));
    out["loss"] =
        nn::next_token_loss(reshape(logits, {shape[0] * shape[1], logits.size(2)}), labels, shape[0], shape[1]);
    return out;
  }

 private:
  const nn::CausalLM& text() const { return *decoder_->causal_lm(); }
  static Tensor rows_of(const Tensor& x) { return reshape(x, {x.size(0) * x.size(1), x.size(2)}); }

  std::unique_ptr<nn::Model> encoder_, decoder_;
  nn::Linear projection_;
  bool donut_ = false;
};

std::unique_ptr<nn::Model> make_vision_encoder_decoder(const Json& config, const Weights& w) {
  return std::make_unique<VisionEncoderDecoder>(config, w);
}

}  // namespace

extern const ModelEntry model_vision_encoder_decoder{
    "vision-encoder-decoder",
    {"VisionEncoderDecoderModel"},
    make_vision_encoder_decoder,
    "",
    {".attn.bias", ".attn.masked_bias", ".position_ids", ".relative_position_index", "embeddings.mask_token", "cls.predictions.decoder.bias",
     "cls.predictions.decoder.weight"},
    {},
    {{"encoder.vit.", "encoder."},
     {"encoder.deit.", "encoder."},
     {"encoder.dinov2.", "encoder."},
     {"encoder.swin.", "encoder."},
     {"encoder.beit.", "encoder."}}};

}  // namespace mynah
