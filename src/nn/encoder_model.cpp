#include "nn/encoder_model.h"

#include <algorithm>
#include <numeric>

#include "autograd/record.h"
#include "base/require.h"
#include "nn/losses.h"

namespace mynah::nn {
namespace {

// Which tokens of [rows, length] are computed.
struct Kept {
  std::vector<int64_t> index;  // of each kept token in the padded rows; empty if all are kept
  int64_t rows, length;

  // Rows [n, ...] of kept tokens -> [rows, length, ...] with 0 elsewhere.
  Tensor spread(const Tensor& x) const {
    Shape shape = x.shape();
    std::vector<int64_t> dims{rows, length};
    for (int i = 1; i < shape.rank(); ++i) dims.push_back(shape[i]);
    if (index.empty()) return reshape(x, Shape(std::span<const int64_t>(dims)));
    Tensor y = Tensor::zeros(Shape(std::span<const int64_t>(dims)));
    const Tensor from = contiguous(x);
    const int64_t width = from.numel() / from.size(0);
    for (size_t i = 0; i < index.size(); ++i)
      std::copy_n(from.data<float>() + static_cast<int64_t>(i) * width, width, y.data<float>() + index[i] * width);
    return record(y, {from}, [places = index, width, like = from.shape()](const Tensor& g) {
      Tensor dx = Tensor::empty(like);
      for (size_t i = 0; i < places.size(); ++i) std::copy_n(g.data<float>() + places[i] * width, width, dx.data<float>() + static_cast<int64_t>(i) * width);
      return Grads{dx};
    });
  }
};

// Drops what the mask hides if that is the tail of each row: what is left keeps its first token in place. Otherwise the mask
// stays in the batch.
Kept drop_padding(TokenBatch* batch, int64_t rows, int64_t length, bool may_drop) {
  Kept kept{{}, rows, length};
  const std::vector<uint8_t>& mask = batch->key_mask;
  bool tails = may_drop && !mask.empty();
  std::vector<int64_t> lengths;
  for (int64_t b = 0; tails && b < rows; ++b) {
    const auto begin = mask.begin() + b * length, end = begin + length;
    const auto seen = std::find(begin, end, 0);
    tails = seen != begin && std::find_if(seen, end, [](uint8_t m) { return m != 0; }) == end;
    lengths.push_back(seen - begin);
  }
  if (!tails) return kept;
  TokenBatch less;
  less.precision = batch->precision;
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t t = 0; t < lengths[static_cast<size_t>(b)]; ++t) {
      const auto i = static_cast<size_t>(b * length + t);
      kept.index.push_back(static_cast<int64_t>(i));
      less.ids.push_back(batch->ids[i]);
      less.positions.push_back(batch->positions[i]);
      if (!batch->token_types.empty()) less.token_types.push_back(batch->token_types[i]);
    }
  less.lengths = std::move(lengths);
  *batch = std::move(less);
  return kept;
}

// Whether a label counts at a token that the mask hides: then the token must be computed.
bool labels_padding(const Inputs& in, HeadKind kind, const Shape& shape, const std::vector<uint8_t>& mask) {
  if (kind == HeadKind::question_answering && in.has("start_positions")) return true;  // their softmax runs over every token
  if (kind != HeadKind::masked_lm && kind != HeadKind::token_classification && kind != HeadKind::pretraining) return false;
  const std::vector<int32_t> labels = in.integers("labels", shape);
  for (size_t i = 0; i < labels.size() && i < mask.size(); ++i)
    if (labels[i] != -100 && mask[i] == 0) return true;
  return false;
}

// The rows that count in a loss of tokens: few, where tokens were masked.
struct Labelled {
  explicit Labelled(const std::vector<int32_t>& all) {
    for (size_t i = 0; i < all.size(); ++i)
      if (all[i] != -100) {
        rows.push_back(static_cast<int64_t>(i));
        labels.push_back(all[i]);
      }
  }
  std::vector<int64_t> rows;
  std::vector<int32_t> labels;
};

}  // namespace

std::vector<int32_t> EncoderModel::positions(const std::vector<int32_t>&, int64_t rows, int64_t length) const {
  std::vector<int32_t> all(static_cast<size_t>(rows * length));
  for (int64_t b = 0; b < rows; ++b) std::iota(all.begin() + b * length, all.begin() + (b + 1) * length, 0);
  return all;
}

Tensor EncoderModel::sequence_loss(const Tensor& logits, const Inputs& in) const { return classification_loss(config_, logits, in); }

