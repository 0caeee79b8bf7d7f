// mBART and mBART-50. Papers: arXiv:2001.08210, arXiv:2008.00401. BART with layer norms first, one more after each stack, and decoder
// inputs that start with the language token their labels end with.
#include "models/bart_layers.h"
#include "models/model_entry.h"

namespace mynah {
namespace {

const BartFamily kMbartFamily = {.norm_first = true, .rotates_labels = true, .decodes_its_input = true};

std::unique_ptr<nn::Model> make_mbart(const Json& config, const nn::Weights& weights) {
  if (nn::head_kind(config) == nn::HeadKind::causal_lm) return std::make_unique<BartDecoder>(config, weights, kMbartFamily);
  return std::make_unique<Bart>(config, weights, kMbartFamily);
}

}  // namespace

extern const ModelEntry model_mbart{"mbart",
                                    {"MBartForConditionalGeneration", "MBartModel", "MBartForSequenceClassification", "MBartForQuestionAnswering",
                                     "MBartForCausalLM"},
                                    make_mbart,
                                    "model.",
                                    {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "coder.version", "final_logits_bias"},
                                    {}};

}  // namespace mynah
