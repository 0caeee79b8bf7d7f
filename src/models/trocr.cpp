// TrOCR's decoder, which writes what a picture of text says: BART's layers that attend to an image encoder's rows. Used
// inside a VisionEncoderDecoderModel. Paper: arXiv:2109.10282.

#include "models/bart_layers.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

std::unique_ptr<nn::Model> make_trocr(const Json& json, const nn::Weights& w) {
  BartFamily family;
  family.positions = nn::config_bool(json, "use_learned_position_embeddings", true)
                         ? BartFamily::Positions::learned
                         : BartFamily::Positions::sinusoidal_after_padding;
  family.norm_embedding = nn::config_bool(json, "layernorm_embedding", true);
  family.head = "output_projection";
  family.memory_size = nn::config_int(json, "cross_attention_hidden_size", 768);
  family.always_crosses = true;
  return std::make_unique<BartDecoder>(nn::with_defaults(json, {{"max_position_embeddings", 512}}), w, family);
}

}  // namespace

extern const ModelEntry model_trocr{"trocr", {"TrOCRForCausalLM"}, make_trocr, "", {"embed_positions._float_tensor"}, {}};

}  // namespace mynah
