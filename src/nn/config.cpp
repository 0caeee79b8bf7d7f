#include "nn/config.h"

#include <algorithm>

#include "base/edit_distance.h"
#include "base/require.h"
#include "mynah/json.h"

namespace mynah::nn {
namespace {

thread_local ConfigKeys* noted = nullptr;

const Json* find(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (noted) noted->note(key, it != config.end());
  return it == config.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

int64_t config_int(const Json& config, const char* key, std::optional<int64_t> otherwise, int64_t low, int64_t high) {
  const Json* v = find(config, key);
  if (!v) {
    require(otherwise.has_value(), "config.json: {} is missing", key);
    return *otherwise;
  }
  require(v->is_number_integer() && v->get<double>() >= static_cast<double>(low) && v->get<double>() <= static_cast<double>(high),
          "config.json: {} is {}, expected an integer from {} to {}", key, v->dump(), low, high);
  return v->get<int64_t>();
}

std::vector<int64_t> config_ints(const Json& config, const char* key, std::vector<int64_t> otherwise) {
  const Json* v = find(config, key);
  if (!v) return otherwise;
  const bool integers = v->is_array() && !v->empty() && std::all_of(v->begin(), v->end(), [](const Json& e) {
    return e.is_number_integer() && e.get<int64_t>() > 0 && e.get<int64_t>() < (int64_t{1} << 31);
  });
  require(integers, "config.json: {} is {}, expected a list of positive integers", key, v->dump());
  return v->get<std::vector<int64_t>>();
}

std::array<int64_t, 2> config_pair(const Json& config, const char* key, int64_t otherwise) {
  const Json* v = find(config, key);
  if (!v || !v->is_array()) return {config_int(config, key, otherwise), config_int(config, key, otherwise)};
  const auto pair = config_ints(config, key, {});
  require(pair.size() == 2, "config.json: {} is {}, expected a positive number or two", key, v->dump());
  return {pair[0], pair[1]};
}

double config_number(const Json& config, const char* key, std::optional<double> otherwise) {
  const Json* v = find(config, key);
  if (!v) {
    require(otherwise.has_value(), "config.json: {} is missing", key);
    return *otherwise;
  }
  require(v->is_number(), "config.json: {} is {}, expected a number", key, v->dump());
  return v->get<double>();
}

bool config_bool(const Json& config, const char* key, bool otherwise) {
  const Json* v = find(config, key);
  if (!v) return otherwise;
  require(v->is_boolean(), "config.json: {} is {}, expected true or false", key, v->dump());
  return v->get<bool>();
}

Json with_defaults(Json config, const Json& defaults) {
  for (const auto& [key, value] : defaults.items()) {
    if (noted) noted->note(key, config.contains(key));
    if (!config.contains(key)) config[key] = value;
  }
  return config;
}

std::string config_string(const Json& config, const char* key, const std::string& otherwise) {
  const Json* v = find(config, key);
  if (!v) return otherwise;
  require(v->is_string(), "config.json: {} is {}, expected a string", key, v->dump());
  return v->get<std::string>();
}

ConfigKeys::ConfigKeys() : outer_(noted) { noted = this; }
ConfigKeys::~ConfigKeys() { noted = outer_; }

std::string ConfigKeys::meant_by(const std::string& key) const {
  constexpr size_t kShortest = 6, kNear = 2;
  if (key.size() < kShortest || found_.contains(key) || missing_.contains(key)) return "";
  for (const std::string& name : missing_)
    if (name.size() >= kShortest && !found_.contains(name) && edit_distance(key, name) <= kNear) return name;
  return "";
}

}  // namespace mynah::nn
