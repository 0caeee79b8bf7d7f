// MPNet (all-mpnet-base-v2). Paper: arXiv:2004.09297. RoBERTa with other names, no token types, and one table of relative position
// biases that all layers add to their scores: 32 buckets up to distance 128, whatever the config says.

#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/relative_buckets.h"

namespace mynah {
namespace {

const BertFamily kMpnetFamily = {
    .base = "mpnet",
    .layer = {"attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm", "intermediate.dense", "output.dense",
              "output.LayerNorm", ""},
    .heads = {.pooler = "mpnet.pooler.dense",
              .masked_lm = {"lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
              .masked_lm_act = Activation::gelu,
              .sequences = {"classifier.dense", Activation::tanh, "classifier.out_proj", ""},
              .choices = {"mpnet.pooler.dense"},
              .relationship = ""},
    .positions_after_padding = true,
};
constexpr int64_t kBuckets = 32, kMaxDistance = 128;

// Padding has id 1, whatever the config says.
BertConfig mpnet_config_of(const Json& c) {
  Json bert = nn::with_defaults(c, {{"vocab_size", 30527}});
  bert["pad_token_id"] = 1;
  bert["type_vocab_size"] = 0;
  bert.erase("position_embedding_type");
  return BertConfig(bert);
}

class MPNet : public BertEncoder {
 public:
  MPNet(const Json& json, const nn::Weights& w)
      : BertEncoder(json, mpnet_config_of(json), w, kMpnetFamily),
        bias_((w / "mpnet" / "encoder" / "relative_attention_bias").tensor(
            "weight", {nn::config_int(json, "relative_attention_num_buckets", kBuckets, kBuckets), c_.num_attention_heads}, c_.init())) {}

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    AttentionConfig attention;
    attention.distance_bias = nn::distance_bias(narrow(bias_, 0, 0, kBuckets), batch.longest(), kMaxDistance, true);
    return stack_.forward(embeddings_.forward(batch), batch, states, attention);
  }

 private:
  Tensor bias_;
};

std::unique_ptr<nn::Model> make_mpnet(const Json& config, const nn::Weights& weights) { return std::make_unique<MPNet>(config, weights); }

}  // namespace

extern const ModelEntry model_mpnet{"mpnet",
                                    {"MPNetModel", "MPNetForMaskedLM", "MPNetForSequenceClassification", "MPNetForTokenClassification",
                                     "MPNetForQuestionAnswering", "MPNetForMultipleChoice"},
                                    make_mpnet,
                                    "mpnet.",
                                    {".position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias"},
                                    {}};

}  // namespace mynah
