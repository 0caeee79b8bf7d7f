// Marian (OPUS-MT), Pegasus and M2M-100 (also NLLB). Papers: arXiv:1804.00344, arXiv:1912.08777, arXiv:2010.11125, arXiv:2207.04672.
// BART with sinusoidal positions and without a norm on the embeddings. Tables of positions in files of Marian and Pegasus are read, as the reference
// does; M2M-100's are computed always.

#include "models/bart_layers.h"
#include "models/model_entry.h"
#include "mynah/json.h"

namespace mynah {
namespace {

const BartFamily kMarian = {.positions = BartFamily::Positions::sinusoidal, .norm_embedding = false, .pad_token_id = 58100, .decoder_start_token_id = 58100};
const BartFamily kPegasus = {.positions = BartFamily::Positions::sinusoidal, .norm_first = true, .norm_embedding = false, .pad_token_id = 0,
                             .decoder_start_token_id = 0};
const BartFamily kM2M = {.positions = BartFamily::Positions::sinusoidal_after_padding, .norm_first = true, .norm_embedding = false, .pad_token_id = 1,
                         .decoder_start_token_id = 2, .scale_embedding = true, .activation_function = "relu", .attention_dropout = 0.1, .layer_dropout = 0.05};

template <const BartFamily& family>
std::unique_ptr<nn::Model> make_marian(const Json& config, const nn::Weights& weights) {
  if (nn::head_kind(config) == nn::HeadKind::causal_lm) return std::make_unique<BartDecoder>(config, weights, family);
  return std::make_unique<Bart>(config, weights, family);
}

const std::vector<std::string_view> kMarianIgnored = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "coder.version", "final_logits_bias"};
const std::vector<std::string_view> kIgnoredOfM2M = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "coder.version", "final_logits_bias",
                                                     "embed_positions.weight", "embed_positions.weights"};

}  // namespace

extern const ModelEntry model_marian{"marian", {"MarianMTModel", "MarianModel", "MarianForCausalLM"}, make_marian<kMarian>, "model.", kMarianIgnored, {}};
extern const ModelEntry model_pegasus{
    "pegasus", {"PegasusForConditionalGeneration", "PegasusModel", "PegasusForCausalLM"}, make_marian<kPegasus>, "model.", kMarianIgnored, {}};
extern const ModelEntry model_m2m_100{"m2m_100", {"M2M100ForConditionalGeneration", "M2M100Model"}, make_marian<kM2M>, "model.", kIgnoredOfM2M, {}};

}  // namespace mynah
