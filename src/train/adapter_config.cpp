#include "train/adapter_config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <regex>

#include "base/file.h"
#include "base/require.h"
#include "nn/config.h"

namespace mynah::train {
namespace {

// A text or a list of texts.
std::vector<std::string> strings(const Json& json, const char* key, const std::string& where) {
  std::vector<std::string> all;
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return all;
  if (it->is_string()) all.push_back(it->get<std::string>());
  else if (it->is_array() && std::all_of(it->begin(), it->end(), [](const Json& v) { return v.is_string(); })) all = it->get<std::vector<std::string>>();
  else fail(ErrorCode::failure, "{}: {} is {}, expected texts", where, key, it->dump());
  return all;
}

bool is_text(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string();
}

bool matches_pattern(const std::string& text, const std::string& expression) {
  try {
    return std::regex_match(text, std::regex(expression));
  } catch (const std::regex_error& error) {
    fail(ErrorCode::failure, "\"{}\" is no regular expression: {}", expression, error.what());
  }
}

// The first number that is a part of a path of its own: the layer.
int64_t layer_of(const std::string& module) {
  for (size_t at = 0; at < module.size();) {
    const size_t end = std::min(module.find('.', at), module.size());
    int64_t layer = 0;
    const auto [stop, error] = std::from_chars(module.data() + at, module.data() + end, layer);
    if (end > at && error == std::errc() && stop == module.data() + end) return layer;
    at = end + 1;
  }
  return -1;
}

}  // namespace

bool is_module(const std::string& path, const std::string& name) { return path == name || path.ends_with("." + name); }

Json read_adapter_json(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "adapter_config.json"))
    fail(ErrorCode::not_found, "{}: no adapter_config.json; expected an adapter folder as PEFT writes it", folder.string());
  Json json = read_json_file(folder / "adapter_config.json");
  require(json.is_object(), "{}: adapter_config.json is not a JSON object", folder.string());
  const std::string type = nn::config_string(json, "peft_type", "LORA");
  require(type == "LORA", "{}: peft_type is {}, expected LORA", folder.string(), type);
  return json;
}

AdapterConfig::AdapterConfig(const Json& json, const std::string& where) {
  for (const char* key : {"use_qalora", "use_bdlora", "megatron_config", "layer_replication", "target_parameters", "alora_invocation_tokens", "trainable_token_indices"}) {
    const auto it = json.find(key);
    require(it == json.end() || it->is_null() || it->empty() || *it == false, "{}: {} is not supported", where, key);
  }
  r_ = nn::config_int(json, "r", 8);
  alpha_ = nn::config_number(json, "lora_alpha", 8);
  dropout = nn::config_number(json, "lora_dropout", 0);
  use_rslora_ = nn::config_bool(json, "use_rslora", false);
  use_dora = nn::config_bool(json, "use_dora", false);
  fan_in_fan_out = nn::config_bool(json, "fan_in_fan_out", false);
  bias = nn::config_string(json, "bias", "none");
  require(bias == "none" || bias == "all" || bias == "lora_only", "{}: bias is {}, expected none, all or lora_only", where, bias);
  require(r_ > 0, "{}: r is {}, expected more than 0", where, r_);
  require(dropout >= 0 && dropout < 1, "{}: lora_dropout is {}, expected 0 or more and below 1", where, dropout);
  if (const auto it = json.find("init_lora_weights"); it != json.end() && !it->is_null()) init = it->is_boolean() ? (it->get<bool>() ? "true" : "false") : it->dump();
  targets = strings(json, "target_modules", where);
  targets_are_pattern_ = is_text(json, "target_modules") && targets[0] != "all-linear";
  excluded_ = strings(json, "exclude_modules", where);
  excluded_are_pattern_ = is_text(json, "exclude_modules");
  saved = strings(json, "modules_to_save", where);
  if (const auto it = json.find("layers_to_transform"); it != json.end() && !it->is_null()) {
    if (it->is_number_integer()) layers_ = {it->get<int64_t>()};
    else if (it->is_array() && std::all_of(it->begin(), it->end(), [](const Json& v) { return v.is_number_integer(); })) layers_ = it->get<std::vector<int64_t>>();
    else fail(ErrorCode::failure, "{}: layers_to_transform is {}, expected whole numbers", where, it->dump());
  }
  ranks_ = pattern(json, "rank_pattern", where);
  alphas_ = pattern(json, "alpha_pattern", where);
}

AdapterConfig::Pattern AdapterConfig::pattern(const Json& json, const char* key, const std::string& where) {
  Pattern all;
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return all;
  require(it->is_object(), "{}: {} is {}, expected an object", where, key, it->dump());
  for (const auto& [name, value] : it->items()) {
    require(value.is_number() && value.get<double>() > 0, "{}: {} of {} is {}, expected a number above 0", where, key, name, value.dump());
    all.emplace_back(name, value.get<double>());
  }
  return all;
}

double AdapterConfig::find(const Pattern& pattern, const std::string& module, double fallback) {
  for (const auto& [key, value] : pattern)
    if (matches_pattern(module, "(.*\\.)?(" + key + ")")) return value;
  return fallback;
}

bool AdapterConfig::matches(const std::string& module) const {
  const auto among = [&](const std::vector<std::string>& names, bool is_pattern) {
    if (is_pattern) return matches_pattern(module, names[0]);
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return is_module(module, name); });
  };
  if (!excluded_.empty() && among(excluded_, excluded_are_pattern_)) return false;
  if (targets.size() == 1 && targets[0] == "all-linear") {
    static const std::vector<std::string> no = {"lm_head", "embed_tokens", "wte", "wpe", "shared", "score", "classifier", "qa_outputs", "word_embeddings"};
    return !among(no, false);
  }
  if (!among(targets, targets_are_pattern_)) return false;
  return layers_.empty() || std::find(layers_.begin(), layers_.end(), layer_of(module)) != layers_.end();
}

std::vector<std::string> AdapterConfig::unmatched_targets(const std::vector<std::string>& modules) const {
  std::vector<std::string> none;
  if (targets_are_pattern_ || (targets.size() == 1 && targets[0] == "all-linear")) return none;
  for (const std::string& name : targets)
    if (std::none_of(modules.begin(), modules.end(), [&](const std::string& module) { return is_module(module, name); })) none.push_back(name);
  return none;
}

int64_t AdapterConfig::rank(const std::string& module) const { return static_cast<int64_t>(find(ranks_, module, static_cast<double>(r_))); }

double AdapterConfig::scale(const std::string& module) const {
  const auto r = static_cast<double>(rank(module));
  return find(alphas_, module, alpha_) / (use_rslora_ ? std::sqrt(r) : r);
}

bool AdapterConfig::trains(const std::string& weight) const {
  const std::string module = weight.substr(0, std::min(weight.rfind('.'), weight.size()));
  for (const std::string& name : saved)
    if (is_module(module, name) || module.find(name + ".") == 0 || module.find("." + name + ".") != std::string::npos) return true;
  return weight.ends_with(".bias") && (bias == "all" || (bias == "lora_only" && matches(module)));
}

// PEFT keeps the bias of a module with an adapter in the module that the adapter wraps.
std::string AdapterConfig::name_of_whole(const std::string& weight) const {
  const std::string module = weight.substr(0, std::min(weight.rfind('.'), weight.size()));
  if (bias != "none" && weight.ends_with(".bias") && matches(module)) return kAdapterPrefix + module + ".base_layer.bias";
  return kAdapterPrefix + weight;
}

}  // namespace mynah::train
