#include "nn/seq2seq_lm.h"

#include <algorithm>

#include "base/require.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/losses.h"

namespace mynah::nn {

Seq2SeqLM::Seq2SeqLM(const Json& config)
    : CausalLM(config),
      decoder_start_(static_cast<int32_t>(config_int(config, "decoder_start_token_id", -1, -1))),
      pad_(static_cast<int32_t>(config_int(config, "pad_token_id", -1, -1))) {}

void Seq2SeqLM::load_classifier(const Weights& w, int64_t hidden_size, int64_t labels, Init init) {
  if (kind() == HeadKind::question_answering) classifier_ = Linear(w, "qa_outputs", hidden_size, 2, init);
  if (kind() != HeadKind::sequence_classification) return;
  dense_ = Linear(w / "classification_head", "dense", hidden_size, hidden_size, init);
  classifier_ = Linear(w / "classification_head", "out_proj", hidden_size, label_count(config_, labels), init);
}

Tensor Seq2SeqLM::classify(const Tensor& hidden) const {
  require(classifier_.defined(), "forward: this family has no such head");
  if (!dense_.defined()) return classifier_(hidden);
  const float drop = dropout_rate(config_, "classifier_dropout", 0);
  return classifier_(dropout(tanh(dense_(dropout(hidden, drop))), drop));
}

std::vector<int32_t> Seq2SeqLM::shift_right(const std::vector<int32_t>& labels, int64_t rows, int64_t length) const {
  require(decoder_start_ >= 0 && pad_ >= 0, "forward: config.json has no decoder_start_token_id or pad_token_id; give decoder_input_ids");
  std::vector<int32_t> out(labels.size());
  for (int64_t b = 0; b < rows; ++b) {
    out[static_cast<size_t>(b * length)] = decoder_start_;
    for (int64_t t = 1; t < length; ++t) {
      const int32_t label = labels[static_cast<size_t>(b * length + t - 1)];
      out[static_cast<size_t>(b * length + t)] = label == -100 ? pad_ : label;
    }
  }
  return out;
}

namespace {

// Rows of each sequence's last end token; every sequence must have the same number of them, as the reference asks.
std::vector<int64_t> end_tokens(const std::vector<int32_t>& ids, int64_t rows, int64_t length, int32_t eos) {
  std::vector<int64_t> at;
  int64_t first = -1;
  for (int64_t b = 0; b < rows; ++b) {
    int64_t count = 0, last = -1;
    for (int64_t t = 0; t < length; ++t)
      if (ids[static_cast<size_t>(b * length + t)] == eos) ++count, last = b * length + t;
    require(count > 0 && (first < 0 || count == first), "forward: row {} of input_ids has {} end tokens ({}), expected the same number, at least one, in every row",
            b, count, eos);
    first = count;
    at.push_back(last);
  }
  return at;
}

}  // namespace

Tensor Seq2SeqLM::encode(const TokenBatch&, std::vector<Tensor>*) const { fail(ErrorCode::failure, "this model reads {}, not text", medium()); }
Encoded Seq2SeqLM::encode_media(const NamedTensors&, std::vector<Tensor>*) const { fail(ErrorCode::failure, "this model reads text alone"); }

Encoded Seq2SeqLM::encode_text(const Inputs& in, TokenBatch* source, std::vector<Tensor>* states) const {
  const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
  source->precision = attention_type();
  source->ids = in.ids("input_ids", shape, source_vocabulary_size());
  source->positions = in.positions("position_ids", shape[0], shape[1]);
  source->key_mask = in.mask("attention_mask", shape);
  source->lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
  return {encode(*source, states), source->lengths, source->key_mask};
}

NamedTensors Seq2SeqLM::forward(const NamedTensors& inputs, const ForwardOptions& options) const {
  NamedTensors own = inputs, media;  // the decoder's, and what is encoded in place of text
  if (!medium().empty())
    for (const auto& [name, tensor] : inputs)
      if (name != "labels" && !name.starts_with("decoder_")) {
        media[name] = tensor;
        own.erase(name);
      }
  const Inputs in(own, {"input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "labels", "start_positions", "end_positions"});
  std::vector<Tensor> source_states, target_states;
  TokenBatch source, target;
  const auto states = options.hidden_states ? &source_states : nullptr;
  const Encoded encoded = medium().empty() ? encode_text(in, &source, states) : encode_media(media, states);
  const int64_t rows = static_cast<int64_t>(encoded.lengths.size()), length = encoded.lengths[0];

  int64_t target_length = length;
  if (in.has("decoder_input_ids")) {
    const Shape wanted = in.shape_of("decoder_input_ids", 2, "[batch, tokens]");
    require(wanted[0] == rows, "forward: decoder_input_ids has {} rows, the encoder's input {}", wanted[0], rows);
    target.ids = in.ids("decoder_input_ids", wanted, vocabulary_size());
    target_length = wanted[1];
  } else if (kind() == HeadKind::seq2seq_lm && in.has("labels")) {
    const Shape wanted = in.shape_of("labels", 2, "[batch, tokens]");
    require(wanted[0] == rows, "forward: labels has {} rows, the encoder's input {}", wanted[0], rows);
    target_length = wanted[1];
    target.ids = shift_right(in.integers("labels", wanted), rows, target_length);
  } else {
    require(decodes_its_input(), "forward: decoder_input_ids is missing");
    target.ids = shift_right(source.ids, rows, length);
  }
  const Shape target_shape{rows, target_length};
  target.precision = attention_type();
  target.positions = in.positions("decoder_position_ids", rows, target_length);
  target.lengths.assign(static_cast<size_t>(rows), target_length);
  target.key_mask = in.mask("decoder_attention_mask", target_shape);
  target.memory = encoded.rows;
  target.memory_lengths = encoded.lengths;
  target.memory_mask = encoded.mask;
  const Tensor hidden = body(target, options.hidden_states ? &target_states : nullptr);

  const auto by_row = [&](const Tensor& x, int64_t each) { return reshape(x, {rows, each, x.size(1)}); };
  NamedTensors out;
  out["encoder_last_hidden_state"] = by_row(encoded.rows, length);
  for (size_t i = 0; i < source_states.size(); ++i) out["encoder_hidden_states." + std::to_string(i)] = by_row(source_states[i], source_states[i].size(0) / rows);  // maps may shrink from layer to layer
  for (size_t i = 0; i < target_states.size(); ++i) out["decoder_hidden_states." + std::to_string(i)] = by_row(target_states[i], target_length);
  switch (kind()) {
    case HeadKind::bare: out["last_hidden_state"] = by_row(hidden, target_length); break;
    case HeadKind::sequence_classification:
      require(!in.has("decoder_input_ids") || target_length == length, "forward: decoder_input_ids has {} tokens, input_ids {}", target_length, length);
      out["logits"] = classify(index_rows(hidden, end_tokens(source.ids, rows, length, static_cast<int32_t>(config_int(config_, "eos_token_id", -1, -1)))));
      if (in.has("labels")) out["loss"] = classification_loss(config_, out["logits"], in);
      break;
    case HeadKind::question_answering: out.merge(span_outputs(by_row(classify(hidden), target_length), in)); break;
    default: {
      const Tensor logits = head(hidden);
      out["logits"] = by_row(logits, target_length);
      if (in.has("labels")) out["loss"] = token_loss(logits, in.integers("labels", target_shape));
    }
  }
  return out;
}

}  // namespace mynah::nn
