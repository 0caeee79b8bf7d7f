// BART (and DistilBART). Paper: arXiv:1910.13461. The layers are in bart_layers.h.
#include "models/bart_layers.h"
#include "models/model_entry.h"

namespace mynah {
namespace {

const BartFamily kBartFamily = {.decodes_its_input = true, .decoder_start_token_id = 2, .labels = 3};

std::unique_ptr<nn::Model> make_bart(const Json& config, const nn::Weights& weights) {
  if (nn::head_kind(config) == nn::HeadKind::causal_lm) return std::make_unique<BartDecoder>(config, weights, kBartFamily);
  return std::make_unique<Bart>(config, weights, kBartFamily);
}

}  // namespace

extern const ModelEntry model_bart{"bart",
                                   {"BartForConditionalGeneration", "BartModel", "BartForSequenceClassification", "BartForQuestionAnswering", "BartForCausalLM"},
                                   make_bart,
                                   "model.",
                                   {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "coder.version", "final_logits_bias"},
                                   {}};

}  // namespace mynah
