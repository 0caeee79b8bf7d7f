// Hugging Face's Inference API: POST /models/ID and its relatives, and the routes of text-generation servers at the
// root and under every model.
#include <fmt/core.h>

#include <algorithm>

#include "serve/openai.h"
#include "serve/tasks.h"
#include "serve/text_generation.h"

namespace mynah::serve {
namespace {

// "org/name/pipeline/TASK", "org/name/generate" ...: the model and what follows it.
struct Target {
  std::string model, action, task;
};
Target target_of(std::string path) {
  Target t;
  if (const auto at = path.rfind("/pipeline/"); at != std::string::npos && at > 0) {
    t.task = path.substr(at + 10);
    path.resize(at);
  }
  for (const char* action : {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/generate_stream",
                             "/generate", "/chat_tokenize", "/tokenize", "/info", "/health"})
    if (path.ends_with(action) && path.size() > std::string_view(action).size()) {
      t.action = action + 1;
      path.resize(path.size() - std::string_view(action).size());
      break;
    }
  t.model = path;
  return t;
}

std::string own_model(const Call& call) {
  const std::string name = call.service.models.default_name();
  if (name.empty())
    throw ApiError(404, "the server has no model of its own: start it with --model, or ask at /models/NAME");
  return name;
}

KnownModel known_model(const Call& call, const std::string& name) {
  try {
    return call.service.models.find(name);
  } catch (const ApiError& error) {
    if (error.status == 404 && call.dialect == Dialect::hugging_face)
      throw ApiError(404, fmt::format("Model {} does not exist", name));
    throw;
  }
}

// Text-generation servers take a conversation at the same place as inputs.
bool is_conversation(const Call& call) {
  const std::string& text = call.request->body;
  if (text.find("\"messages\"") == std::string::npos) return false;  // most bodies are not read twice
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (text[first] != '{') return false;
  const Json body = call.body();
  const Fields f(body);
  return f.has("messages") && !f.has("inputs");
}

void run(Call& call, const std::string& name, const std::string& task) {
  known_model(call, name);
  if (task.empty() && is_conversation(call)) {
    call.path = {name};
    call.dialect = Dialect::openai;
    return openai_chat(call);
  }
  answer_task(call, name, task);
}

void post_model(Call& call) {
  const Target t = target_of(call.path[0]);
  if (t.action.empty()) return run(call, t.model, t.task);
  known_model(call, t.model);
  call.path = {t.model};
  if (t.action == "v1/chat/completions") return openai_chat(call);
  if (t.action == "v1/completions") return openai_completions(call);
  if (t.action == "v1/embeddings") return openai_embeddings(call);
  if (t.action == "generate") return tgi_generate(call, t.model, false);
  if (t.action == "generate_stream") return tgi_generate(call, t.model, true);
  if (t.action == "tokenize") return tgi_tokenize(call, t.model);
  if (t.action == "chat_tokenize") return tgi_chat_tokenize(call, t.model);
  throw ApiError(405, "this path takes GET");
}

Json state_json(const Call& call, const KnownModel& known) {
  bool loaded = false;
  for (const auto& m : call.service.models.loaded()) loaded |= m.path == known.path;
  return {{"loaded", loaded},
          {"state", loaded ? "Loaded" : "Loadable"},
          {"compute_type", "cpu"},
          {"framework", "transformers"}};
}

void get_model(Call& call) {
  const Target t = target_of(call.path[0]);
  const KnownModel known = known_model(call, t.model);
  if (t.action == "info") return tgi_info(call, t.model);
  if (t.action == "health") return call.send_json({{"status", "ok"}});
  if (!t.action.empty() || !t.task.empty()) throw ApiError(405, "this path takes POST");
  Json json = {{"id", known.name}, {"modelId", known.name}};
  json.update(state_json(call, known));
  call.send_json(json);
}

void get_status(Call& call) { call.send_json(state_json(call, known_model(call, call.path[0]))); }
void pipeline(Call& call) { run(call, call.path[1], call.path[0]); }
void hugging_face_root(Call& call) { run(call, own_model(call), ""); }
void root_generate(Call& call) { tgi_generate(call, own_model(call), false); }
void root_generate_stream(Call& call) { tgi_generate(call, own_model(call), true); }
void root_tokenize(Call& call) { tgi_tokenize(call, own_model(call)); }
void root_chat_tokenize(Call& call) { tgi_chat_tokenize(call, own_model(call)); }
void root_info(Call& call) { tgi_info(call, own_model(call)); }

void root_decode(Call& call) {
  const Json body = call.body();
  const Json* ids = Fields(body).array("ids");
  if (!ids) throw ApiError(422, "\"ids\" is missing");
  auto lease = call.acquire(own_model(call));
  if (!lease->model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  const bool skip = Fields(body).boolean("skip_special_tokens").value_or(true);
  Json all = Json::array();
  const bool nested = !ids->empty() && (*ids)[0].is_array();
  for (const Json& list : nested ? *ids : Json::array({*ids})) {
    std::vector<int32_t> row;
    for (const Json& id : list) {
      if (!id.is_number_integer()) throw ApiError(422, "\"ids\" holds what is no token id");
      row.push_back(id.get<int32_t>());
    }
    all.push_back(lease->model.tokenizer()->decode(row, skip));
  }
  call.send_json(all);
}

}  // namespace

std::span<const Route> hugging_face_routes() {
  static const Route routes[] = {{"POST", "/", hugging_face_root},
                                 {"POST", "/invocations", hugging_face_root},
                                 {"POST", "/models/{...}", post_model},
                                 {"GET", "/models/{...}", get_model, Scope::any},
                                 {"POST", "/hf-inference/models/{...}", post_model},
                                 {"GET", "/hf-inference/models/{...}", get_model, Scope::any},
                                 {"POST", "/pipeline/{}/{...}", pipeline},
                                 {"GET", "/status/{...}", get_status, Scope::any},
                                 {"POST", "/generate", root_generate},
                                 {"POST", "/generate_stream", root_generate_stream},
                                 {"POST", "/tokenize", root_tokenize},
                                 {"POST", "/chat_tokenize", root_chat_tokenize},
                                 {"POST", "/decode", root_decode},
                                 {"GET", "/info", root_info, Scope::any}};
  return routes;
}

}  // namespace mynah::serve