NamedTensors EncoderModel::forward(const NamedTensors& inputs, const ForwardOptions& options) const {
  const Inputs in(inputs, {"input_ids", "attention_mask", "token_type_ids", "position_ids", "labels", "next_sentence_label", "sentence_order_label",
                           "start_positions", "end_positions"});
  const bool choices = kind_ == HeadKind::multiple_choice;
  const Shape shape = in.shape_of("input_ids", choices ? 3 : 2, choices ? "[batch, choices, tokens]" : "[batch, tokens]");
  const int64_t length = shape[shape.rank() - 1], rows = shape.numel() / length;

  TokenBatch batch;
  batch.precision = attention_type();
  batch.ids = in.ids("input_ids", shape, vocabulary_size());
  batch.token_types = in.integers("token_type_ids", shape);
  batch.key_mask = in.mask("attention_mask", shape);
  if (!in.has("position_ids")) batch.positions = positions(batch.ids, rows, length);
  else if (choices) batch.positions = in.integers("position_ids", shape);
  else batch.positions = in.positions("position_ids", rows, length);
  batch.lengths.assign(static_cast<size_t>(rows), length);
  const bool may_drop = batch.key_mask.empty() || !labels_padding(in, kind_, shape, batch.key_mask);
  const Kept kept = drop_padding(&batch, rows, length, may_drop);

  // Losses of tokens use the computed rows, so that gradients flow; labels are gathered alike.
  const auto token_labels = [&](const std::string& name) {
    const std::vector<int32_t> all = in.integers(name, shape);
    if (kept.index.empty()) return all;
    std::vector<int32_t> some;
    for (const int64_t i : kept.index) some.push_back(all[static_cast<size_t>(i)]);
    return some;
  };
  if (options.only_loss && kind_ == HeadKind::masked_lm && in.has("labels"))
    if (const Labelled seen(token_labels("labels")); !seen.rows.empty()) {
      batch.read = seen.rows;
      return {{"loss", token_loss(head(wanted_rows(body(batch, nullptr), seen.rows), batch).tokens.at("logits"), seen.labels)}};
    }
  if (reads_first_tokens()) batch.read = first_rows(batch);
  std::vector<Tensor> states;
  const Tensor hidden = body(batch, options.hidden_states ? &states : nullptr);
  const Outputs made = head(hidden, batch);
  NamedTensors out;
  for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = kept.spread(states[i]);
  for (const auto& [name, tensor] : made.sequences) out[name] = tensor;
  if (kind_ == HeadKind::question_answering) {
    out.merge(span_outputs(kept.spread(made.tokens.at("logits")), in));
    return out;
  }
  for (const auto& [name, tensor] : made.tokens) out[name] = kept.spread(tensor);
  switch (kind_) {
    case HeadKind::masked_lm:
    case HeadKind::token_classification:
      if (in.has("labels")) out["loss"] = token_loss(made.tokens.at("logits"), token_labels("labels"));
      break;
    case HeadKind::sequence_classification:
      if (in.has("labels")) out["loss"] = sequence_loss(out.at("logits"), in);
      break;
    case HeadKind::multiple_choice:
      out["logits"] = reshape(out.at("logits"), {shape[0], shape[1]});
      if (in.has("labels")) out["loss"] = token_loss(out.at("logits"), in.integers("labels", {shape[0]}));
      break;
    case HeadKind::replaced_tokens: {
      out["logits"] = reshape(out.at("logits"), shape);
      if (!in.has("labels")) break;
      const std::vector<int32_t> labels = token_labels("labels");
      std::vector<int64_t> seen;  // hidden tokens count nowhere
      std::vector<float> targets;
      for (size_t i = 0; i < labels.size(); ++i) {
        if (!batch.key_mask.empty() && !batch.key_mask[i]) continue;
        seen.push_back(static_cast<int64_t>(i));
        targets.push_back(static_cast<float>(labels[i]));
      }
      const Shape column{static_cast<int64_t>(seen.size()), 1};
      out["loss"] = binary_cross_entropy(index_rows(made.tokens.at("logits"), seen), Tensor::from(std::span<const float>(targets), column));
      break;
    }
    case HeadKind::next_sentence:
      if (in.has("labels")) out["loss"] = token_loss(out.at("logits"), in.integers("labels", in.tensor("labels").shape()));
      break;
    case HeadKind::pretraining: {
      // the second task: which sentence follows (BERT), or in which order they stand (ALBERT)
      const bool order = out.count("sop_logits") != 0;
      const std::string second = order ? "sentence_order_label" : "next_sentence_label";
      if (in.has("labels") && in.has(second))
        out["loss"] = token_loss(made.tokens.at("prediction_logits"), token_labels("labels")) +
                      token_loss(out.at(order ? "sop_logits" : "seq_relationship_logits"), in.integers(second, in.tensor(second).shape()));
      break;
    }
    default: break;
  }
  return out;
}

Tensor first_tokens(const Tensor& hidden, const TokenBatch& batch) { return wanted_rows(hidden, first_rows(batch)); }

}  // namespace mynah::nn
