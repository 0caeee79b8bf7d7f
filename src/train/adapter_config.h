// adapter_config.json of a PEFT folder: which modules have low-rank adapters, of which rank and scale, and what is trained beside them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace mynah::train {

class AdapterConfig {
 public:
  AdapterConfig() = default;
  // Throws failure for a setting that is not supported, naming `where` and it.
  AdapterConfig(const Json& json, const std::string& where);

  double dropout = 0;
  bool use_dora = false, fan_in_fan_out = false;
  std::string init = "true";               // of new adapters: true, false or gaussian
  std::string bias = "none";               // which biases are trained: none, all, lora_only
  std::vector<std::string> targets, saved;  // target_modules, modules_to_save

  // Whether a module of this path has an adapter, of which rank, and what its product is multiplied by.
  bool matches(const std::string& module) const;
  // Names of `targets` that none of these modules has; of a pattern and of all-linear none.
  std::vector<std::string> unmatched_targets(const std::vector<std::string>& modules) const;
  int64_t rank(const std::string& module) const;
  double scale(const std::string& module) const;
  // Whether a weight of the network is trained whole.
  bool trains(const std::string& weight) const;
  // The name in adapter_model.safetensors of a weight that is trained whole.
  std::string name_of_whole(const std::string& weight) const;

 private:
  using Pattern = std::vector<std::pair<std::string, double>>;  // regular expressions of module paths
  static Pattern pattern(const Json& json, const char* key, const std::string& where);
  static double find(const Pattern& pattern, const std::string& module, double fallback);

  int64_t r_ = 8;
  double alpha_ = 8;
  bool use_rslora_ = false, targets_are_pattern_ = false, excluded_are_pattern_ = false;
  std::vector<std::string> excluded_;
  std::vector<int64_t> layers_;  // empty: all
  Pattern ranks_, alphas_;
};

// What the names of all tensors in adapter_model.safetensors begin with.
inline constexpr const char* kAdapterPrefix = "base_model.model.";

// Whether a path ends with a module of this name.
bool is_module(const std::string& path, const std::string& name);

// Throws not_found without the file, failure for another kind of adapter.
Json read_adapter_json(const std::filesystem::path& folder);

}  // namespace mynah::train
