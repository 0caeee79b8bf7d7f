// Reading the JSON of requests: limits before parsing, typed fields after it. What has the wrong type is refused by name.
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/dialect.h"

namespace mynah::serve {

struct JsonLimits {
  size_t text_bytes = 4 << 20;  // media in base64 is not counted
  int depth = 64;
  size_t values = 100000;
};

// Parses a request's body, which must be an object. Throws ApiError: 413 for too much, 400 for what is no JSON.
Json parse_request(std::string_view body, const JsonLimits& limits = {});
// The same for any JSON value.
Json parse_request_value(std::string_view body, const JsonLimits& limits = {});

// The fields of one object. null counts as absent. Errors are ApiErrors with status 400 that name the field.
class Fields {
 public:
  // `where` comes before names in messages: "options."
  explicit Fields(const Json& object, std::string where = {}) : object_(object), where_(std::move(where)) {}

  const Json* find(std::string_view name) const;  // null for an absent or null field
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::optional<int64_t> integer(std::string_view name, int64_t low = std::numeric_limits<int64_t>::min(), int64_t high = std::numeric_limits<int64_t>::max()) const;
  std::optional<double> number(std::string_view name, double low = -std::numeric_limits<double>::max(), double high = std::numeric_limits<double>::max()) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<std::string> text(std::string_view name) const;
  std::string text_or(std::string_view name, std::string otherwise) const { return text(name).value_or(std::move(otherwise)); }
  // A string or an array of strings.
  std::optional<std::vector<std::string>> texts(std::string_view name) const;
  const Json* object(std::string_view name) const;
  const Json* array(std::string_view name) const;
  // Throws when a known field that is not supported asks for something.
  void refuse(std::string_view name, std::string_view why) const;
  [[noreturn]] void wrong(std::string_view name, std::string_view expected) const;
  const Json& json() const { return object_; }

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace mynah::serve
