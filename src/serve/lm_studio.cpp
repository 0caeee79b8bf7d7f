// LM Studio's REST API, version 0: models, and OpenAI's routes with statistics.
#include <fmt/core.h>

#include "serve/openai.h"

namespace mynah::serve {
namespace {

// Its models have the types llm, vlm and embeddings; others (voices, say) are not listed.
Json lm_studio_model_json(const Call& call, const KnownModel& known, const Description& d) {
  bool loaded = false;
  for (const auto& m : call.service.models.loaded()) loaded |= m.path == known.path;
  const auto slash = known.name.find('/');
  Json capabilities = Json::array();
  if (d.tools) capabilities.push_back("tool_use");
  return {{"id", known.name}, {"object", "model"}, {"type", d.sees ? "vlm" : d.generates ? "llm" : "embeddings"}, {"publisher", slash == std::string::npos ? "" : known.name.substr(0, slash)}, {"arch", d.family},
          {"compatibility_type", d.format}, {"quantization", d.quantisation}, {"state", loaded ? "loaded" : "not-loaded"}, {"max_context_length", d.context_length}, {"capabilities", capabilities}};
}

void lm_studio_models(Call& call) {
  Json all = Json::array();
  call.service.models.each_described([&](const KnownModel& known, const Description& d) {
    if (d.knows_language()) all.push_back(lm_studio_model_json(call, known, d));
  });
  call.send_json({{"object", "list"}, {"data", all}});
}

void lm_studio_model(Call& call) {
  const KnownModel known = call.service.models.find(call.path[0]);
  const Description d = describe(known.path);
  if (!d.knows_language()) throw ApiError(404, fmt::format("\"{}\" is neither a language model nor one of embeddings", known.name), "model");
  call.send_json(lm_studio_model_json(call, known, d));
}

}  // namespace

std::span<const Route> lm_studio_routes() {
  static const Route routes[] = {{"GET", "/api/v0/models", lm_studio_models, Scope::any}, {"GET", "/api/v0/models/{...}", lm_studio_model, Scope::any}, {"POST", "/api/v0/chat/completions", openai_chat}, {"POST", "/api/v0/completions", openai_completions}};
  return routes;
}

}  // namespace mynah::serve
