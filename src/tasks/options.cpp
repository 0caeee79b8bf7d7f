#include "tasks/options.h"

#include <algorithm>

#include "base/require.h"
#include "base/suggest.h"

namespace mynah::tasks {
namespace {

const TaskOption* find_option(const TaskEntry& entry, const std::string& name) {
  for (const TaskOption& option : entry.options)
    if (name == option.name) return &option;
  return nullptr;
}

bool is_texts(const Json& value) {
  return value.is_string() || (value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); }));
}

// What is expected of the option, or nullptr if the value is that.
const char* expected_other(OptionType type, const Json& value) {
  switch (type) {
    case OptionType::text: return value.is_string() ? nullptr : "a text";
    case OptionType::integer: return value.is_number_integer() ? nullptr : "an integer";
    case OptionType::integer_or_none: return value.is_number_integer() || value.is_null() ? nullptr : "an integer or none";
    case OptionType::number: return value.is_number() ? nullptr : "a number";
    case OptionType::boolean: return value.is_boolean() ? nullptr : "true or false";
    case OptionType::names:
    case OptionType::texts: return is_texts(value) ? nullptr : "a text or a list of texts";
    case OptionType::table: return value.is_structured() ? nullptr : "a table, {\"COLUMN\": [cells]} or [{\"COLUMN\": cell}]";
    case OptionType::json: return nullptr;
  }
  return nullptr;
}

}  // namespace

void check_options(const TaskEntry& entry, const Json& options) {
  if (!options.is_object()) fail(ErrorCode::usage, "{}: the options are {}, expected an object", entry.name, options.dump());
  for (const auto& [name, value] : options.items()) {
    if (const TaskOption* option = find_option(entry, name)) {
      if (value.is_null()) continue;
      if (const char* expected = expected_other(option->type, value)) fail(ErrorCode::usage, "{}: {} is {}, expected {}", entry.name, name, value.dump(), expected);
      continue;
    }
    if (entry.generates) continue;  // generation checks the settings that are its own
    std::vector<std::string> known;
    for (const TaskOption& option : entry.options) known.emplace_back(option.name);
    fail(ErrorCode::usage, "{}: {} is not one of its options{}", entry.name, name, did_you_mean(name, known));
  }
}

bool has(const Json& options, const char* name) { return options.contains(name); }

bool boolean(const Json& options, const char* name, bool otherwise) {
  const auto it = options.find(name);
  return it == options.end() || it->is_null() ? otherwise : it->get<bool>();
}

int64_t integer(const Json& options, const char* name, int64_t otherwise, int64_t low) {
  const auto it = options.find(name);
  if (it == options.end() || it->is_null()) return otherwise;
  const auto value = it->get<int64_t>();
  if (value < low) fail(ErrorCode::usage, "{} is {}, expected {} or more", name, value, low);
  return value;
}

double number(const Json& options, const char* name, double otherwise) {
  const auto it = options.find(name);
  return it == options.end() || it->is_null() ? otherwise : it->get<double>();
}

std::optional<std::string> text(const Json& options, const char* name) {
  const auto it = options.find(name);
  if (it == options.end() || it->is_null()) return std::nullopt;
  return it->get<std::string>();
}

std::vector<std::string> texts(const Json& options, const char* name) {
  const auto it = options.find(name);
  if (it == options.end() || it->is_null()) return {};
  if (it->is_string()) return {it->get<std::string>()};
  return it->get<std::vector<std::string>>();
}

Json generation_settings(const TaskEntry& entry, const Json& options) {
  Json settings = Json::object();
  for (const auto& [name, value] : options.items())
    if (!find_option(entry, name)) settings[name] = value;
  return settings;
}

}  // namespace mynah::tasks
