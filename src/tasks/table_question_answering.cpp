// table-question-answering: which cells of a table answer a question, and whether they are to be counted, added up or averaged.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "base/require.h"
#include "mynah/autograd.h"
#include "nn/config.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/show.h"
#include "tasks/tables.h"
#include "tasks/tapex.h"

namespace mynah {
namespace {
namespace t = tasks;

constexpr const char* kTableTask = "table-question-answering";
constexpr size_t kTypes = 7, kSegment = 0, kColumn = 1, kRow = 2, kAnsweredBefore = 3;

bool drops_rows(const Json& options) {
  const auto it = options.find("truncation");
  if (it == options.end() || it->is_null() || *it == "drop_rows_to_fit") return true;
  if (it->is_boolean()) return it->get<bool>();
  if (*it == "do_not_truncate") return false;
  fail(ErrorCode::usage, "{}: truncation is {}, expected true, false, drop_rows_to_fit or do_not_truncate", kTableTask, it->dump());
}

// A question or several of one table.
std::vector<std::string> queries_of(const Json& input) {
  const Json& given = input["query"];
  std::vector<std::string> all;
  for (const Json& one : given.is_array() ? given : Json::array({given})) {
    require(one.is_string() && !one.get_ref<const std::string&>().empty(), "{}: a query is {}, expected a text", kTableTask, one.dump());
    all.push_back(one.get<std::string>());
  }
  require(!all.empty(), "{}: query is an empty list, expected a text or texts", kTableTask);
  return all;
}

// Rows of the network's inputs, all as long as the longest.
nn::NamedTensors batch_of(const std::vector<text::EncodedTable>& rows, int32_t pad) {
  size_t length = 0;
  for (const auto& row : rows) length = std::max(length, row.ids.size());
  std::vector<int64_t> ids(rows.size() * length, pad), mask(ids.size(), 0), types(ids.size() * kTypes, 0);
  for (size_t b = 0; b < rows.size(); ++b)
    for (size_t i = 0; i < rows[b].ids.size(); ++i) {
      const size_t at = b * length + i;
      ids[at] = rows[b].ids[i];
      mask[at] = 1;
      std::copy(rows[b].types[i].begin(), rows[b].types[i].end(), types.begin() + static_cast<long>(at * kTypes));
    }
  const Shape shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(length)};
  return {{"input_ids", Tensor::from(ids, shape)},
          {"attention_mask", Tensor::from(mask, shape)},
          {"token_type_ids", Tensor::from(types, {shape[0], shape[1], static_cast<int64_t>(kTypes)})}};
}

// Cells [row, column] whose tokens are of the answer with a probability above one half on average, row by row.
using TableCell = std::pair<int32_t, int32_t>;
std::map<TableCell, bool> cells_chosen(const text::EncodedTable& e, const std::vector<float>& logits) {
  std::map<TableCell, std::pair<double, int64_t>> sums;
  for (size_t i = 0; i < e.ids.size(); ++i) {
    const auto& type = e.types[i];
    if (type[kSegment] != 1 || type[kColumn] < 1 || type[kRow] < 1) continue;
    auto& [sum, count] = sums[{type[kRow] - 1, type[kColumn] - 1}];
    sum += 1 / (1 + std::exp(-std::max(logits[i], -88.7f)));
    ++count;
  }
  std::map<TableCell, bool> chosen;
  for (const auto& [cell, s] : sums) chosen[cell] = s.first / static_cast<double>(s.second) > 0.5;
  return chosen;
}

// The labels of aggregations that the network scores; empty without them.
std::vector<std::string> aggregation_names(const Json& config) {
  const auto given = config.find("aggregation_labels");
  const int64_t count = nn::config_int(config, "num_aggregation_labels", 0, 0);
  std::vector<std::string> names;
  if (given == config.end() || !given->is_object() || given->empty()) return names;
  for (int64_t i = 0; i < count; ++i) {
    const auto name = given->find(std::to_string(i));
    require(name != given->end() && name->is_string(), "config.json: aggregation_labels has no label {}, expected {}", i, count);
    names.push_back(name->get<std::string>());
  }
  return names;
}

Json table_answer(const text::Table& table, const std::map<TableCell, bool>& chosen, const std::string& aggregator, bool aggregates) {
  std::string answer = aggregates ? aggregator + " > " : "";
  Json coordinates = Json::array(), cells = Json::array();
  for (const auto& [cell, is_chosen] : chosen) {
    if (!is_chosen) continue;
    const std::string& text = table.cells[static_cast<size_t>(cell.first)][static_cast<size_t>(cell.second)];
    answer += (cells.empty() ? "" : ", ") + text;
    coordinates.push_back({cell.first, cell.second});
    cells.push_back(text);
  }
  Json out = {{"answer", answer}, {"coordinates", coordinates}, {"cells", cells}};
  if (!aggregator.empty()) out["aggregator"] = aggregator;
  return out;
}

// What the cells answer, and by which aggregation: one for each query.
Json answers_from(const t::OpenTask& task, const text::TableEncoder& encoder, const Json& input, const Json& options) {
  const Json& config = task.bundle().config;
  const text::Table table = t::table_of(input["table"]);
  std::vector<text::EncodedTable> rows;
  for (const std::string& query : queries_of(input)) rows.push_back(encoder.encode(table, query, drops_rows(options)));
  const size_t read = std::min_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.rows < b.rows; })->rows;
  if (read < table.cells.size()) warn("{}: the table is too long for the model; {} of its {} rows are not read", kTableTask, table.cells.size() - read, table.cells.size());
  const auto pad = task.tokenizer().pad_id().value_or(0);
  const std::vector<std::string> names = aggregation_names(config);
  const int64_t none = nn::config_int(config, "no_aggregation_label_index", -1, 0);
  Json answers = Json::array();
  const auto take = [&](const text::EncodedTable& e, const nn::NamedTensors& outputs, int64_t place) {
    const std::map<TableCell, bool> chosen = cells_chosen(e, t::row_values(outputs.at("logits"), place));
    std::string aggregator;
    bool aggregates = false;
    if (!names.empty()) {
      const std::vector<float> scores = t::row_values(outputs.at("logits_aggregation"), place);
      const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
      aggregator = names[static_cast<size_t>(best)];
      aggregates = best != none;
    }
    answers.push_back(table_answer(table, chosen, aggregator, aggregates));
    return chosen;
  };
  NoGrad no_grad;
  if (t::boolean(options, "sequential", false)) {
    // A question is read together with the answer to the one before.
    std::map<TableCell, bool> before;
    for (text::EncodedTable& e : rows) {
      for (auto& type : e.types) {
        const auto found = before.find({type[kRow] - 1, type[kColumn] - 1});
        type[kAnsweredBefore] = type[kSegment] == 1 && found != before.end() && found->second;
      }
      before = take(e, task.bundle().network->forward(batch_of({e}, pad), {}), 0);
    }
  } else {
    const nn::NamedTensors outputs = task.bundle().network->forward(batch_of(rows, pad), {});
    for (size_t i = 0; i < rows.size(); ++i) take(rows[i], outputs, static_cast<int64_t>(i));
  }
  return answers.size() == 1 ? Json(answers[0]) : answers;
}

