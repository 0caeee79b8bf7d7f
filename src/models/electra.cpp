// ELECTRA: discriminators and generators. Paper: arXiv:2003.10555. BERT with embeddings that may be narrower than its layers, heads of
// its own, and pretraining that tells replaced tokens from original ones.

#include "base/require.h"
#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

using nn::HeadKind;

BertFamily family_of(const Json& c) {
  BertFamily family{.base = "electra",
                    .heads = {.pooler = "",
                              .masked_lm = {"generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head", "generator_lm_head.bias"},
                              .masked_lm_act = Activation::gelu,
                              .sequences = {"classifier.dense", Activation::gelu, "classifier.out_proj", ""},
                              .choices = {.dense = "sequence_summary.summary",
                                          .act = activation(nn::config_string(c, "summary_activation", "gelu")),
                                          .dense_dropout = "summary_first_dropout",
                                          .out_dropout = "summary_last_dropout"},
                              .relationship = ""}};
  if (nn::head_kind(c) == HeadKind::multiple_choice)
    require(nn::config_string(c, "summary_type", "first") == "first" && nn::config_bool(c, "summary_use_proj", true),
            "config.json: ELECTRA's summary is expected to be of type first and projected");
  return family;
}

class Electra : public BertEncoder {
 public:
  Electra(const Json& json, const nn::Weights& w)
      : BertEncoder(json, BertConfig(nn::with_defaults(json, {{"hidden_size", 256}, {"num_attention_heads", 4}, {"intermediate_size", 1024}})), w,
                    family_of(json), nn::config_int(json, "embedding_size", 128)) {
    const int64_t width = embeddings_.word.columns();
    if (width != c_.hidden_size) widen_ = nn::Linear(w / "electra", "embeddings_project", width, c_.hidden_size, c_.init());
    if (kind() != HeadKind::replaced_tokens) return;
    dense_ = nn::Linear(w / "discriminator_predictions", "dense", c_.hidden_size, c_.hidden_size, c_.init());
    prediction_ = nn::Linear(w / "discriminator_predictions", "dense_prediction", c_.hidden_size, 1, c_.init());
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    const Tensor x = embeddings_.forward(batch);
    return stack_.forward(widen_.defined() ? widen_(x) : x, batch, states);
  }
  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override {
    if (kind() == HeadKind::replaced_tokens) return {{{"logits", prediction_(activate(dense_(hidden), c_.hidden_act))}}, {}};
    return BertEncoder::head(hidden, batch);
  }

 private:
  nn::Linear widen_, dense_, prediction_;
};

std::unique_ptr<nn::Model> make_electra(const Json& config, const nn::Weights& weights) { return std::make_unique<Electra>(config, weights); }

}  // namespace

extern const ModelEntry model_electra{"electra",
                                      {"ElectraModel", "ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForSequenceClassification",
                                       "ElectraForTokenClassification", "ElectraForQuestionAnswering", "ElectraForMultipleChoice"},
                                      make_electra,
                                      "electra.",
                                      {".position_ids", "generator_lm_head.weight"},
                                      {},
                                      {},
                                      nullptr,
                                      {.positions_from_zero = true}};

}  // namespace mynah
