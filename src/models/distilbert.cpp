// DistilBERT. Paper: arXiv:1910.01108. BERT's layers under other names and keys, without token types and pooler.

#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "nn/config.h"
#include "mynah/json.h"

namespace mynah {
namespace {

const BertFamily kDistilbertFamily = {
    .base = "distilbert",
    .stack = "transformer",
    .layer = {"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
              ""},
    .heads = {.pooler = "",
              .masked_lm = {"vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"},
              .sequences = {.dense = "pre_classifier", .act = Activation::relu, .out_dropout = "seq_classif_dropout"},
              .choices = {.dense = "pre_classifier", .act = Activation::relu, .out_dropout = "seq_classif_dropout"},
              .relationship = ""},
};

// The config in BERT's words.
BertConfig distilbert_config_of(const Json& c) {
  Json bert = c;
  for (const auto& [from, to] : {std::pair{"dim", "hidden_size"}, {"hidden_dim", "intermediate_size"}, {"n_layers", "num_hidden_layers"},
                                 {"n_heads", "num_attention_heads"}, {"activation", "hidden_act"}, {"dropout", "hidden_dropout_prob"},
                                 {"attention_dropout", "attention_probs_dropout_prob"}})
    if (c.contains(from)) bert[to] = c[from];
  if (!c.contains("n_layers")) bert["num_hidden_layers"] = 6;
  bert["type_vocab_size"] = 0;
  bert["layer_norm_eps"] = 1e-12;
  bert.erase("position_embedding_type");
  BertConfig config(bert);
  config.drops_attention_output = false;
  config.trains_positions = !nn::config_bool(c, "sinusoidal_pos_embds", false);
  return config;
}

std::unique_ptr<nn::Model> make_distilbert(const Json& config, const nn::Weights& weights) {
  return std::make_unique<BertEncoder>(nn::with_defaults(config, {{"seq_classif_dropout", 0.2}, {"qa_dropout", 0.1}}), distilbert_config_of(config), weights, kDistilbertFamily);
}

}  // namespace

extern const ModelEntry model_distilbert{"distilbert",
                                         {"DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification",
                                          "DistilBertForTokenClassification", "DistilBertForQuestionAnswering", "DistilBertForMultipleChoice"},
                                         make_distilbert,
                                         "distilbert.",
                                         {".position_ids", "vocab_projector.weight"},
                                         {},
                                         {},
                                         nullptr,
                                         {.positions_from_zero = true}};

}  // namespace mynah