std::vector<Json> run_table_question_answering(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  std::vector<Json> results;
  if (task.bundle().network->kind() == nn::HeadKind::seq2seq_lm) {
    require(t::is_tapex(task), "{}: {} holds a {} whose tokenizer reads no tables; {}", kTableTask, task.bundle().name, task.bundle().architecture(), task.entry->suggestion);
    for (const Json& input : inputs) {
      const std::vector<Json> answers = t::tapex_answers(task, t::table_of(input["table"]), queries_of(input), options);
      results.push_back(answers.size() == 1 ? answers[0] : Json(answers));
    }
    return results;
  }
  const text::TableEncoder encoder(task.tokenizer(), task.tokenizer_config);
  for (const Json& input : inputs) results.push_back(answers_from(task, encoder, input, options));
  return results;
}

// Tables with their queries, as objects; or queries of the table that is an option.
std::vector<Json> tables_listed(const Json& given, const Json& options, bool* one) {
  const auto table = options.find("table");
  const bool has_table = table != options.end() && !table->is_null();
  std::vector<Json> all;
  const auto add = [&](const Json& value) {
    if (value.is_string()) {
      if (!has_table) fail(ErrorCode::usage, "{}: give a table beside the query, --table FILE", kTableTask);
      all.push_back({{"table", *table}, {"query", value}});
      return;
    }
    Json item = value;
    if (item.is_object() && !item.contains("query") && item.contains("question")) item["query"] = item["question"];  // as some clients call it
    if (item.is_object() && has_table && !item.contains("table")) item["table"] = *table;
    require(item.is_object() && item.contains("table") && item.contains("query"), "{}: an input is {}, expected {{\"table\": TABLE, \"query\": TEXT}}", kTableTask, value.dump());
    all.push_back(std::move(item));
  };
  if (given.is_array())
    for (const Json& value : given) add(value);
  else if (!given.is_null()) add(given);
  if (const auto query = options.find("query"); query != options.end() && !query->is_null()) {
    if (!has_table) fail(ErrorCode::usage, "{}: give a table beside the query, --table FILE", kTableTask);
    all.push_back({{"table", *table}, {"query", query->is_array() && query->size() == 1 ? (*query)[0] : *query}});
  }
  if (all.empty()) fail(ErrorCode::usage, "{}: give a table and a query", kTableTask);
  *one = all.size() == 1;
  return all;
}

bool is_table_question(const Json& value) { return value.is_object() && value.contains("table"); }

std::string show_table_answers(const Json& input, const Json& result, const t::Style& style) {
  const text::Table table = t::table_of(input["table"]);
  const std::vector<std::string> queries = queries_of(input);
  const Json answers = result.is_array() ? result : Json::array({result});
  std::string out;
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string answer = answers[i]["answer"].get<std::string>();
    out += (i ? "\n" : "") + t::emphasised(queries[i], style) + "\n" + t::table_text(table, answers[i].value("coordinates", Json::array()), style);
    out += "  " + (answer.empty() ? "(no cell)" : answer) + "\n";
  }
  return out;
}

}  // namespace

extern const TaskEntry task_table_question_answering{
    .name = "table-question-answering",
    .help = "the cells of a table that answer a question, and how to aggregate them",
    .input = "--table FILE.csv|FILE.json QUERY",
    .reads_json = is_table_question,
    .heads = {nn::HeadKind::table_question_answering, nn::HeadKind::seq2seq_lm},
    .options = {{"table", t::OptionType::table, "the table: its columns, {\"COLUMN\": [cells]}, or its rows, [{\"COLUMN\": cell}]; or a CSV or JSON file that holds them"},
                {"query", t::OptionType::texts, "what is asked; several go together through the model"},
                {"sequential", t::OptionType::boolean, "each query knows the answer to the one before (false)"},
                {"truncation", t::OptionType::json, "drop_rows_to_fit (true), or do_not_truncate (false); of TAPEX only whether the text is cut (false)"},
                {"padding", t::OptionType::json, "accepted: padding changes no result"}},
    .suggestion = "good ones to pull: google/tapas-base-finetuned-wtq, microsoft/tapex-base-finetuned-wtq",
    .run = run_table_question_answering,
    .inputs = tables_listed,
    .show = show_table_answers};

}  // namespace mynah
