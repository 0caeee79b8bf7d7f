// ALBERT. Paper: arXiv:1909.11942. BERT with small embeddings that a linear map widens, and layers that share their weights: each
// of num_hidden_groups groups is run num_hidden_layers / num_hidden_groups times.

#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"

namespace mynah {
namespace {

constexpr BertLayerNames kAlbertLayer = {"attention.query",     "attention.key", "attention.value", "attention.dense",
                                         "attention.LayerNorm", "ffn",           "ffn_output",      "full_layer_layer_norm",
                                         "attention.distance_embedding"};
const BertHeadNames kHeads = {.pooler = "albert.pooler",
                              .masked_lm = {"predictions.dense", "predictions.LayerNorm", "predictions.decoder", "predictions.bias"},
                              .masked_lm_act = {},
                              .sequences = {"albert.pooler"},
                              .choices = {"albert.pooler"},
                              .relationship = "sop_classifier.classifier",
                              .relationship_output = "sop_logits",
                              .drops_relationship = true};

class Albert : public nn::EncoderModel {
 public:
  Albert(const Json& json, const nn::Weights& w)
      : EncoderModel(json),
        c_(nn::with_defaults(json, {{"vocab_size", 30000}, {"hidden_size", 4096}, {"num_attention_heads", 64}, {"intermediate_size", 16384},
                                    {"hidden_act", "gelu_new"}, {"hidden_dropout_prob", 0}, {"attention_probs_dropout_prob", 0}})),
        groups_(nn::config_int(json, "num_hidden_groups", 1, 1, c_.num_hidden_layers)),
        inner_(nn::config_int(json, "inner_group_num", 1, 1, 10000)),
        embeddings_(c_, w / "albert" / "embeddings", nn::config_int(json, "embedding_size", 128)),
        widen_(w / "albert" / "encoder", "embedding_hidden_mapping_in", embeddings_.word.columns(), c_.hidden_size, c_.init()),
        heads_(c_, nn::with_defaults(json, {{"classifier_dropout_prob", 0.1}}), w, kHeads, embeddings_.word) {
    for (int64_t g = 0; g < groups_; ++g)
      for (int64_t i = 0; i < inner_; ++i) {
        layers_.emplace_back(c_, w / "albert" / "encoder" / "albert_layer_groups" / g / "albert_layers" / i, kAlbertLayer);
        layers_.back().distance_scale = 1;  // added to scores that are scaled already
        layers_.back().output_drop = 0;
      }
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor x = widen_(embeddings_.forward(batch));
    if (states) states->push_back(x);
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      const int64_t first = i * groups_ / c_.num_hidden_layers * inner_;
      for (int64_t k = 0; k < inner_; ++k)
        x = nn::layer(x, {}, batch, [&layer = layers_[static_cast<size_t>(first + k)]](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b, 0); });
      if (states) states->push_back(x);
    }
    return x;
  }
  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override { return heads_(hidden, batch); }
  int64_t vocabulary_size() const override { return c_.vocab_size; }

 private:
  BertConfig c_;
  int64_t groups_, inner_;
  BertEmbeddings embeddings_;
  nn::Linear widen_;
  std::vector<BertLayer> layers_;
  BertHeads heads_;
};

std::unique_ptr<nn::Model> make_albert(const Json& config, const nn::Weights& weights) { return std::make_unique<Albert>(config, weights); }

}  // namespace

extern const ModelEntry model_albert{"albert",
                                     {"AlbertModel", "AlbertForMaskedLM", "AlbertForPreTraining", "AlbertForSequenceClassification",
                                      "AlbertForTokenClassification", "AlbertForQuestionAnswering", "AlbertForMultipleChoice"},
                                     make_albert,
                                     "albert.",
                                     {".position_ids", "predictions.decoder.weight", "predictions.decoder.bias"},
                                     {},
                                     {},
                                     nullptr,
                                     {.positions_from_zero = true}};

}  // namespace mynah
