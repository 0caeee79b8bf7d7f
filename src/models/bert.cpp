// BERT (also MiniLM, BGE, E5). Paper: arXiv:1810.04805. Checkpoints known to work: all-MiniLM-L6-v2.

#include "base/require.h"
#include "models/bert_decoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

const BertFamily kBertFamily = {
    .base = "bert",
    .heads = {.pooler = "bert.pooler.dense",
              .masked_lm = {"cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder", "cls.predictions.bias"},
              .sequences = {"bert.pooler.dense"},
              .choices = {"bert.pooler.dense"},
              .relationship = "cls.seq_relationship"},
};

std::unique_ptr<nn::Model> make_bert(const Json& config, const nn::Weights& weights) {
  if (nn::head_kind(config) != nn::HeadKind::causal_lm) return std::make_unique<BertEncoder>(config, BertConfig(config), weights, kBertFamily);
  const BertConfig c(config, true);
  const BertDecoding decoding{nn::config_bool(config, "is_decoder", false), nn::config_bool(config, "add_cross_attention", false) ? c.hidden_size : 0};
  return std::make_unique<BertDecoder>(config, c, weights, kBertFamily, decoding);
}

// GGUF holds the encoder without the pooler, whose names are empty there.
constexpr GgufRule kBertRules[] = {
    {"bert.embeddings.word_embeddings", "token_embd"},
    {"bert.embeddings.position_embeddings", "position_embd"},
    {"bert.embeddings.token_type_embeddings", "token_types"},
    {"bert.embeddings.LayerNorm", "token_embd_norm"},
    {"bert.encoder.layer.{}.attention.self.query", "blk.{}.attn_q"},
    {"bert.encoder.layer.{}.attention.self.key", "blk.{}.attn_k"},
    {"bert.encoder.layer.{}.attention.self.value", "blk.{}.attn_v"},
    {"bert.encoder.layer.{}.attention.output.dense", "blk.{}.attn_output"},
    {"bert.encoder.layer.{}.attention.output.LayerNorm", "blk.{}.attn_output_norm"},
    {"bert.encoder.layer.{}.intermediate.dense", "blk.{}.ffn_up"},
    {"bert.encoder.layer.{}.output.dense", "blk.{}.ffn_down"},
    {"bert.encoder.layer.{}.output.LayerNorm", "blk.{}.layer_output_norm"},
    {"bert.pooler.dense", ""},
};

Json bert_config_from_gguf(const Json& m) {
  Json c = {{"model_type", "bert"}, {"architectures", {"BertModel"}}};
  for (const auto& [from, to] : {std::pair{"context_length", "max_position_embeddings"}, {"embedding_length", "hidden_size"}, {"block_count", "num_hidden_layers"},
                                 {"feed_forward_length", "intermediate_size"}, {"attention.head_count", "num_attention_heads"},
                                 {"attention.layer_norm_epsilon", "layer_norm_eps"}, {"tokenizer.ggml.token_type_count", "type_vocab_size"}})
    if (m.contains(from)) c[to] = m[from];
  return c;
}

Json bert_metadata_for_gguf(const Json& json) {
  const BertConfig c(json);
  require(nn::head_kind(json) == nn::HeadKind::bare && c.hidden_act == Activation::gelu && c.position_embedding_type == BertConfig::Positions::absolute,
          "convert: GGUF's bert holds bare encoders (BertModel) with gelu and absolute positions; keep the model as safetensors");
  return {{"context_length", c.max_position_embeddings},
          {"embedding_length", c.hidden_size},
          {"block_count", c.num_hidden_layers},
          {"feed_forward_length", c.intermediate_size},
          {"attention.head_count", c.num_attention_heads},
          {"attention.layer_norm_epsilon", c.layer_norm_eps},
          {"attention.causal", false}};
}

}  // namespace

extern const ModelEntry model_bert{"bert",
                                   {"BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction", "BertForSequenceClassification",
                                    "BertForTokenClassification", "BertForQuestionAnswering", "BertForMultipleChoice", "BertLMHeadModel"},
                                   make_bert,
                                   "bert.",
                                   {".position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"},
                                   {"bert", bert_config_from_gguf, bert_metadata_for_gguf, always<kBertRules>},
                                   {},
                                   nullptr,
                                   {.positions_from_zero = true}};

}  // namespace mynah
