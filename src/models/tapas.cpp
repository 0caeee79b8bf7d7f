// TAPAS: questions about tables. Paper: arXiv:2004.02349. BERT with seven types of every token (question or table, column, row, answer to the
// question before, rank in the column and from its end, relation to a number of the question) and positions that begin anew in every cell.
// Shapes: B batch, T tokens, C hidden.
#include <algorithm>
#include <map>
#include <optional>

#include "base/require.h"
#include "models/bert_encoder.h"
#include "models/model_entry.h"
#include "models/table_cells.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/losses.h"

namespace mynah {
namespace {

using nn::HeadKind;

constexpr size_t kTokenTypes = 7, kColumnType = 1, kRowType = 2;

const BertHeadNames kTapasHeads = {
    .pooler = "tapas.pooler.dense",
    .masked_lm = {"cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder", "cls.predictions.bias"},
    .sequences = {"tapas.pooler.dense"},
    .choices = {},
    .relationship = "",
};

Json tapas_config(const Json& json) {
  return nn::with_defaults(json, {{"max_position_embeddings", 1024}, {"type_vocab_sizes", {3, 256, 256, 2, 256, 256, 10}}});
}

class Tapas : public nn::Model {
 public:
  Tapas(const Json& json, const nn::Weights& w)
      : config_(tapas_config(json)),
        kind_(nn::head_kind(json)),
        c_(config_),
        word_((w / "tapas" / "embeddings").matrix("word_embeddings", c_.vocab_size, c_.hidden_size, c_.init())),
        position_((w / "tapas" / "embeddings").tensor("position_embeddings.weight", {c_.max_position_embeddings, c_.hidden_size}, c_.init())),
        norm_(w / "tapas" / "embeddings", "LayerNorm", c_.hidden_size, c_.layer_norm_eps),
        stack_(c_, w / "tapas" / "encoder"),
        heads_(c_, config_, w, kTapasHeads, word_),
        by_cell_(nn::config_bool(json, "reset_position_index_per_cell", true)) {
    type_sizes_ = nn::config_ints(config_, "type_vocab_sizes", {});
    require(type_sizes_.size() == kTokenTypes, "config.json: type_vocab_sizes has {} sizes, expected {}", type_sizes_.size(), kTokenTypes);
    for (size_t i = 0; i < kTokenTypes; ++i)
      types_.push_back((w / "tapas" / "embeddings").tensor("token_type_embeddings_" + std::to_string(i) + ".weight", {type_sizes_[i], c_.hidden_size}, c_.init()));
    if (kind_ != HeadKind::table_question_answering) return;
    pooler_ = nn::Linear(w, "tapas.pooler.dense", c_.hidden_size, c_.hidden_size, c_.init());
    cells_.emplace(config_, w, c_.hidden_size, c_.init());
  }

  HeadKind kind() const override { return kind_; }

  // Inputs: input_ids [B,T]; optional attention_mask, position_ids [B,T], token_type_ids [B,T,7], labels, and of the head of answers what
  // TableCells reads. Outputs: last_hidden_state [B,T,C], pooler_output [B,C]; logits; logits_aggregation; loss; hidden_states.N [B,T,C].
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const override;

 private:
  Tensor embed(const nn::TokenBatch& batch, const std::array<std::vector<int32_t>, kTokenTypes>& types) const;
  std::vector<int32_t> positions_in_cells(const std::vector<int32_t>& columns, const std::vector<int32_t>& rows, int64_t length) const;

