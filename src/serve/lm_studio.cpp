// LM Studio's REST API, version 0: models, and OpenAI's routes with statistics.
#include "serve/openai.h"

namespace mynah::serve {
namespace {

Json model_json(const Call& call, const KnownModel& known) {
  Description d;
  try {
    d = describe(known.path);
  } catch (const std::exception&) {
    return {};
  }
  bool loaded = false;
  for (const auto& m : call.service.models.loaded()) loaded |= m.path == known.path;
  const auto slash = known.name.find('/');
  Json capabilities = Json::array();
  if (d.tools) capabilities.push_back("tool_use");
  return {{"id", known.name}, {"object", "model"}, {"type", d.generates ? "llm" : "embeddings"}, {"publisher", slash == std::string::npos ? "" : known.name.substr(0, slash)}, {"arch", d.family},
          {"compatibility_type", d.format}, {"quantization", d.quantisation}, {"state", loaded ? "loaded" : "not-loaded"}, {"max_context_length", d.context_length}, {"capabilities", capabilities}};
}

void models(Call& call) {
  Json all = Json::array();
  const auto add = [&](const KnownModel& known) {
    if (Json json = model_json(call, known); !json.is_null()) all.push_back(std::move(json));
  };
  for (const auto& known : call.service.models.served())
    if (!known.stored) add(known);
  const auto& store = call.service.models.store();
  for (const auto& m : store.list()) {
    try {
      add({m.name, store.materialise(m), m});
    } catch (const Error&) {  // damaged: not listed
    }
  }
  call.send_json({{"object", "list"}, {"data", all}});
}

void model(Call& call) {
  const Json json = model_json(call, call.service.models.find(call.path[0]));
  if (json.is_null()) throw ApiError(500, "the model cannot be opened");
  call.send_json(json);
}

}  // namespace

std::span<const Route> lm_studio_routes() {
  static const Route routes[] = {{"GET", "/api/v0/models", models}, {"GET", "/api/v0/models/{...}", model}, {"POST", "/api/v0/chat/completions", openai_chat}, {"POST", "/api/v0/completions", openai_completions}};
  return routes;
}

}  // namespace mynah::serve
