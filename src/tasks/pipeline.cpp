// The public face of tasks.
#include "mynah/pipeline.h"

#include "base/require.h"
#include "store/store.h"
#include "tasks/options.h"
#include "tasks/registry.h"

namespace mynah {
namespace {

std::vector<Json> pipeline_listed(const TaskEntry& entry, const Json& inputs, const Json& options, bool* one) {
  if (entry.inputs) return entry.inputs(inputs, options, one);
  *one = !inputs.is_array();
  return inputs.is_array() ? inputs.get<std::vector<Json>>() : std::vector<Json>{inputs};
}

std::vector<Json> results(const tasks::OpenTask& task, const Json& inputs, const Json& options, bool* one) {
  tasks::check_options(*task.entry, options);
  const std::vector<Json> all = pipeline_listed(*task.entry, inputs, options, one);
  return all.empty() ? std::vector<Json>() : task.entry->run(task, all, options);
}

}  // namespace

Json Pipeline::operator()(const Json& inputs, const Json& options) const {
  bool one = false;
  std::vector<Json> all = results(*task_, inputs, options, &one);
  if (task_->entry->answer) return task_->entry->answer(std::move(all), inputs, one, options);
  return one ? std::move(all.at(0)) : Json(std::move(all));
}

std::vector<Json> Pipeline::each(const Json& inputs, const Json& options) const {
  bool one = false;
  return results(*task_, inputs, options, &one);
}

std::string Pipeline::shown(const Json& input, const Json& result, bool color) const { return task_->entry->show(input, result, {color}); }
std::string Pipeline::task() const { return task_->entry->name; }
const Model& Pipeline::model() const { return task_->model; }

Pipeline pipeline(const std::string& task, const std::string& model, const LoadOptions& options) {
  const TaskEntry& entry = tasks::find_task(task);
  const auto found = store::Store().resolve(model);
  if (!found) fail(ErrorCode::not_found, "pipeline: {} is not here; pull it first", model);
  LoadOptions named = options;
  if (named.name.empty()) named.name = model;
  return Pipeline(tasks::open_task(entry, task, found->path, named));
}

}  // namespace mynah