  const Json config_;
  HeadKind kind_;
  BertConfig c_;
  nn::Matrix word_;
  Tensor position_;
  nn::LayerNorm norm_;
  BertStack stack_;
  BertHeads heads_;
  bool by_cell_;
  std::vector<int64_t> type_sizes_;
  std::vector<Tensor> types_;
  nn::Linear pooler_;
  std::optional<TableCells> cells_;
};

Tensor Tapas::embed(const nn::TokenBatch& batch, const std::array<std::vector<int32_t>, kTokenTypes>& types) const {
  Tensor x = word_.lookup(batch.ids, c_.pad_token_id) + embedding(position_, batch.positions);
  for (size_t i = 0; i < kTokenTypes; ++i) x = x + embedding(types_[i], types[i]);
  return nn::dropout(norm_(x), c_.hidden_dropout_prob);
}

std::vector<int32_t> Tapas::positions_in_cells(const std::vector<int32_t>& columns, const std::vector<int32_t>& rows, int64_t length) const {
  std::vector<int32_t> out;
  std::map<std::pair<int32_t, int32_t>, int64_t> first;
  for (size_t i = 0; i < columns.size(); ++i) {
    const int64_t place = static_cast<int64_t>(i) % length;
    if (place == 0) first.clear();
    const int64_t begin = by_cell_ ? first.emplace(std::pair{columns[i], rows[i]}, place).first->second : 0;
    const int64_t position = place - begin;
    require(by_cell_ || position < c_.max_position_embeddings, "forward: a row has {} tokens, expected at most {}", length, c_.max_position_embeddings);
    out.push_back(static_cast<int32_t>(std::min(position, c_.max_position_embeddings - 1)));
  }
  return out;
}

nn::NamedTensors Tapas::forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const {
  std::vector<std::string_view> known = {"input_ids", "attention_mask", "token_type_ids", "position_ids", "labels"};
  if (cells_) known.insert(known.end(), TableCells::input_names().begin(), TableCells::input_names().end());
  const nn::Inputs in(inputs, known);
  const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
  const int64_t rows = shape[0], length = shape[1];
  nn::TokenBatch batch;
  batch.precision = attention_type();
  batch.ids = in.ids("input_ids", shape, c_.vocab_size);
  batch.key_mask = in.mask("attention_mask", shape);
  batch.lengths.assign(static_cast<size_t>(rows), length);
  std::array<std::vector<int32_t>, kTokenTypes> types;
  for (auto& type : types) type.assign(batch.ids.size(), 0);
  const std::vector<int32_t> given = in.integers("token_type_ids", {rows, length, static_cast<int64_t>(kTokenTypes)});
  for (size_t i = 0; i < given.size(); ++i) {
    const size_t type = i % kTokenTypes;
    require(given[i] >= 0 && given[i] < type_sizes_[type], "forward: token_type_ids holds {} as type {}, expected 0..{}", given[i], type, type_sizes_[type] - 1);
    types[type][i / kTokenTypes] = given[i];
  }
  batch.positions = in.has("position_ids") ? in.positions("position_ids", rows, length) : positions_in_cells(types[kColumnType], types[kRowType], length);
  for (const int32_t p : batch.positions) require(p >= 0 && p < c_.max_position_embeddings, "forward: position_ids holds {}, expected 0..{}", p, c_.max_position_embeddings - 1);

  std::vector<Tensor> states;
  const Tensor hidden = stack_.forward(embed(batch, types), batch, options.hidden_states ? &states : nullptr);
  const auto by_row = [&](const Tensor& x) { return reshape(x, {rows, length, x.size(1)}); };
  nn::NamedTensors out;
  for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = by_row(states[i]);
  if (cells_) {
    Tensor mask = Tensor::full(shape, 1);
    std::copy(batch.key_mask.begin(), batch.key_mask.end(), mask.data<float>());
    out.merge(cells_->outputs(by_row(hidden), tanh(pooler_(nn::first_tokens(hidden, batch))), types[kRowType], types[kColumnType], mask, in));
    return out;
  }
  const nn::EncoderModel::Outputs made = heads_(hidden, batch);
  for (const auto& [name, tensor] : made.tokens) out[name] = by_row(tensor);
  for (const auto& [name, tensor] : made.sequences) out[name] = tensor;
  if (!in.has("labels")) return out;
  if (kind_ == HeadKind::masked_lm) out["loss"] = nn::token_loss(made.tokens.at("logits"), in.integers("labels", shape));
  if (kind_ == HeadKind::sequence_classification) out["loss"] = nn::classification_loss(config_, out["logits"], in);
  return out;
}

std::unique_ptr<nn::Model> make_tapas(const Json& config, const nn::Weights& weights) { return std::make_unique<Tapas>(config, weights); }

}  // namespace

extern const ModelEntry model_tapas{"tapas",
                                    {"TapasModel", "TapasForMaskedLM", "TapasForQuestionAnswering", "TapasForSequenceClassification"},
                                    make_tapas,
                                    "tapas.",
                                    {".position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"},
                                    {},
                                    {},
                                    nullptr,
                                    {.beside_tables = true}};

}  // namespace mynah
