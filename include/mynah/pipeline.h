// Tasks by name, as Hugging Face pipelines: a model opened for one task, called with inputs and options, answering in JSON.
//
//   mynah::Pipeline classify = mynah::pipeline("text-classification", "MODEL");
//   mynah::Json answer = classify("I love it");            // [{"label": "POSITIVE", "score": 0.99}]
//   answer = classify({"I love it", "I do not"}, {{"top_k", 2}});
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "mynah/json.h"
#include "mynah/model.h"

namespace mynah {


namespace tasks {
struct OpenTask;
}

// A cheap handle; copies share the model. Safe to use from several threads.
class Pipeline {
 public:
  // `inputs`: one text (or what the task reads, see docs/tasks.md) or an array of them; `options`: by the reference's names. One
  // input gives the shape that one gives there, an array the shape of an array. Results do not depend on what else is in the
  // array. Throws usage for options that are not the task's, failure for inputs that it cannot work on.
  Json operator()(const Json& inputs, const Json& options = Json::object()) const;
  // The result of each input, without the reference's differences between one and several.
  std::vector<Json> each(const Json& inputs, const Json& options = Json::object()) const;
  // The same result as a person would like to read it, with colours if `color`.
  std::string shown(const Json& input, const Json& result, bool color) const;

  std::string task() const;  // its full name: "token-classification" for "ner"
  const Model& model() const;

  explicit Pipeline(std::shared_ptr<const tasks::OpenTask> task) : task_(std::move(task)) {}

 private:
  std::shared_ptr<const tasks::OpenTask> task_;
};

// `task`: a name or alias ("sentiment-analysis", "translation_en_to_fr"); `model`: a folder in Hugging Face layout, a .gguf file or
// the name of a stored model. Throws usage for an unknown task, not_found for a model that is not here, failure for a model that
// does not fit the task.
Pipeline pipeline(const std::string& task, const std::string& model, const LoadOptions& options = {});

}  // namespace mynah
