// Reading fields of a Hugging Face config.json with a type and a clear error.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::nn {

// null counts as absent. Throw failure when the field is missing without a default, has another type or lies outside the range.
int64_t config_int(const Json& config, const char* key, std::optional<int64_t> otherwise = {}, int64_t low = 1, int64_t high = int64_t{1} << 31);
std::vector<int64_t> config_ints(const Json& config, const char* key, std::vector<int64_t> otherwise);  // positive ones, at least one
// One number for both, or a list of two.
std::array<int64_t, 2> config_pair(const Json& config, const char* key, int64_t otherwise);
double config_number(const Json& config, const char* key, std::optional<double> otherwise = {});
bool config_bool(const Json& config, const char* key, bool otherwise);
// The config with `defaults` for what it does not name.
Json with_defaults(Json config, const Json& defaults);
std::string config_string(const Json& config, const char* key, const std::string& otherwise);

// Notes what this thread asks of configs while it lives, to tell keys that are misspelt.
class ConfigKeys {
 public:
  ConfigKeys();
  ~ConfigKeys();
  ConfigKeys(const ConfigKeys&) = delete;
  ConfigKeys& operator=(const ConfigKeys&) = delete;
  // The key that `key`, which nobody asked for, was perhaps meant to be: one that was asked for in vain, a letter or two away. Empty: none.
  std::string meant_by(const std::string& key) const;

  void note(const std::string& key, bool there) { (there ? found_ : missing_).insert(key); }

 private:
  std::set<std::string> found_, missing_;
  ConfigKeys* outer_;
};

}  // namespace mynah::nn
