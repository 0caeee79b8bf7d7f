// The caller's own labels of zero-shot tasks, and the sentences made of them.
#pragma once
#include <string>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// candidate_labels; one text may list them with commas. Throws usage if there is none.
std::vector<std::string> candidate_labels(const OpenTask& task, const Json& options);

// Python's format of `pattern` with one argument: {} and {0} are the label, doubled braces are braces. Throws usage for other braces.
std::string hypothesis(const OpenTask& task, const std::string& pattern, const std::string& label);

}  // namespace mynah::tasks
