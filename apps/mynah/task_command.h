// Runs a task on the inputs of a command line: what `mynah pipeline` and `mynah embed` share.
#pragma once
#include <functional>
#include <string>

#include "task_arguments.h"
#include "tasks/registry.h"

namespace mynah::app {

// `asked`: the task's name as it was given. `wrapped`: what --json prints, made of the list of results; without it the reference's
// answer. Returns the exit code.
int run_task(const TaskEntry& entry, const std::string& asked, const TaskArguments& arguments, const std::function<Json(const Json&)>& wrapped = {});

}  // namespace mynah::app
