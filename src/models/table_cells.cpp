#include "models/table_cells.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/require.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/losses.h"

namespace mynah {
namespace {

constexpr float kAlmostZero = 1e-10f, kCloseToNever = -10000;  // the reference's

Tensor float_tensor(std::vector<float> values, const Shape& shape) { return Tensor::from(std::span<const float>(values), shape); }

// Numbers of whole ones.
std::vector<float> as_floats(const std::vector<int32_t>& values) { return {values.begin(), values.end()}; }

Tensor without_nan(const Tensor& x) {
  std::vector<float> values = x.to_vector();
  for (float& v : values)
    if (std::isnan(v)) v = 0;
  return float_tensor(std::move(values), x.shape());
}

// [B,T,C] times weights [C] -> [B,T]
Tensor scores_of(const Tensor& hidden, const Tensor& weights, const Tensor& bias) {
  const int64_t b = hidden.size(0), t = hidden.size(1), c = hidden.size(2);
  return reshape(matmul(reshape(hidden, {b * t, c}), reshape(weights, {c, 1})), {b, t}) + bias;
}

// Whether all but "no aggregation", together [B].
Tensor some_aggregation(const Tensor& aggregation) { return sum(narrow(softmax(aggregation), 1, 1, aggregation.size(1) - 1), 1); }

}  // namespace

// The tokens of each row by cells: the cells of the table, of its header, and what lies outside (row and column 0).
struct TableCells::Cells {
  Cells(const std::vector<int32_t>& rows, const std::vector<int32_t>& token_columns, const Tensor& mask, int64_t most_rows, int64_t most_columns)
      : batch(mask.size(0)), tokens(mask.size(1)) {
    std::vector<std::map<std::pair<int32_t, int32_t>, int64_t>> found(static_cast<size_t>(batch));
    std::vector<int64_t> cell_of_token;
    for (int64_t i = 0; i < batch * tokens; ++i) {
      auto& cells = found[static_cast<size_t>(i / tokens)];
      const auto limited = [](int32_t value, int64_t most) { return static_cast<int32_t>(std::min<int64_t>(value, most - 1)); };
      const std::pair key{limited(rows[static_cast<size_t>(i)], most_rows), limited(token_columns[static_cast<size_t>(i)], most_columns)};
      cell_of_token.push_back(cells.emplace(key, static_cast<int64_t>(cells.size())).first->second);
      count = std::max(count, static_cast<int64_t>(cells.size()));
    }
    columns.assign(static_cast<size_t>(batch * count), -1);
    sizes.assign(columns.size(), 0);
    seen = Tensor::zeros({batch, count});
    mean = Tensor::zeros({batch, count, tokens});
    for (int64_t b = 0; b < batch; ++b)
      for (const auto& [key, cell] : found[static_cast<size_t>(b)]) columns[static_cast<size_t>(b * count + cell)] = key.second;
    for (int64_t i = 0; i < batch * tokens; ++i) {
      of_token.push_back(i / tokens * count + cell_of_token[static_cast<size_t>(i)]);
      ++sizes[static_cast<size_t>(of_token.back())];
    }
    const Tensor given = contiguous(mask);
    for (int64_t i = 0; i < batch * tokens; ++i) {
      const int64_t cell = of_token[static_cast<size_t>(i)];
      const float share = 1 / static_cast<float>(sizes[static_cast<size_t>(cell)]);
      mean.data<float>()[cell * tokens + i % tokens] = share;
      seen.data<float>()[cell] += share * given.data<float>()[i];
    }
  }

  // The mean of each cell's tokens: [B,T] -> [B,P].
  Tensor means(const Tensor& of_tokens) const { return squeeze(matmul(mean, unsqueeze(of_tokens, 2)), 2); }
  // What each token's cell has: [B,P] -> [B,T].
  Tensor spread(const Tensor& of_cells) const { return reshape(index_rows(reshape(of_cells, {batch * count, 1}), of_token), {batch, tokens}); }

