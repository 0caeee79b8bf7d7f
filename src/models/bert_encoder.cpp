#include "models/bert_encoder.h"

#include "base/require.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {

using nn::HeadKind;

MaskedLmHead::MaskedLmHead(const Json& json, const nn::Weights& w, const Names& names, int64_t hidden, const nn::Matrix& word, Activation function, float eps,
                           nn::Init init)
    : dense(w, names.dense, hidden, word.columns(), init), norm(w, names.norm, word.columns(), eps), act(function) {
  const bool tied = nn::config_bool(json, "tie_word_embeddings", true) || !w.has(names.decoder + ".weight");
  decoder = tied ? word : w.matrix(names.decoder, word.rows(), word.columns(), init);
  bias = w.tensor(names.bias, {word.rows()}, nn::Init::zeros());
}

Tensor MaskedLmHead::operator()(const Tensor& hidden) const { return decoder(norm(activate(dense(hidden), act)), {bias}); }

namespace {

// Of what an output matrix reads: the families' own keys, else as in the layers.
float output_dropout(const Json& json, HeadKind kind, const BertHeadNames& names, float otherwise) {
  const float classifier = nn::dropout_rate(json, "classifier_dropout", nn::dropout_rate(json, "classifier_dropout_prob", otherwise));
  const auto of = [&](const FirstTokenHead& head) { return head.out_dropout ? nn::dropout_rate(json, head.out_dropout, classifier) : classifier; };
  switch (kind) {
    case HeadKind::question_answering: return nn::dropout_rate(json, "qa_dropout", 0);
    case HeadKind::token_classification: return classifier;
    case HeadKind::sequence_classification: return of(names.sequences);
    case HeadKind::multiple_choice: return of(names.choices);
    case HeadKind::pretraining: return names.drops_relationship ? classifier : 0;
    default: return 0;
  }
}

}  // namespace

BertHeads::BertHeads(const BertConfig& c, const Json& json, const nn::Weights& w, const BertHeadNames& names, const nn::Matrix& word)
    : kind_(nn::head_kind(json)), relationship_output_(names.relationship_output),
      drop_(output_dropout(json, kind_, names, c.hidden_dropout_prob)), dense_drop_(0) {
  const auto linear = [&](const std::string& name, int64_t out) { return nn::Linear(w, name, c.hidden_size, out, c.init()); };
  const auto first_token = [&](const FirstTokenHead& head, int64_t out) {
    dense_ = linear(head.dense, c.hidden_size);
    act_ = head.act;
    if (head.dense_dropout) dense_drop_ = *head.dense_dropout ? nn::dropout_rate(json, head.dense_dropout, 0) : drop_;
    out_ = linear(head.out, out);
  };
  if (kind_ == HeadKind::masked_lm || kind_ == HeadKind::pretraining)
    masked_lm_ = MaskedLmHead(json, w, names.masked_lm, c.hidden_size, word, names.masked_lm_act.value_or(c.hidden_act), c.layer_norm_eps, c.init());
  switch (kind_) {
    case HeadKind::token_classification: out_ = linear("classifier", nn::label_count(json)); break;
    case HeadKind::question_answering: out_ = linear("qa_outputs", 2); break;
    case HeadKind::sequence_classification: first_token(names.sequences, nn::label_count(json)); break;
    case HeadKind::multiple_choice: first_token(names.choices, 1); break;
    case HeadKind::pretraining:
    case HeadKind::next_sentence: first_token({names.pooler, Activation::tanh, names.relationship}, 2); break;
    case HeadKind::bare:  // some checkpoints come without the pooler
      if (!names.pooler.empty() && w.has(names.pooler + ".weight")) dense_ = linear(names.pooler, c.hidden_size);
      break;
    default: break;
  }
}

nn::EncoderModel::Outputs BertHeads::operator()(const Tensor& hidden, const nn::TokenBatch& batch) const {
  const auto pooled = [&] { return activate(dense_(nn::dropout(nn::first_tokens(hidden, batch), dense_drop_)), act_); };
  switch (kind_) {
    case HeadKind::masked_lm: return {{{"logits", masked_lm_(hidden)}}, {}};
    case HeadKind::token_classification:
    case HeadKind::question_answering: return {{{"logits", out_(nn::dropout(hidden, drop_))}}, {}};
    case HeadKind::pretraining: return {{{"prediction_logits", masked_lm_(hidden)}}, {{relationship_output_, out_(nn::dropout(pooled(), drop_))}}};
    case HeadKind::sequence_classification:
    case HeadKind::multiple_choice:
    case HeadKind::next_sentence: return {{}, {{"logits", out_(nn::dropout(pooled(), drop_))}}};
    default: {
      nn::EncoderModel::Outputs out{{{"last_hidden_state", hidden}}, {}};
      if (dense_.defined()) out.sequences["pooler_output"] = pooled();
      return out;
    }
  }
}

BertEncoder::BertEncoder(const Json& json, const BertConfig& c, const nn::Weights& w, const BertFamily& family, int64_t width)
    : EncoderModel(json),
      c_(c),
      embeddings_(c_, w / family.base / "embeddings", width ? width : c_.hidden_size, family.positions_after_padding ? c_.pad_token_id : -1),
      stack_(c_, w / family.base / family.stack, family.layer),
      heads_(c_, json, w, family.heads, embeddings_.word),
      positions_after_padding_(family.positions_after_padding) {}

std::vector<int32_t> BertEncoder::positions(const std::vector<int32_t>& ids, int64_t rows, int64_t length) const {
  return positions_after_padding_ ? nn::positions_after_padding(ids, rows, length, c_.pad_token_id) : EncoderModel::positions(ids, rows, length);
}

}  // namespace mynah
