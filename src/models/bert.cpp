// BERT (also MiniLM, BGE, E5). Paper: arXiv:1810.04805. Checkpoints known to work: all-MiniLM-L6-v2.
#include "models/bert_layers.h"
#include "models/model_entry.h"
#include "nn/config.h"
#include "nn/encoder_model.h"

namespace mynah {
namespace {

using nn::HeadKind;

class Bert : public nn::EncoderModel {
 public:
  Bert(const Json& json, const nn::Weights& w)
      : EncoderModel(json), c_(json), embeddings_(c_, w / "bert" / "embeddings", c_.hidden_size), stack_(c_, w / "bert" / "encoder") {
    const HeadKind k = kind();
    const auto pooler = [&] { pooler_ = nn::Linear(w / "bert" / "pooler", "dense", c_.hidden_size, c_.hidden_size, c_.init()); };
    switch (k) {
      case HeadKind::masked_lm: load_predictions(w / "cls" / "predictions"); break;
      case HeadKind::token_classification: classifier_ = nn::Linear(w, "classifier", c_.hidden_size, nn::label_count(json), c_.init()); break;
      case HeadKind::question_answering: classifier_ = nn::Linear(w, "qa_outputs", c_.hidden_size, 2, c_.init()); break;
      case HeadKind::sequence_classification:
        pooler();
        classifier_ = nn::Linear(w, "classifier", c_.hidden_size, nn::label_count(json), c_.init());
        break;
      case HeadKind::multiple_choice:
        pooler();
        classifier_ = nn::Linear(w, "classifier", c_.hidden_size, 1, c_.init());
        break;
      case HeadKind::pretraining: load_predictions(w / "cls" / "predictions"); [[fallthrough]];
      case HeadKind::next_sentence:
        pooler();
        classifier_ = nn::Linear(w / "cls", "seq_relationship", c_.hidden_size, 2, c_.init());
        break;
      default:  // some checkpoints of bare encoders come without the pooler
        if (w.has("bert.pooler.dense.weight")) pooler();
    }
  }

 protected:
  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    return stack_.forward(embeddings_.forward(batch), batch, states);
  }

  Outputs head(const Tensor& hidden, const nn::TokenBatch& batch) const override {
    const auto pooled = [&] { return tanh(pooler_(nn::first_tokens(hidden, batch))); };
    switch (kind()) {
      case HeadKind::masked_lm: return {{{"logits", predictions(hidden)}}, {}};
      case HeadKind::token_classification:
      case HeadKind::question_answering: return {{{"logits", classifier_(hidden)}}, {}};
      case HeadKind::pretraining: return {{{"prediction_logits", predictions(hidden)}}, {{"seq_relationship_logits", classifier_(pooled())}}};
      case HeadKind::sequence_classification:
      case HeadKind::multiple_choice:
      case HeadKind::next_sentence: return {{}, {{"logits", classifier_(pooled())}}};
      default: {
        Outputs out{{{"last_hidden_state", hidden}}, {}};
        if (pooler_.defined()) out.sequences["pooler_output"] = pooled();
        return out;
      }
    }
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }

 private:
  // The decoder is the word table unless the file holds another.
  void load_predictions(const nn::Weights& w) {
    transform_ = nn::Linear(w / "transform", "dense", c_.hidden_size, c_.hidden_size, c_.init());
    transform_norm_ = nn::LayerNorm(w / "transform", "LayerNorm", c_.hidden_size, c_.layer_norm_eps);
    const bool tied = nn::config_bool(config_, "tie_word_embeddings", true) || !w.has("decoder.weight");
    decoder_ = tied ? embeddings_.word : w.matrix("decoder", c_.vocab_size, c_.hidden_size, c_.init());
    decoder_bias_ = w.tensor("bias", {c_.vocab_size}, nn::Init::zeros());
  }
  Tensor predictions(const Tensor& hidden) const {
    return decoder_(transform_norm_(activate(transform_(hidden), c_.hidden_act)), {decoder_bias_});
  }

  BertConfig c_;
  BertEmbeddings embeddings_;
  BertStack stack_;
  nn::Linear pooler_, classifier_, transform_;
  nn::LayerNorm transform_norm_;
  nn::Matrix decoder_;
  Tensor decoder_bias_;
};

std::unique_ptr<nn::Model> make(const Json& config, const nn::Weights& weights) { return std::make_unique<Bert>(config, weights); }

}  // namespace

extern const ModelEntry model_bert{"bert",
                                   {"BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction", "BertForSequenceClassification",
                                    "BertForTokenClassification", "BertForQuestionAnswering", "BertForMultipleChoice"},
                                   make,
                                   "bert.",
                                   {".position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"},
                                   {}};

}  // namespace mynah
