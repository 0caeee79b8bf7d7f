// Finding tasks by name.
#pragma once
#include <string>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// The task of this name or alias; "translation_XX_to_YY" is translation. Throws usage for an unknown one, with a
// suggestion.
const TaskEntry& find_task(const std::string& name);
// The tasks that there are, sorted.
std::vector<std::string> task_names();

// Throws failure: the model is none for the task.
[[noreturn]] void refuse_model(const TaskEntry& entry, const bundle::Bundle& b);
// Opens a local path for a task.
std::shared_ptr<const OpenTask> open_task(const TaskEntry& entry, const std::string& asked,
                                          const std::filesystem::path& path, const LoadOptions& options);
// The same with a model that is open already: shared if its head fits the task, else its files are opened once more.
std::shared_ptr<const OpenTask> open_task(const TaskEntry& entry, const std::string& asked, const Model& model,
                                          const LoadOptions& options);

}  // namespace mynah::tasks
