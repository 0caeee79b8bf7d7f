#include "serve/tasks.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "nn/causal_lm.h"
#include "serve/text_generation.h"
#include "serve/vectors.h"

namespace mynah::serve {
namespace {

// The task that a model's head is made for.
std::string task_of_head(const LoadedModel& model, const Json& parameters) {
  const auto& network = *model.model.bundle().network;
  switch (network.kind()) {
    case nn::HeadKind::causal_lm: return "text-generation";
    case nn::HeadKind::seq2seq_lm: return "text2text-generation";
    case nn::HeadKind::masked_lm:
    case nn::HeadKind::pretraining: return "fill-mask";
    case nn::HeadKind::sequence_classification: return parameters.is_object() && parameters.contains("candidate_labels") ? "zero-shot-classification" : "text-classification";
    case nn::HeadKind::token_classification: return "token-classification";
    case nn::HeadKind::question_answering: return "question-answering";
    default: return model.scheduler ? "text-generation" : "feature-extraction";
  }
}

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
  return std::filesystem::exists(path / "modules.json", error) || std::filesystem::exists(path / "1_Pooling" / "config.json", error);
}

void extract_features(Call& call, const LoadedModel& model, const Json& body) {
  const Fields f(body);
  const Json* inputs = f.find("inputs");
  if (!inputs) throw ApiError(400, "Error in `inputs`: field required");
  bool one = false;
  const auto texts = texts_of(*inputs, &one);
  Json all = Json::array();
  const bool pooled = is_sentence_model(model);
  for (const auto& text : texts) {
    const auto ids = vector_ids(model, text);
    if (pooled) {
      VectorOptions options{f.boolean("normalize").value_or(true), f.boolean("truncate").value_or(true), f.integer("dimensions")};
      all.push_back(vectors_of(model, {ids}, options).rows[0]);
    } else {
      Json rows = Json::array();
      for (const auto& row : token_vectors(model, ids)) rows.push_back(row);
      all.push_back(Json::array({rows}));
    }
  }
  call.send_json(one ? all[0] : all, 200, {{"x-compute-type", "cpu"}});
}

void compare_sentences(Call& call, const LoadedModel& model, const Json& body) {
  const Json* inputs = Fields(body).object("inputs");
  if (!inputs) throw ApiError(400, "Error in `inputs`: field required");
  const Fields f(*inputs, "inputs.");
  const auto source = f.text("source_sentence");
  const auto sentences = f.texts("sentences");
  if (!source || !sentences) throw ApiError(400, "Error in `inputs.source_sentence`: field required");
  std::vector<std::vector<int32_t>> ids = {vector_ids(model, *source)};
  for (const auto& s : *sentences) ids.push_back(vector_ids(model, s));
  const auto rows = vectors_of(model, ids, {}).rows;
  Json all = Json::array();
  for (size_t i = 1; i < rows.size(); ++i) all.push_back(cosine(rows[0], rows[i]));
  call.send_json(all);
}

// Explicitly not wanting to wait for a model is the only way to be told 503 while it loads.
void respect_waiting(const Call& call, const std::string& name, const Json& body) {
  const auto header = call.request->header("x-wait-for-model");
  bool wait = header != "false" && header != "0";
  if (const Json* options = Fields(body).object("options")) wait = Fields(*options, "options.").boolean("wait_for_model").value_or(wait);
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

}  // namespace

void answer_task(Call& call, const std::string& name, const std::string& asked) {
  const Json body = call.body();
  const Fields f(body);
  respect_waiting(call, name, body);
  auto lease = call.service.models.acquire(name);
  const Json* given = f.find("parameters");
  if (given && !given->is_object()) f.wrong("parameters", "object");
  const Json parameters = given ? *given : Json();
  const std::string task = asked.empty() ? task_of_head(*lease, parameters) : asked;
  if (task == "text-generation" || task == "text2text-generation") {
    const Json* inputs = f.find("inputs");
    if (!inputs) throw ApiError(400, "Error in `inputs`: field required");
    bool one = false;
    const auto texts = texts_of(*inputs, &one);
    TextGenerationForm form{name, f.boolean("stream").value_or(false), task == "text-generation", one ? TextShape::list : TextShape::list_of_lists, !one};
    return generate_text(call, std::move(lease), texts, parameters, form);
  }
  if (task == "feature-extraction") return extract_features(call, *lease, body);
  if (task == "sentence-similarity") return compare_sentences(call, *lease, body);
  throw ApiError(400, fmt::format("the task \"{}\" is not served", task));
}

}  // namespace mynah::serve
