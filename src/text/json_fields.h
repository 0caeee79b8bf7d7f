// Reading fields of the small JSON objects that describe a tokenizer's parts, with errors that name the field.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/require.h"

namespace mynah::text {

// The field, or null when it is missing or null.
inline const Json* find_field(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

inline const Json& need_field(const Json& object, const char* name) {
  const Json* field = find_field(object, name);
  if (!field) fail(ErrorCode::integrity, "tokenizer: the field '{}' is missing", name);
  return *field;
}

inline bool bool_field(const Json& object, const char* name, bool fallback) {
  const Json* field = find_field(object, name);
  if (!field) return fallback;
  if (!field->is_boolean()) fail(ErrorCode::integrity, "tokenizer: the field '{}' is not true or false", name);
  return field->get<bool>();
}

inline std::string string_value(const Json& value, const char* name) {
  if (!value.is_string()) fail(ErrorCode::integrity, "tokenizer: the field '{}' is not a string", name);
  return value.get<std::string>();
}

inline std::string string_field(const Json& object, const char* name, const char* fallback) {
  const Json* field = find_field(object, name);
  return field ? string_value(*field, name) : fallback;
}

inline int64_t integer_value(const Json& value, const char* name, int64_t least, int64_t most) {
  if (value.is_number_integer()) {
    const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
    const int64_t number = huge ? INT64_MAX : value.get<int64_t>();
    if (number >= least && number <= most) return number;
  }
  fail(ErrorCode::integrity, "tokenizer: the field '{}' is not a whole number from {} to {}", name, least, most);
}

inline int64_t integer_field(const Json& object, const char* name, int64_t fallback, int64_t least, int64_t most) {
  const Json* field = find_field(object, name);
  return field ? integer_value(*field, name, least, most) : fallback;
}

inline const Json& array_field(const Json& object, const char* name) {
  const Json& field = need_field(object, name);
  if (!field.is_array()) fail(ErrorCode::integrity, "tokenizer: the field '{}' is not a list", name);
  return field;
}

// A text from a file as an error message may show it: one line of printable ASCII, shortened.
std::string shown(std::string_view text);

// A field that holds exactly one Unicode character.
char32_t character_field(const Json& object, const char* name, char32_t fallback);

}  // namespace mynah::text
