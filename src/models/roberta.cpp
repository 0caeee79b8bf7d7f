// RoBERTa, XLM-RoBERTa and CamemBERT. Papers: arXiv:1907.11692, arXiv:1911.02116, arXiv:1911.03894. BERT's layers; positions start
// behind the padding id and padding keeps that id's position; heads of their own.

#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

const BertFamily kRobertaFamily = {
    .base = "roberta",
    .heads = {.pooler = "roberta.pooler.dense",
              .masked_lm = {"lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
              .masked_lm_act = Activation::gelu,
              .sequences = {"classifier.dense", Activation::tanh, "classifier.out_proj", ""},
              .choices = {"roberta.pooler.dense"},
              .relationship = ""},
    .positions_after_padding = true,
};

std::unique_ptr<nn::Model> make_roberta(const Json& config, const nn::Weights& weights) {
  return std::make_unique<BertEncoder>(config, BertConfig(nn::with_defaults(config, {{"vocab_size", 50265}, {"pad_token_id", 1}})), weights, kRobertaFamily);
}

ModelEntry entry(const char* model_type, std::vector<std::string_view> architectures) {
  return {model_type, std::move(architectures), make_roberta, "roberta.", {".position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias"}, {}};
}

}  // namespace

extern const ModelEntry model_roberta = entry("roberta", {"RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification",
                                                          "RobertaForTokenClassification", "RobertaForQuestionAnswering", "RobertaForMultipleChoice"});
extern const ModelEntry model_xlm_roberta =
    entry("xlm-roberta", {"XLMRobertaModel", "XLMRobertaForMaskedLM", "XLMRobertaForSequenceClassification", "XLMRobertaForTokenClassification",
                          "XLMRobertaForQuestionAnswering", "XLMRobertaForMultipleChoice"});
extern const ModelEntry model_camembert =
    entry("camembert", {"CamembertModel", "CamembertForMaskedLM", "CamembertForSequenceClassification", "CamembertForTokenClassification",
                        "CamembertForQuestionAnswering", "CamembertForMultipleChoice"});

}  // namespace mynah
