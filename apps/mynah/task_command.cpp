#include "task_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/require.h"
#include "base/unicode.h"
#include "command.h"
#include "endpoint.h"
#include "mynah/pipeline.h"
#include "open_model.h"
#include "serve/media.h"
#include "standard_input.h"
#include "tasks/pictures.h"
#include "text/base64.h"

namespace mynah::app {
namespace {

// Inputs are UTF-8: offsets and answers would otherwise count something else than what was given.
void require_utf8(const std::string& text, const std::string& where) {
  for (size_t i = 0; i < text.size();) {
    const auto c = unicode::decode_any(text, i);
    if (!c.valid) fail(ErrorCode::failure, "pipeline: {} is not valid UTF-8 at byte {}; convert it first", where, i);
    i += c.size;
  }
}

std::string whole_stdin(const TaskEntry& entry) {
  return entry.medium == tasks::Medium::text ? standard_input_text() : "data:;base64," + text::encode_base64(read_standard_input());
}

Json as_input(const TaskEntry& entry, const std::string& text) {
  const char first = text.empty() ? ' ' : text[text.find_first_not_of(" \t\n") == std::string::npos ? 0 : text.find_first_not_of(" \t\n")];
  if (entry.reads_json && (first == '{' || first == '['))
    if (Json value = Json::parse(text, nullptr, false); !value.is_discarded() && entry.reads_json(value)) return value;
  return text;
}

std::vector<Json> given_inputs(const TaskEntry& entry, const TaskArguments& a) {
  std::vector<Json> inputs;
  for (const std::string& word : a.inputs) {
    const std::string text = word == "-" ? whole_stdin(entry) : word;
    require_utf8(text, word == "-" ? kStandardInput : fmt::format("input {}", inputs.size() + 1));
    inputs.push_back(as_input(entry, text));
  }
  return inputs;
}

// A line of a file of inputs: JSON in .jsonl files (a text, or an object as the task reads it), else the text itself.
Json line_input(const TaskEntry& entry, const std::string& line, bool json, const std::string& where) {
  require_utf8(line, where);
  if (!json) return line;
  Json value = parse_json(line, where);
  if (value.is_string() || (entry.reads_json && entry.reads_json(value))) return value;
  for (const char* key : {"text", "inputs", "prompt", "sentence"})
    if (value.is_object() && value.contains(key) && value[key].is_string()) return value[key];
  fail(ErrorCode::failure, "pipeline: {}: expected a JSON text or an object with \"text\"", where);
}

bool colors() {
  const char* no = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) && !(no && *no);
}

int run_file(const Pipeline& pipe, const TaskEntry& entry, const TaskArguments& a) {
  std::ifstream in(a.input_file, std::ios::binary);
  if (!in) fail(ErrorCode::not_found, "pipeline: {}: cannot be read", a.input_file);
  std::vector<Json> inputs;
  const bool json = a.input_file.ends_with(".jsonl") || a.input_file.ends_with(".json");
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    ++number;
    if (!line.empty()) inputs.push_back(line_input(entry, line, json, fmt::format("{}: line {}", a.input_file, number)));
  }
  std::optional<AtomicFile> out;
  if (!a.output_file.empty()) out.emplace(a.output_file);
  Progress bar(entry.name, static_cast<int64_t>(inputs.size()), {.bytes = false, .noun = "inputs", .quiet = a.output_file.empty()});
  for (size_t first = 0; first < inputs.size(); first += a.batch_size) {
    const auto end = inputs.begin() + static_cast<long>(std::min(inputs.size(), first + a.batch_size));
    const Json some(std::vector<Json>(inputs.begin() + static_cast<long>(first), end));
    for (const Json& result : pipe.each(some, a.options)) {
      if (out) out->write(to_text(result) + "\n");
      else print_json(result);
    }
    bar.add(static_cast<int64_t>(some.size()));
  }
  bar.finish();
  if (out) out->commit();
  return 0;
}

