// The options of a task: checked names and types, and reading them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// Throws usage for an option that the task does not have or whose value has another type, naming it.
void check_options(const TaskEntry& entry, const Json& options);

// Values of checked options; null counts as absent, except for has().
bool has(const Json& options, const char* name);
bool boolean(const Json& options, const char* name, bool otherwise);
int64_t integer(const Json& options, const char* name, int64_t otherwise, int64_t low);  // throws usage below `low`
double number(const Json& options, const char* name, double otherwise);
std::optional<std::string> text(const Json& options, const char* name);
std::vector<std::string> texts(const Json& options, const char* name);

// The options that are settings of GenerationConfig.
Json generation_settings(const TaskEntry& entry, const Json& options);

}  // namespace mynah::tasks
