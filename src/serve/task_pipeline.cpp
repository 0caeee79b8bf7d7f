#include "serve/task_pipeline.h"

#include <fmt/core.h>

#include <algorithm>
#include <mutex>

#include "mynah/pipeline.h"
#include "nn/causal_lm.h"
#include "serve/media.h"
#include "serve/speech.h"
#include "serve/turn.h"
#include "tasks/registry.h"

namespace mynah::serve {
namespace {

ApiError missing(const std::string& field) {
  return ApiError(400, fmt::format("Error in `{}`: field required", field), field);
}

const TaskEntry& entry_of(const std::string& task) {
  try {
    return tasks::find_task(task);
  } catch (const Error&) {
    throw ApiError(404, fmt::format("the task \"{}\" does not exist here", task.substr(0, 60)));
  }
}

std::shared_ptr<const tasks::OpenTask> opened(LoadedModel& model, const TaskEntry& entry, const std::string& asked) {
  std::lock_guard lock(model.open_tasks->mutex);
  auto& task = model.open_tasks->tasks[asked];
  try {
    if (!task) task = tasks::open_task(entry, asked, model.model, {});
  } catch (const Error& error) {
    // The path of the model is nobody's business.
    if (error.code() == ErrorCode::failure)
      throw ApiError(400,
                     fmt::format("\"{}\" is a {}, which is not a model for {}", model.name,
                                 model.description.architecture, entry.name),
                     "model");
    throw;
  }
  return task;
}

// Values that are files become paths to them.
Json with_files(const Json& value, MediaFiles* files, const std::string& where) {
  if (value.is_string()) return files->add_base64(value.get<std::string>(), where);
  Json out = value;
  if (value.is_array())
    for (Json& item : out) item = with_files(item, files, where);
  if (value.is_object())
    for (auto it = out.begin(); it != out.end(); ++it)
      if (it.key() == "image" || it.key() == "images" || it.key() == "audio" || it.key() == "inputs")
        it.value() = with_files(it.value(), files, where + "." + it.key());
  return out;
}

// What the task is asked about, from the request's object.
Json inputs_of(const TaskEntry& entry, const Json& body, MediaFiles* files) {
  const std::string name = entry.name;
  const Fields f(body);
  const Json* given = f.find("inputs");
  Json inputs = given ? *given : Json();
  // Some clients put the question and the picture beside "inputs", or in place of it.
  if (name.ends_with("question-answering") && !inputs.is_object() && !inputs.is_array() && f.has("question")) {
    Json all = Json::object();
    for (const char* key : {"question", "image", "context"})
      if (f.has(key)) all[key] = *f.find(key);
    if (inputs.is_string() && !all.contains("image")) all["image"] = inputs;
    inputs = all;
  }
  if (inputs.is_null()) throw missing("inputs");
  if (name == "question-answering")
    for (const Json& one : inputs.is_array() ? inputs : Json::array({inputs}))
      for (const char* key : {"question", "context"})
        if (!one.is_object() || !one.contains(key)) throw missing(fmt::format("inputs.{}", key));
  if (name == "table-question-answering")
    for (const Json& one : inputs.is_array() ? inputs : Json::array({inputs})) {
      if (!one.is_object() || !one.contains("table")) throw missing("inputs.table");
      if (!one.contains("query") && !one.contains("question")) throw missing("inputs.query");
    }
  // {"image": ...} is the picture itself where nothing can stand beside it.
  if (inputs.is_object() && inputs.size() == 1 && inputs.contains("image") && name != "image-text-to-text") {
    const Json image = inputs["image"];
    inputs = image;
  }
  if (reads_pictures(name) || reads_sounds(name)) return with_files(inputs, files, "inputs");
  return inputs;
}

// The request's parameters under the names of the pipeline's options.
Json options_of(const TaskEntry& entry, const Json& body, MediaFiles* files) {
  Json options = Json::object();
  const auto take = [&](const Json& from) {
    for (const auto& [key, value] : from.items())
      if (!value.is_null()) options[key] = value;
  };
  const Fields f(body);
  if (const Json* given = f.object("parameters")) {
    take(*given);
    for (const char* key : {"generate_parameters", "generation_parameters", "generate_kwargs"})
      if (const auto it = options.find(key); it != options.end() && it->is_object()) {
        const Json inner = *it;
        options.erase(key);
        take(inner);
      }
  }
  options.erase("model");  // some clients repeat it there
  // Nobody but this machine's own user names its files.
  for (const char* key : {"image", "images", "audio"})
    if (options.contains(key)) options[key] = with_files(options[key], files, std::string("parameters.") + key);
  if (options.contains("vocoder")) throw ApiError(400, "\"parameters.vocoder\" is not supported", "parameters.vocoder");
  const std::string name = entry.name;
  if (name == "zero-shot-classification" || name == "zero-shot-image-classification" ||
      name == "zero-shot-audio-classification")
    if (!options.contains("candidate_labels")) throw missing("parameters.candidate_labels");
  if (name == "text-classification" && !options.contains("top_k")) options["top_k"] = nullptr;
  if (name == "token-classification" && !options.contains("aggregation_strategy"))
    options["aggregation_strategy"] = "simple";
  return options;
}

bool from_javascript(const Call& call) { return call.request->header("user-agent").find("@huggingface/inference/") != std::string_view::npos; }

// The answer in the shape that the clients read.
Json shaped(const TaskEntry& entry, const Json& inputs, Json result, const Call& call) {
  const std::string name = entry.name;
  const bool one = !inputs.is_array();
  if (name == "text-classification") return one ? Json::array({std::move(result)}) : result;
  if (name == "zero-shot-classification" && one && result.is_object()) {
    Json rows = Json::array();
    for (size_t i = 0; i < result["labels"].size(); ++i)
      rows.push_back({{"label", result["labels"][i]}, {"score", result["scores"][i]}});
    return rows;
  }
  // Classes of pixels have no score; the clients take a number or nothing.
  if (name == "image-segmentation" && result.is_array())
    for (Json& segment : result)
      if (segment.is_object() && segment.contains("score") && segment["score"].is_null()) segment.erase("score");
  // The JavaScript client wants an aggregator in any case.
  if (name == "table-question-answering" && from_javascript(call) && result.is_object() && !result.contains("aggregator")) result["aggregator"] = "NONE";
  // It also wants the object itself.
  if (name == "image-to-text" && result.is_array() && result.size() == 1 && from_javascript(call)) return result[0];
  return result;
}

}  // namespace

std::string task_of_head(const LoadedModel& model, const Json& parameters) {
  const auto& network = *model.model.bundle().network;
  const nn::HeadKind kind = network.kind();
  if (speaks(model)) return "text-to-speech";
  if (kind == nn::HeadKind::image_text && model.model.architecture().ends_with("ForQuestionAnswering")) return "visual-question-answering";
  if (model.model.architecture().ends_with("ForVideoClassification")) return "video-classification";
  if (const std::string task = task_of_media(model.description.family); !task.empty()) return task;
  switch (kind) {
    case nn::HeadKind::causal_lm:
      return "text-generation";
    case nn::HeadKind::seq2seq_lm:
      return "text2text-generation";
    case nn::HeadKind::image_text: {
      const std::string name = model.model.architecture();
      return name.starts_with("Blip") || name.starts_with("VisionEncoder") ? "image-to-text" : "image-text-to-text";
    }
    case nn::HeadKind::masked_lm:
    case nn::HeadKind::pretraining:
      return "fill-mask";
    case nn::HeadKind::sequence_classification:
      if (!model.model.tokenizer()) return "audio-classification";  // what is no text and has this head is sound
      return parameters.is_object() && parameters.contains("candidate_labels") ? "zero-shot-classification"
                                                                               : "text-classification";
    case nn::HeadKind::bare:
      return model.scheduler ? "text-generation" : model.model.tokenizer() ? "feature-extraction" : "image-feature-extraction";
    default:
      break;
  }
  for (const TaskEntry* entry : tasks_entries())
    if (std::find(entry->heads.begin(), entry->heads.end(), kind) != entry->heads.end()) return entry->name;
  return model.scheduler ? "text-generation" : "feature-extraction";
}

std::shared_ptr<const tasks::OpenTask> task_of(LoadedModel& model, const std::string& task) {
  return opened(model, entry_of(task), task);
}

Json run_pipeline(const Call& call, LoadedModel& model, const std::string& task, const Json& inputs, const Json& options) {
  try {
    const Turn turn(call.left());
    return Pipeline(opened(model, entry_of(task), task))(inputs, options);
  } catch (const Error& error) {
    // What a task says about inputs and options is about the request.
    if (error.code() == ErrorCode::failure || error.code() == ErrorCode::usage) throw ApiError(400, error.what());
    throw;
  }
}

void answer_pipeline(Call& call, LoadedModel& model, const std::string& asked, const Json& body) {
  const TaskEntry* entry = &entry_of(asked);
  MediaFiles files;
  Json inputs;
  if (body.is_null()) {
    if (!reads_pictures(entry->name) && !reads_sounds(entry->name))
      throw ApiError(400, fmt::format("the body is not JSON, which {} needs: {{\"inputs\": ...}}", entry->name));
    inputs = files.add(call.request->body);
  } else {
    inputs = inputs_of(*entry, body, &files);
  }
  const Json options = options_of(*entry, body.is_null() ? Json::object() : body, &files);
  const auto start = std::chrono::steady_clock::now();
  Json result = run_pipeline(call, model, asked, inputs, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  call.send_json(shaped(*entry, inputs, std::move(result), call), 200,
                 {{"x-compute-type", "cpu"}, {"x-compute-time", fmt::format("{:.3f}", seconds)}});
}

}  // namespace mynah::serve
