#include "models/parts.h"

#include <algorithm>

#include "base/require.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

// Makes the first architecture of the family that `fits`.
std::unique_ptr<nn::Model> make_part(const Json& part, const nn::Weights& w, const char* what,
                                     bool (*fits)(std::string_view architecture)) {
  std::string type = nn::config_string(part, "model_type", "");
  Json config = part;
  for (const auto& [name, family, architecture] : {std::tuple{"clip_vision_model", "clip", "CLIPVisionModel"},
                                                   {"siglip_vision_model", "siglip", "SiglipVisionModel"}}) {
    if (type != name) continue;
    type = family;
    config["architectures"] = {architecture};
  }
  for (const ModelEntry* entry : models_entries()) {
    if (type != entry->model_type) continue;
    const auto architecture = std::find_if(entry->architectures.begin(), entry->architectures.end(), fits);
    if (architecture == entry->architectures.end()) break;
    if (config.value("model_type", "") == type) config["architectures"] = {*architecture};
    return entry->make(config, w);
  }
  fail(ErrorCode::failure, "config.json: model_type \"{}\" is not known as {}", type, what);
}

}  // namespace

Json config_part(const Json& config, const char* key, const char* model_type) {
  const auto it = config.find(key);
  Json part = it == config.end() || it->is_null() ? Json::object() : *it;
  require(part.is_object(), "config.json: {} is {}, expected an object", key, part.dump());
  if (!part.contains("model_type")) part["model_type"] = model_type;
  return part;
}

std::unique_ptr<nn::Model> make_text_model(const Json& part, const nn::Weights& w) {
  return make_part(part, w, "a text model",
                   [](std::string_view name) { return name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel"); });
}

std::unique_ptr<nn::Model> make_image_tower(const Json& part, const nn::Weights& w) {
  return make_part(part, w, "an image tower", [](std::string_view name) { return name.ends_with("Model"); });
}

}  // namespace mynah
