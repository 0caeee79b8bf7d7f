// The words after `mynah pipeline`: TASK, inputs and options whose names the task decides.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "tasks/task_entry.h"

namespace mynah::app {

struct TaskArguments {
  std::string model, endpoint, input_file, output_file, save;
  bool json = false, help = false;
  Precision precision = Precision::automatic;
  size_t batch_size = 64;           // inputs that are worked on together
  std::vector<std::string> inputs;  // as they were given
  Json options = Json::object();    // by the reference's names, typed
};

// Throws usage for an option that neither the task nor the command has ("did you mean"), and for values of another type.
TaskArguments parse_task_arguments(const TaskEntry& entry, const std::vector<std::string>& words);

// The help of one task.
std::string task_help(const TaskEntry& entry);

}  // namespace mynah::app