  int64_t batch, tokens, count = 0;
  std::vector<int64_t> of_token;  // [B * T], places in [B * P]
  std::vector<int32_t> columns;   // [B * P]; -1: there is no such cell
  std::vector<int64_t> sizes;     // [B * P], tokens
  Tensor seen;                    // [B,P], the part of a cell's tokens that is no padding
  Tensor mean;                    // [B,P,T]
};

TableCells::TableCells(const Json& config, const nn::Weights& w, int64_t size, nn::Init init)
    : config_(config),
      most_rows_(nn::config_int(config, "max_num_rows", 64, 1, 100000)),
      most_columns_(nn::config_int(config, "max_num_columns", 32, 1, 100000)),
      aggregations_(nn::config_int(config, "num_aggregation_labels", 0, 0, 1000)),
      one_column_(nn::config_bool(config, "select_one_column", true)),
      from_answers_(aggregations_ > 0 && nn::config_bool(config, "use_answer_as_supervision", false)),
      drop_(nn::dropout_rate(config, "hidden_dropout_prob", 0.1)),
      temperature_(static_cast<float>(nn::config_number(config, "temperature", 1))) {
  const nn::Init own = nn::config_bool(config, "init_cell_selection_weights_to_zero", false) ? nn::Init::zeros() : init;
  token_weights_ = w.tensor("output_weights", {size}, own);
  token_bias_ = w.tensor("output_bias", {}, nn::Init::zeros());
  column_weights_ = w.tensor("column_output_weights", {size}, own);
  column_bias_ = w.tensor("column_output_bias", {}, nn::Init::zeros());
  if (aggregations_ > 0) aggregation_ = nn::Linear(w, "aggregation_classifier", size, aggregations_, init);
}

const std::vector<std::string_view>& TableCells::input_names() {
  static const std::vector<std::string_view> names = {"table_mask", "aggregation_labels", "float_answer", "numeric_values", "numeric_values_scale"};
  return names;
}

// [B,K]: the mean over the cells of each column, and next to nothing for columns that are not there and (unless it may be chosen) column 0, which
// stands for none.
Tensor TableCells::column_scores(const Tensor& hidden, const Cells& cells) const {
  const int64_t b = cells.batch, k = most_columns_;
  Tensor members = Tensor::zeros({b, k, cells.count}), sizes = Tensor::zeros({b, k}), added = Tensor::zeros({b, k});
  for (int64_t i = 0; i < b * cells.count; ++i) {
    const int32_t column = cells.columns[static_cast<size_t>(i)];
    if (column < 0) continue;
    const int64_t place = i / cells.count * k + column;
    members.data<float>()[place * cells.count + i % cells.count] = cells.seen.data<float>()[i];
    sizes.data<float>()[place] += cells.seen.data<float>()[i];
  }
  const bool may_be_empty = nn::config_bool(config_, "allow_empty_column_selection", false);
  for (int64_t i = 0; i < b * k; ++i) {
    float& size = sizes.data<float>()[i];
    if (i % k == 0 ? !may_be_empty : size < 0.5f) added.data<float>()[i] = kCloseToNever;
    size += kAlmostZero;
  }
  const Tensor means = cells.means(scores_of(hidden, column_weights_, column_bias_));
  return squeeze(matmul(members, unsqueeze(means, 2)), 2) / sizes + added;
}

// Scores of cells with all but those of the likeliest column made impossible.
Tensor TableCells::in_best_column(const Tensor& cell_scores, const Tensor& column_scores, const Cells& cells) const {
  const std::vector<int64_t> best = argmax(column_scores);
  Tensor added = Tensor::zeros({cells.batch, cells.count});
  for (int64_t i = 0; i < added.numel(); ++i) {
    const int32_t column = cells.columns[static_cast<size_t>(i)];
    const bool chosen = column > 0 && column == best[static_cast<size_t>(i / cells.count)];
    added.data<float>()[i] = kCloseToNever * (1 - (chosen ? cells.seen.data<float>()[i] : 0));
  }
  return cell_scores + added;
}

// [B]: the loss of the answer's column and, given that column, of its cells.
Tensor TableCells::selection_loss(const Tensor& cell_scores, const Tensor& column_scores, const Cells& cells, const std::vector<int32_t>& labels) const {
  const int64_t b = cells.batch, p = cells.count, k = most_columns_;
  std::vector<float> per_column(static_cast<size_t>(b * k)), per_cell(static_cast<size_t>(b * p)), weights(per_cell.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto cell = static_cast<size_t>(cells.of_token[i]);
    per_cell[cell] = std::max(per_cell[cell], static_cast<float>(labels[i]));
    per_column[static_cast<size_t>(static_cast<int64_t>(i) / cells.tokens * k + cells.columns[cell])] += static_cast<float>(labels[i]);
  }
  std::vector<int64_t> wanted;
  for (int64_t row = 0; row < b; ++row) {
    const auto begin = per_column.begin() + row * k, best = std::max_element(begin, begin + k);
    const bool none = *best == 0;
    wanted.push_back(none ? 0 : best - begin);
    float sum = kAlmostZero;
    const auto weight = [&](int64_t i) { return cells.columns[static_cast<size_t>(i)] == wanted.back() ? cells.seen.data<float>()[i] : 0; };
    for (int64_t i = row * p; i < (row + 1) * p; ++i) sum += weight(i);
    for (int64_t i = row * p; i < (row + 1) * p && !none; ++i) weights[static_cast<size_t>(i)] = weight(i) / sum;
  }
  const Tensor of_cells = nn::binary_cross_entropies(cell_scores, float_tensor(per_cell, {b, p})) * float_tensor(weights, {b, p});
  return sum(of_cells, 1) - token_log_probs(column_scores, wanted);
}

// [B]: the loss of tokens of any column.
Tensor TableCells::token_loss_of_rows(const Tensor& logits, const std::vector<int32_t>& labels, const Tensor& mask) const {
  const auto positive = static_cast<float>(nn::config_number(config_, "positive_label_weight", 10));
  std::vector<float> weights;
  for (const int32_t label : labels) weights.push_back(label == 0 ? 1 : positive);
  const Tensor each = nn::binary_cross_entropies(logits, float_tensor(as_floats(labels), logits.shape())) * float_tensor(weights, logits.shape());
  return sum(each * mask, 1) / add(sum(mask, 1), kAlmostZero);
}

// [B]: 1 for rows whose answer is to be made of cells by an aggregation: a number, unless it also stands in the table and the network would rather
// select it.
Tensor TableCells::aggregates(const Tensor& answers, const Tensor& aggregation, const std::vector<int32_t>& labels, int64_t batch) const {
  const auto preference = static_cast<float>(nn::config_number(config_, "cell_selection_preference"));
  const std::vector<float> answer = answers.to_vector(), some = some_aggregation(aggregation).to_vector();
  std::vector<float> out;
  for (int64_t b = 0; b < batch; ++b) {
    const auto row = static_cast<size_t>(b), each = labels.size() / static_cast<size_t>(batch);
    const bool in_table = std::any_of(labels.begin() + static_cast<long>(row * each), labels.begin() + static_cast<long>((row + 1) * each), [](int32_t l) { return l > 0; });
    out.push_back(std::isnan(answer[row]) || (some[row] <= preference && in_table) ? 0 : 1);
  }
  return float_tensor(out, {batch});
}

// [B]; `aggregates` is undefined where the aggregations themselves are known.
Tensor TableCells::aggregation_loss(const Tensor& aggregation, const Tensor& aggregates, const nn::Inputs& in) const {
  const int64_t b = aggregation.size(0);
  const auto weight = static_cast<float>(nn::config_number(config_, "aggregation_loss_weight", 1));
  if (!aggregates.defined()) {
    require(in.has("aggregation_labels"), "forward: labels need aggregation_labels too, from which the model learns its aggregations");
    const std::vector<int32_t> known = in.ids("aggregation_labels", {b}, aggregations_);
    return neg(token_log_probs(aggregation, std::vector<int64_t>(known.begin(), known.end()))) * weight;
  }
  const Tensor none = neg(token_log_probs(aggregation, std::vector<int64_t>(static_cast<size_t>(b), 0)));
  return (none * add(neg(aggregates), 1.0f) - log(some_aggregation(aggregation)) * aggregates) * weight;
}

// [B]: what sum, average and count of the likely cells give, by how likely each is.
Tensor TableCells::expected_result(const Tensor& logits, const Tensor& aggregation, const Tensor& table_mask, const nn::Inputs& in) const {
  require(!nn::config_bool(config_, "use_gumbel_for_cells", false) && !nn::config_bool(config_, "use_gumbel_for_aggregation", false),
          "config.json: use_gumbel_for_cells and use_gumbel_for_aggregation draw answers at random, which the loss here does not");
  require(aggregations_ == 4, "config.json: num_aggregation_labels is {}, expected 4 (none, sum, average, count) where answers supervise them", aggregations_);
  const Tensor values = without_nan(in.floats("numeric_values", logits.shape()));
  const Tensor chosen = sigmoid(logits) / in.floats("numeric_values_scale", logits.shape()) * table_mask;
  const Tensor count = sum(chosen, 1), total = sum(chosen * values, 1);
  const std::string function = nn::config_string(config_, "average_approximation_function", "ratio");
  Tensor average;
  if (function == "ratio") {
    average = total / add(count, kAlmostZero);
  } else {
    require(function == "first_order" || function == "second_order",
            "config.json: average_approximation_function is \"{}\", expected ratio, first_order or second_order", function);
    const Tensor others = add(sum(chosen, 1, true) - chosen, 1.0f);  // how many cells are expected beside each, and it
    Tensor factor = div(Tensor::full({1, 1}, 1), others);
    if (function == "second_order") {
      const Tensor variance = chosen * add(neg(chosen), 1.0f);
      factor = add((sum(variance, 1, true) - variance) / square(others), 1.0f) * factor;
    }
    average = sum(values * chosen * factor, 1);
  }
  const auto temperature = static_cast<float>(nn::config_number(config_, "aggregation_temperature", 1));
  const Tensor likely = softmax(narrow(aggregation, 1, 1, aggregations_ - 1) * (1 / temperature));
  return sum(cat({unsqueeze(total, 1), unsqueeze(average, 1), unsqueeze(count, 1)}, 1) * likely, 1);
}

// [B]; `kept`: 0 for rows whose loss is too large to count.
Tensor TableCells::answer_loss(const Tensor& expected, const Tensor& answers, const Tensor& aggregates, Tensor* kept) const {
  const Tensor wanted = without_nan(answers);
  const bool normalised = nn::config_bool(config_, "use_normalized_answer_loss", false);
  Tensor scale = Tensor::full({1}, 1);
  if (normalised) scale = div(Tensor::full({1}, 1), add(maximum(abs(expected.detach()), abs(wanted)), kAlmostZero));
  const auto delta = normalised ? 1.0f : static_cast<float>(nn::config_number(config_, "huber_loss_delta"));
  const Tensor error = abs(expected * scale * aggregates - wanted * scale * aggregates);
  std::vector<uint8_t> small;
  for (const float e : error.to_vector()) small.push_back(e < delta);
  Tensor is_small = Tensor::empty(error.shape(), DType::u8);
  std::copy(small.begin(), small.end(), is_small.data<uint8_t>());
  const Tensor loss = where(is_small, square(error) * 0.5f, add(error * delta, -0.5f * delta * delta));
  *kept = Tensor::full(loss.shape(), 1);
  if (config_.contains("answer_loss_cutoff") && !config_["answer_loss_cutoff"].is_null()) {
    const auto most = static_cast<float>(nn::config_number(config_, "answer_loss_cutoff"));
    const std::vector<float> values = loss.to_vector();
    for (size_t i = 0; i < values.size(); ++i) kept->data<float>()[i] = values[i] > most ? 0 : 1;
  }
  return loss * aggregates * static_cast<float>(nn::config_number(config_, "answer_loss_importance", 1));
}

nn::NamedTensors TableCells::outputs(const Tensor& hidden, const Tensor& pooled, const std::vector<int32_t>& rows, const std::vector<int32_t>& columns, const Tensor& mask,
                                     const nn::Inputs& in) const {
  const int64_t b = mask.size(0), t = mask.size(1);
  const Cells cells(rows, columns, mask, most_rows_, most_columns_);
  const Tensor states = nn::dropout(hidden, drop_);
  Tensor logits = scores_of(states, token_weights_, token_bias_) * (1 / temperature_);
  const Tensor of_columns = one_column_ ? column_scores(states, cells) : Tensor();
  nn::NamedTensors out;
  if (aggregations_ > 0) out["logits_aggregation"] = aggregation_(pooled);
  const bool learns = in.has("labels");
  if (learns && nn::config_bool(config_, "average_logits_per_cell", false)) logits = cells.spread(cells.means(logits));
  const Tensor of_cells = one_column_ ? cells.means(logits) : Tensor();
  out["logits"] = one_column_ ? cells.spread(in_best_column(of_cells, of_columns, cells)) : logits;
  if (!learns) return out;

  std::vector<int32_t> labels;
  for (const float label : in.floats("labels", {b, t}).to_vector()) {
    require(label == 0 || label == 1, "forward: labels holds {}, expected 0 or 1", label);
    labels.push_back(static_cast<int32_t>(label));
  }
  Tensor aggregating;
  if (from_answers_) {
    require(in.has("float_answer") && in.has("numeric_values") && in.has("numeric_values_scale"),
            "forward: labels need float_answer, numeric_values and numeric_values_scale too, from which the model learns its aggregations");
    aggregating = aggregates(in.floats("float_answer", {b}), out["logits_aggregation"], labels, b);
  }
  Tensor loss = Tensor::scalar(0);
  if (!nn::config_bool(config_, "disable_per_token_loss", false)) {
    const Tensor each = one_column_ ? selection_loss(of_cells, of_columns, cells, labels) : token_loss_of_rows(logits, labels, mask);
    loss = loss + mean(from_answers_ ? each * add(neg(aggregating), 1.0f) : each);
  }
  if (aggregations_ > 0) {
    Tensor more = aggregation_loss(out["logits_aggregation"], aggregating, in);
    if (from_answers_) {
      std::vector<float> below_header;
      for (const int32_t row : rows) below_header.push_back(row > 0);
      const Tensor table_mask = in.has("table_mask") ? in.floats("table_mask", {b, t}) : float_tensor(below_header, {b, t});
      Tensor kept;
      const Tensor answers = in.floats("float_answer", {b});
      more = more + answer_loss(expected_result(out["logits"], out["logits_aggregation"], table_mask, in), answers, aggregating, &kept);
      more = more * kept;
    }
    loss = loss + mean(more);
  }
  out["loss"] = loss;
  return out;
}

}  // namespace mynah