int run_inputs(const tasks::OpenTask& task, const Pipeline& pipe, const TaskArguments& a, const std::function<Json(const Json&)>& wrapped) {
  const TaskEntry& entry = *task.entry;
  const std::vector<Json> inputs = given_inputs(entry, a);
  const Json all = inputs.size() == 1 ? inputs[0] : inputs.empty() ? Json() : Json(inputs);
  if (a.json && a.save.empty()) {
    print_json(wrapped ? wrapped(pipe.each(all, a.options)) : pipe(all, a.options));
    return 0;
  }
  bool one = false;
  const std::vector<Json> meant = entry.inputs ? entry.inputs(all, a.options, &one) : inputs;
  if (!a.save.empty() && meant.size() != 1) fail(ErrorCode::usage, "pipeline: --save takes one input, got {}", meant.size());
  const std::vector<Json> results = pipe.each(all, a.options);
  if (!a.save.empty()) {
    media::write_image(a.save, entry.draw(tasks::read_picture(task, meant[0]), results[0]));
    if (a.json) {
      print_json(one ? results[0] : Json(results));
      return 0;
    }
  }
  std::vector<std::string> shown;
  for (size_t i = 0; i < results.size(); ++i) shown.push_back(pipe.shown(meant.size() == results.size() ? meant[i] : Json(), results[i], colors()));
  // Vectors and the like have a line each, for programs to read; an empty line parts what has several.
  const bool lines = std::all_of(shown.begin(), shown.end(), [](const std::string& text) { return text.find('\n') + 1 == text.size(); });
  for (size_t i = 0; i < shown.size(); ++i) print_text((i && !lines ? "\n" : "") + shown[i]);
  return 0;
}

// What another server makes of the inputs. Its answer is printed as it comes: shapes for people need the model at hand.
int run_remotely(const TaskEntry& entry, const std::string& asked, const TaskArguments& a) {
  if (a.model.empty()) fail(ErrorCode::usage, "pipeline {}: name the server's model with --model", entry.name);
  if (!a.input_file.empty()) fail(ErrorCode::usage, "pipeline {}: --input-file does not go with hf: and --endpoint", entry.name);
  std::vector<Json> inputs = given_inputs(entry, a);
  Json options = a.options;
  // A picture or a sound travels as base64.
  if (serve::reads_pictures(entry.name) || serve::reads_sounds(entry.name))
    for (Json& input : inputs)
      if (input.is_string()) {
        const std::string text = input;  // a path, or what whole_stdin made
        input = text.starts_with("data:") ? text.substr(text.find(',') + 1) : text::encode_base64(read_text_file(text, 64u << 20));
      }
  Json all = inputs.size() == 1 ? inputs[0] : Json(inputs);
  // What belongs together is one object there.
  if (options.contains("table")) {
    all = {{"table", options["table"]}, {"query", options.contains("query") ? options["query"] : all}};
    options.erase("table");
    options.erase("query");
  } else if (options.contains("question")) {
    const Json picture = all;
    all = {{"question", options["question"]}};
    if (options.contains("context")) all["context"] = options["context"];
    else if (picture.is_string()) all["image"] = picture;
    options.erase("question");
    options.erase("context");
  }
  print_json(parse_json(post(task_endpoint(a.model, asked, a.endpoint), {{"inputs", all}, {"parameters", options}}), "server"));
  return 0;
}

}  // namespace

int run_task(const TaskEntry& entry, const std::string& asked, const TaskArguments& a, const std::function<Json(const Json&)>& wrapped) {
  if (!a.input_file.empty() && !a.inputs.empty()) fail(ErrorCode::usage, "pipeline: give --input-file or inputs, not both");
  if (!a.output_file.empty() && a.input_file.empty()) fail(ErrorCode::usage, "pipeline: --output-file goes with --input-file");
  if (!a.save.empty() && !a.input_file.empty()) fail(ErrorCode::usage, "pipeline: --save goes with an input, not with --input-file");
  if (a.input_file.empty() && a.inputs.empty() && !entry.inputs) fail(ErrorCode::usage, "pipeline {}: give an input ({}, or - for standard input)", entry.name, entry.input);
  if (!a.endpoint.empty() || !hosted_name(a.model).empty()) return run_remotely(entry, asked, a);
  std::string model = a.model;
  if (model.empty()) {
    if (!entry.default_model) fail(ErrorCode::usage, "pipeline {}: name a model with --model; {}", entry.name, entry.suggestion);
    model = entry.default_model;
  }
  LoadOptions load;
  load.precision = a.precision;
  load.name = model;
  const auto task = tasks::open_task(entry, asked, model_path(model), load);
  const Pipeline pipe(task);
  return a.input_file.empty() ? run_inputs(*task, pipe, a, wrapped) : run_file(pipe, entry, a);
}

}  // namespace mynah::app
