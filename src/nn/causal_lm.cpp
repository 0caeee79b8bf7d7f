#include "nn/causal_lm.h"

#include "base/require.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/losses.h"

namespace mynah::nn {
namespace {

// Given positions without a mask mean packed rows: wherever they do not go on by one, another sequence starts.
std::vector<int64_t> packed_lengths(const std::vector<int32_t>& positions, int64_t row_length) {
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (i % static_cast<size_t>(row_length) == 0 || positions[i] != positions[i - 1] + 1) lengths.push_back(0);
    ++lengths.back();
  }
  return lengths;
}

// The row of each sequence's last token that is not padding, as the reference finds it: the last one without a padding id.
std::vector<int64_t> last_tokens(const std::vector<int32_t>& ids, int64_t rows, int64_t length, int64_t pad) {
  std::vector<int64_t> at;
  for (int64_t b = 0; b < rows; ++b) {
    int64_t t = length - 1;
    while (pad >= 0 && t > 0 && ids[static_cast<size_t>(b * length + t)] == pad) --t;
    at.push_back(b * length + t);
  }
  return at;
}

}  // namespace

void CausalLM::load_classifier(const Weights& w, int64_t hidden_size, std::string_view token_head, Init init) {
  if (kind_ == HeadKind::sequence_classification) classifier_ = Linear(w, "score", hidden_size, label_count(config_), init, false);
  if (kind_ == HeadKind::token_classification) classifier_ = Linear(w, token_head, hidden_size, label_count(config_), init);
  if (kind_ == HeadKind::question_answering) classifier_ = Linear(w, "qa_outputs", hidden_size, 2, init);
}

Matrix CausalLM::load_head(const Weights& w, std::string_view name, const Matrix& embedding, bool tied, Init init) const {
  if (!generates()) return {};
  if (tied || !w.has(std::string(name) + ".weight")) return embedding;
  return w.matrix(name, embedding.rows(), embedding.columns(), init);
}

void CausalLM::remember(const Tensor&, Cache*) const { fail(ErrorCode::failure, "generation: this decoder attends to no other rows"); }

bool CausalLM::may_share(int64_t cached, int64_t length) const {
  const PositionSwitch s = position_switch();
  if (s.length == 0 || (cached <= s.length && length <= s.length)) return !sees_ahead();
  return s.anew && cached > s.length && length > s.length && !sees_ahead();
}

NamedTensors CausalLM::forward(const NamedTensors& inputs, const ForwardOptions& options) const {
  std::vector<std::string_view> known{"input_ids", "attention_mask", "position_ids", "token_type_ids", "labels", "start_positions", "end_positions"};
  for (const std::string_view name : media_names()) known.push_back(name);
  const Inputs in(inputs, known);
  const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
  const int64_t rows = shape[0], length = shape[1];

  TokenBatch batch;
  batch.precision = attention_type();
  batch.ids = in.ids("input_ids", shape, vocabulary_size());
  batch.positions = in.positions("position_ids", rows, length);
  batch.token_types = in.integers("token_type_ids", shape);
  batch.key_mask = in.mask("attention_mask", shape);
  batch.lengths = packs() && in.has("position_ids") && batch.key_mask.empty() ? packed_lengths(batch.positions, length)
                                                                   : std::vector<int64_t>(static_cast<size_t>(rows), length);

  NamedTensors out = read_media(in, &batch);
  std::vector<int64_t> ends;
  if (kind_ == HeadKind::sequence_classification) {
    const int64_t pad = config_int(config_, "pad_token_id", -1, -1);
    require(pad >= 0 || rows == 1, "forward: {} rows, but config.json has no pad_token_id to find their ends; give one row", rows);
    batch.read = ends = last_tokens(batch.ids, rows, length, pad);
  }
  std::vector<Tensor> states, router_logits;
  batch.router_logits = &router_logits;
  const Tensor hidden = body(batch, options.hidden_states ? &states : nullptr);
  const auto by_row = [&](const Tensor& x) { return reshape(x, {rows, length, x.size(1)}); };
  for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = by_row(states[i]);
  switch (kind_) {
    case HeadKind::bare: out["last_hidden_state"] = by_row(hidden); break;
    case HeadKind::sequence_classification:
      out["logits"] = classifier_(wanted_rows(hidden, ends));
      if (in.has("labels")) out["loss"] = classification_loss(config_, out["logits"], in);
      break;
    case HeadKind::token_classification: {
      const Tensor logits = classifier_(dropout(hidden, dropout_rate(config_, "classifier_dropout", dropout_rate(config_, "hidden_dropout", 0.1))));
      out["logits"] = by_row(logits);
      if (in.has("labels")) out["loss"] = token_loss(logits, in.integers("labels", shape));
      break;
    }
    case HeadKind::question_answering: out.merge(span_outputs(by_row(classifier_(hidden)), in)); break;
    default: {
      const Tensor logits = head(hidden);
      out["logits"] = by_row(logits);
      if (in.has("labels")) {
        const std::vector<int32_t> labels = in.integers("labels", shape);
        out["loss"] = labels_in_place() ? token_loss(logits, labels) : next_token_loss(logits, labels, rows, length);
      }
      const Tensor balance = auxiliary_loss(batch);
      if (!balance.defined()) break;
      out["aux_loss"] = balance;
      if (in.has("labels")) out["loss"] = out["loss"] + balance * auxiliary_weight();
    }
  }
  return out;
}

}  // namespace mynah::nn
