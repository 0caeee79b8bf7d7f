#include "task_arguments.h"

#include <algorithm>
#include <charconv>

#include "base/require.h"
#include "base/suggest.h"
#include "boolean_words.h"
#include "cli.h"
#include "data/rows.h"
#include "generation_options.h"
#include "open_model.h"

namespace mynah::app {
namespace {

using tasks::OptionType;
using tasks::TaskOption;

std::string kebab(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

const char* value_name(OptionType type) {
  switch (type) {
    case OptionType::integer: return "N";
    case OptionType::integer_or_none: return "N|none";
    case OptionType::number: return "X";
    case OptionType::names: return "A,B";
    case OptionType::json: return "JSON";
    case OptionType::table: return "FILE|JSON";
    default: return "TEXT";
  }
}

std::vector<std::string> trimmed_names(const std::string& text) {
  std::vector<std::string> names;
  for (const std::string& part : cli::split(text, ',')) {
    const size_t begin = part.find_first_not_of(" \t\n"), end = part.find_last_not_of(" \t\n");
    if (begin != std::string::npos) names.push_back(part.substr(begin, end - begin + 1));
  }
  return names;
}

int64_t whole_number(const TaskOption& option, const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail(ErrorCode::usage, "{}: \"{}\" is not an integer", kebab(option.name), text);
  return value;
}

// A table as JSON, or from a file: .json holds it whole, .csv and .jsonl have a row a line.
Json table_value(const TaskOption& option, const std::string& text) {
  if (text.starts_with('{') || text.starts_with('[')) {
    Json value = Json::parse(text, nullptr, false);
    if (value.is_discarded()) fail(ErrorCode::usage, "{}: this is neither JSON nor the name of a file: {:.80}", kebab(option.name), text);
    return value;
  }
  if (text.ends_with(".json")) return read_json_file(text);
  if (!text.ends_with(".csv") && !text.ends_with(".jsonl"))
    fail(ErrorCode::usage, "{}: {:.80} is neither JSON nor a .csv, .json or .jsonl file", kebab(option.name), text);
  Json rows = Json::array();
  data::for_each_row(text, [&](Json row, const std::string&) { rows.push_back(std::move(row)); });
  return rows;
}

void set_option(const TaskOption& option, const std::string& text, Json& options) {
  switch (option.type) {
    case OptionType::text: options[option.name] = text; break;
    case OptionType::integer: options[option.name] = whole_number(option, text); break;
    case OptionType::integer_or_none:
      options[option.name] = text == "none" || text == "None" || text == "null" ? Json() : Json(whole_number(option, text));
      break;
    case OptionType::number: {
      const Json value = Json::parse(text, nullptr, false);
      if (!value.is_number()) fail(ErrorCode::usage, "{}: \"{}\" is not a number", kebab(option.name), text);
      options[option.name] = value;
      break;
    }
    case OptionType::names: options[option.name] = trimmed_names(text); break;
    case OptionType::texts: options[option.name].push_back(text); break;
    case OptionType::json: {
      Json value = Json::parse(text, nullptr, false);
      options[option.name] = value.is_discarded() ? Json(text) : std::move(value);  // a bare word is a text
      break;
    }
    case OptionType::table: options[option.name] = table_value(option, text); break;
    case OptionType::boolean: break;
  }
}

// A command line for one task: the command's options, the task's, and those of generation.
class TaskCommand {
 public:
  explicit TaskCommand(const TaskEntry& entry) : entry_(entry), app_(std::string(entry.name) + ": " + entry.help, std::string("mynah pipeline ") + entry.name) {
    app_.set_help_flag();
    app_.add_flag("-h,--help", out_.help, "print this help");
    app_.add_option("--model", out_.model, entry.default_model ? fmt::format("folder, .gguf file or name ({})", entry.default_model) : "folder, .gguf file or name")->type_name("MODEL");
    app_.add_option("--endpoint", out_.endpoint, "let this server answer; hf:org/name as model means Hugging Face's")->type_name("URL");
    add_dtype_option(app_, out_.precision);
    app_.add_flag("--json", out_.json, "print the reference's JSON");
    app_.add_option("--input-file", out_.input_file, "inputs, one a line (.jsonl: JSON texts or objects)")->type_name("FILE");
    app_.add_option("--output-file", out_.output_file, "with --input-file: results, one JSON a line")->type_name("FILE");
    app_.add_option("--batch-size", out_.batch_size, "inputs of a file that are worked on together")->type_name("N")->check(cli::Range(1, 100000));
    if (entry.draw) app_.add_option("--save", out_.save, "write the picture with the result drawn into it (.png, .jpg)")->type_name("FILE");
    for (const TaskOption& option : entry.options) add(option);
    if (entry.generates) generation_.add(app_);
    app_.allow_extras();
    app_.footer(fmt::format("Input: {}; - is standard input.", entry.input));
  }

  TaskArguments parse(std::vector<std::string> words) {
    std::vector<std::string> flags = {"--do-sample", "--renormalize-logits", "--remove-invalid-values"};
    for (const TaskOption& option : entry_.options)
      if (option.type == OptionType::boolean) flags.push_back(kebab(option.name));
    words = join_boolean_values(words, flags);
    // What follows "--" is input whatever it looks like.
    const auto end = std::find(words.begin(), words.end(), "--");
    std::vector<std::string> last(end == words.end() ? end : end + 1, words.end());
    words.erase(end, words.end());
    std::reverse(words.begin(), words.end());
    try {
      app_.parse(words);
    } catch (const cli::ParseError& error) {
      fail(ErrorCode::usage, "pipeline {}: {}; see mynah pipeline {} --help", entry_.name, error.what(), entry_.name);
    }
    for (const std::string& word : app_.remaining()) take(word);
    out_.inputs.insert(out_.inputs.end(), last.begin(), last.end());
    out_.options.update(generation_.settings());
    return out_;
  }

  std::string help() const { return app_.help(); }

 private:
  void add(const TaskOption& option) {
    const std::string name = kebab(option.name);
    const std::string group = "Task";
    if (option.type == OptionType::boolean)
      app_.add_flag_function(name + "{true}", [this, key = std::string(option.name)](int64_t count) { out_.options[key] = count > 0; }, option.help)->group(group);
    else
      app_.add_option_function(name, [this, option](const std::string& text) { set_option(option, text, out_.options); }, option.help)
          ->type_name(value_name(option.type))
          ->group(group)
          ->trigger_on_parse();
  }

  void take(const std::string& word) {
    if (word.rfind("--", 0) != 0) {
      out_.inputs.push_back(word);
      return;
    }
    std::vector<std::string> known;
    for (const cli::Option& option : app_.get_options())
      for (const std::string& name : option.get_lnames()) known.push_back("--" + name);
    const std::string name = word.substr(0, word.find('='));
    fail(ErrorCode::usage, "pipeline {}: {} is not expected{}; see mynah pipeline {} --help", entry_.name, name, did_you_mean(name, known), entry_.name);
  }

  const TaskEntry& entry_;
  TaskArguments out_;
  GenerationOptions generation_;
  cli::App app_;
};

}  // namespace

TaskArguments parse_task_arguments(const TaskEntry& entry, const std::vector<std::string>& words) { return TaskCommand(entry).parse(words); }
std::string task_help(const TaskEntry& entry) { return TaskCommand(entry).help(); }

}  // namespace mynah::app
