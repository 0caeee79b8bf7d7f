#include "serve/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "mynah/error.h"

namespace mynah::serve {
namespace {

// Fields whose strings may be files in base64.
bool holds_media(std::string_view key) {
  static constexpr std::string_view kKeys[] = {"images", "image", "url", "data", "inputs", "audio", "file_data", "file", "image_data", "data_url"};
  return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
}

bool is_base64(std::string_view text) {
  if (text.starts_with("data:")) text.remove_prefix(std::min(text.size(), std::min<size_t>(text.find(','), 200) + 1));
  return text.size() > 1024 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/' || c == '=' || c == '-' || c == '_' || c == '\n' || c == '\r';
         });
}

// One pass over the text: depth, number of values, bytes without media. Keys are what stands before a colon.
void check_limits(std::string_view body, const JsonLimits& limits) {
  int depth = 0;
  size_t values = 0, media = 0;
  std::string_view key, last;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (c == '"') {
      const size_t begin = ++i;
      while (i < body.size() && body[i] != '"') i += body[i] == '\\' ? 2 : 1;
      last = body.substr(begin, std::min(i, body.size()) - begin);
      if (last.size() > 1024 && holds_media(key) && is_base64(last)) media += last.size();
    } else if (c == ':') {
      key = last;
    } else if (c == '{' || c == '[') {
      ++values;
      if (++depth > limits.depth) throw ApiError(400, fmt::format("the JSON is nested deeper than {}", limits.depth));
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ',') {
      ++values;
    }
  }
  if (body.size() - media > limits.text_bytes) throw ApiError(413, fmt::format("the body is larger than {} bytes", limits.text_bytes));
  // Each comma and each container stands for one value more.
  if (values > limits.values) throw ApiError(400, fmt::format("the JSON holds more than {} values", limits.values));
}

}  // namespace

Json parse_request_value(std::string_view body, const JsonLimits& limits) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) throw ApiError(400, "missing request body");
  check_limits(body, limits);
  try {
    return parse_json(body, "request");
  } catch (const Error& e) {
    throw ApiError(400, e.what());
  }
}

Json parse_request(std::string_view body, const JsonLimits& limits) {
  Json json = parse_request_value(body, limits);
  if (!json.is_object()) throw ApiError(400, "request: the body is not a JSON object");
  return json;
}

const Json* Fields::find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void Fields::wrong(std::string_view name, std::string_view expected) const {
  throw ApiError(400, fmt::format("option \"{}{}\" must be of type {}", where_, name, expected), where_ + std::string(name));
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  int64_t value = 0;
  if (v->is_number_unsigned()) {
    const uint64_t large = v->get<uint64_t>();
    value = large > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(large);
  } else if (v->is_number_integer()) {
    value = v->get<int64_t>();
  } else if (v->is_number_float() && std::abs(v->get<double>()) < 9e15 && v->get<double>() == std::floor(v->get<double>())) {
    value = static_cast<int64_t>(v->get<double>());
  } else {
    wrong(name, "integer");
  }
  if (value < low || value > high)
    throw ApiError(400, fmt::format("option \"{}{}\" is {}, expected {}", where_, name, value,
                                    high == std::numeric_limits<int64_t>::max() ? fmt::format("at least {}", low) : fmt::format("{} to {}", low, high)), where_ + std::string(name));
  return value;
}

std::optional<double> Fields::number(std::string_view name, double low, double high) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  if (!v->is_number()) wrong(name, "float32");
  const double value = v->get<double>();
  if (!(value >= low && value <= high))
    throw ApiError(400, fmt::format("option \"{}{}\" is {}, expected {}", where_, name, value,
                                    high == std::numeric_limits<double>::max() ? fmt::format("at least {}", low) : fmt::format("{} to {}", low, high)), where_ + std::string(name));
  return value;
}

std::optional<bool> Fields::boolean(std::string_view name) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  if (!v->is_boolean()) wrong(name, "boolean");
  return v->get<bool>();
}

std::optional<std::string> Fields::text(std::string_view name) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  if (!v->is_string()) wrong(name, "string");
  return v->get<std::string>();
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view name) const {
  const Json* v = find(name);
  if (!v) return std::nullopt;
  std::vector<std::string> out;
  if (v->is_string()) {
    out.push_back(v->get<std::string>());
  } else if (v->is_array()) {
    for (const Json& item : *v) {
      if (!item.is_string()) wrong(name, "string or array of strings");
      out.push_back(item.get<std::string>());
    }
  } else {
    wrong(name, "string or array of strings");
  }
  return out;
}

const Json* Fields::object(std::string_view name) const {
  const Json* v = find(name);
  if (v && !v->is_object()) wrong(name, "object");
  return v;
}

const Json* Fields::array(std::string_view name) const {
  const Json* v = find(name);
  if (v && !v->is_array()) wrong(name, "array");
  return v;
}

void Fields::refuse(std::string_view name, std::string_view why) const {
  if (has(name)) throw ApiError(400, fmt::format("\"{}{}\" is not supported: {}", where_, name, why), where_ + std::string(name));
}

}  // namespace mynah::serve
