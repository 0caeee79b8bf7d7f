#include "bundle/convert_sampling.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "bundle/bundle.h"
#include "bundle/some_of.h"
#include "mynah/json.h"

namespace mynah::bundle {
namespace {

struct Key {
  const char* setting;  // in generation_config.json
  const char* gguf;
  bool integer = false;
  double otherwise = 0;  // what a model that samples has when it says nothing; 0: then nothing is written
};
constexpr Key kKeys[] = {{"temperature", "general.sampling.temp", false, 1.0},
                         {"top_k", "general.sampling.top_k", true, 50},
                         {"top_p", "general.sampling.top_p", false, 1.0},
                         {"min_p", "general.sampling.min_p"},
                         {"repetition_penalty", "general.sampling.penalty_repeat"}};

// Ids have keys of their own or of the architecture; the others are the files' own affairs.
constexpr std::string_view kElsewhere[] = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample", "transformers_version", "_from_model_config"};

bool is_number(const Json& settings, const char* name) { return settings.contains(name) && settings[name].is_number(); }

}  // namespace

void sampling_to_gguf(const Json& g, const std::string& where, formats::GgufWriter* writer) {
  const bool samples = g.contains("do_sample") && g["do_sample"].is_boolean() && g["do_sample"].get<bool>();
  bool says = g.contains("do_sample");
  std::vector<std::string> lost;
  for (const Key& key : kKeys) {
    const bool given = is_number(g, key.setting), sampling = std::string_view(key.setting) != "repetition_penalty";
    if (sampling && !samples) {
      says = says || given;
      if (given) lost.emplace_back(key.setting);
    } else if (given || (samples && key.otherwise != 0)) {
      const double value = given ? g[key.setting].get<double>() : key.otherwise;
      if (key.integer) writer->set(key.gguf, static_cast<int32_t>(std::clamp(value, 0.0, 1e9)));
      else writer->set(key.gguf, static_cast<float>(value));
    }
  }
  if (says && !samples) writer->set(kKeys[0].gguf, 0.0f);
  for (const auto& [name, value] : g.items()) {
    const bool kept = std::any_of(std::begin(kKeys), std::end(kKeys), [&](const Key& key) { return name == key.setting; }) ||
                      std::find(std::begin(kElsewhere), std::end(kElsewhere), name) != std::end(kElsewhere);
    if (!kept && !value.is_null()) lost.push_back(name);
  }
  if (!lost.empty()) warn("{}: generation settings that have no place in a GGUF file are left out: {}", where, some_of(lost));
}

Json sampling_of(const formats::GgufFile& file) {
  Json g = Json::object();
  bool samples = false;
  for (const Key& key : kKeys) {
    const auto* value = file.find(key.gguf);
    if (!value) continue;
    if (key.integer) g[key.setting] = value->as_int();
    else g[key.setting] = as_written(static_cast<float>(value->as_float()));
    samples = samples || std::string_view(key.setting) != "repetition_penalty";
  }
  if (!samples) return g;
  const bool greedy = g.contains("temperature") && g["temperature"] == 0.0;
  if (greedy) g.erase("temperature");
  g["do_sample"] = !greedy;
  return g;
}

}  // namespace mynah::bundle
