// Commands that are understood without a model: short English sentences for every tool.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace mynah::assistant {

struct Command {
  std::string tool;  // of the toolbox, or "stop" (be silent), "repeat" (say it again), "goodbye"
  Json arguments;
};

// Absent for what is no command: a chat model answers that. Politeness around a command does not matter.
std::optional<Command> understand(std::string_view heard);

}  // namespace mynah::assistant
