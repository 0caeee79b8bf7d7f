#include "serve/tasks.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "serve/speech.h"
#include "serve/task_pipeline.h"
#include "serve/text_generation.h"
#include "serve/vectors.h"

namespace mynah::serve {
namespace {

std::vector<std::string> texts_of(const Json& inputs, bool* one) {
  *one = inputs.is_string();
  if (inputs.is_string()) return {inputs.get<std::string>()};
  std::vector<std::string> all;
  if (!inputs.is_array()) throw ApiError(400, "\"inputs\" is neither a string nor an array of strings", "inputs");
  for (const Json& item : inputs) {
    if (!item.is_string()) throw ApiError(400, "\"inputs\" is neither a string nor an array of strings", "inputs");
    all.push_back(item.get<std::string>());
  }
  return all;
}

bool is_sentence_model(const LoadedModel& model) {
  std::error_code error;
  const auto& path = model.model.bundle().path;
  return std::filesystem::exists(path / "modules.json", error) ||
         std::filesystem::exists(path / "1_Pooling" / "config.json", error);
}

void extract_features(Call& call, LoadedModel& model, const Json& body) {
  // The settings stand beside the inputs, or among the parameters.
  const Json* given = Fields(body).object("parameters");
  Json settings = given ? *given : Json::object();
  for (const char* key :
       {"normalize", "truncate", "truncation_direction", "dimensions", "encoding_format", "prompt_name"})
    if (body.contains(key)) settings[key] = body[key];
  const Fields f(settings);
  bool one = false;
  const auto texts = texts_of(*Fields(body).find("inputs"), &one);
  if (f.text_or("encoding_format", "float") != "float")
    throw ApiError(400, "\"encoding_format\" other than float is not supported", "encoding_format");
  if (std::string side = f.text_or("truncation_direction", "right"); side != "right" && side != "Right")
    throw ApiError(400, "\"truncation_direction\" other than right is not supported", "truncation_direction");
  Json all = Json::array();
  if (is_sentence_model(model)) {
    VectorOptions options(call);
    options.normalize = f.boolean("normalize").value_or(true);
    options.truncate = f.boolean("truncate").value_or(true);
    options.dimensions = f.integer("dimensions");
    options.prompt_name = f.text("prompt_name");
    for (const auto& row : vectors_of_texts(model, texts, options).rows) all.push_back(row);
  } else {
    const int64_t most = most_tokens(model);
    const bool cut = f.boolean("truncate").value_or(false);
    for (const auto& text : texts) {
      auto ids = vector_ids(model, text);
      if (most > 0 && static_cast<int64_t>(ids.size()) > most) {
        if (!cut)
          throw ApiError(
              400,
              fmt::format("the input has {} tokens, the model reads {}; \"truncate\": true cuts it", ids.size(), most),
              "inputs");
        ids.resize(static_cast<size_t>(most));
      }
      Json rows = Json::array();
      for (const auto& row : token_vectors(model, ids, call.left())) rows.push_back(row);
      all.push_back(Json::array({rows}));
    }
  }
  call.send_json(one ? all[0] : all, 200, {{"x-compute-type", "cpu"}});
}

void compare_sentences(Call& call, LoadedModel& model, const Json& body) {
  const Json* inputs = Fields(body).object("inputs");
  if (!inputs) throw ApiError(400, "Error in `inputs.source_sentence`: field required", "inputs");
  const Fields f(*inputs, "inputs.");
  const auto source = f.text("source_sentence");
  const auto sentences = f.texts("sentences");
  if (!source) throw ApiError(400, "Error in `inputs.source_sentence`: field required", "inputs.source_sentence");
  if (!sentences) throw ApiError(400, "Error in `inputs.sentences`: field required", "inputs.sentences");
  std::vector<std::string> texts = {*source};
  texts.insert(texts.end(), sentences->begin(), sentences->end());
  const auto rows = vectors_of_texts(model, texts, VectorOptions(call)).rows;
  Json all = Json::array();
  for (size_t i = 1; i < rows.size(); ++i) all.push_back(cosine(rows[0], rows[i]));
  call.send_json(all);
}

// Explicitly not wanting to wait for a model is the only way to be told 503 while it loads.
void respect_waiting(const Call& call, const std::string& name, const Json& body) {
  const auto header = call.request->header("x-wait-for-model");
  bool wait = header != "false" && header != "0";
  if (const Json* options = Fields(body).object("options"))
    wait = Fields(*options, "options.").boolean("wait_for_model").value_or(wait);
  if (wait) return;
  const auto path = call.service.models.find(name).path;
  for (const auto& m : call.service.models.loaded())
    if (m.path == path) return;
  call.service.background.run([&models = call.service.models, name] {
    try {
      models.acquire(name);
    } catch (const std::exception&) {  // whoever asks next is told
    }
  });
  ApiError error(503, fmt::format("Model {} is currently loading", name));
  error.retry_after = 5;
  throw error;
}

// Whether the body is a picture or a sound and no JSON: by its type if it has one that says so, else by its first byte.
bool is_media(const Request& request) {
  const auto type = request.header("content-type");
  for (const std::string_view kind : {"image/", "audio/", "video/"})
    if (type.starts_with(kind)) return true;
  if (type.starts_with("application/json") || request.body.empty()) return false;
  const size_t first = request.body.find_first_not_of(" \t\r\n");
  return first != std::string::npos && request.body[first] != '{' &&
         (static_cast<unsigned char>(request.body[0]) >= 0x80 || type.starts_with("application/octet-stream") ||
          request.body.starts_with("RIFF") || request.body.starts_with("GIF8") || request.body.starts_with("BM") ||
          request.body.starts_with("fLaC") || request.body.starts_with("OggS") || request.body.starts_with("ID3"));
}

}  // namespace

void answer_task(Call& call, const std::string& name, const std::string& asked) {
  const Json body = is_media(*call.request) ? Json() : call.body();
  const Json object = body.is_null() ? Json::object() : body;
  const Fields f(object);
  respect_waiting(call, name, object);
  auto lease = call.acquire(name);
  const Json* given = f.object("parameters");
  const Json parameters = given ? *given : Json();
  const Json* inputs = f.find("inputs");
  const bool compares = asked.empty() && inputs && inputs->is_object() && inputs->contains("source_sentence");
  const std::string task = compares ? "sentence-similarity" : asked.empty() ? task_of_head(*lease, parameters) : asked;
  if (body.is_null()) return answer_pipeline(call, *lease, task, body);
  if (!inputs && !f.has("question")) throw ApiError(400, "Error in `inputs`: field required", "inputs");
  if (inputs && (task == "text-generation" || task == "text2text-generation")) {
    bool one = false;
    const auto texts = texts_of(*inputs, &one);
    TextGenerationForm form{name, f.boolean("stream").value_or(false), task == "text-generation",
                            one ? TextShape::list : TextShape::list_of_lists, !one};
    return generate_text(call, std::move(lease), texts, parameters, form);
  }
  if (task == "feature-extraction") return extract_features(call, *lease, body);
  if (task == "sentence-similarity") return compare_sentences(call, *lease, body);
  if (task == "text-to-speech" || task == "text-to-audio") return hf_speech(call, *lease, body);
  answer_pipeline(call, *lease, task, body);
}

}  // namespace mynah::serve
