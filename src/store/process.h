// Child processes: started without a shell, watched, and ended with us.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mynah::store {

// The first folder of PATH that has an executable file of this name.
std::optional<std::filesystem::path> find_program(const std::string& name);

// Runs a program with stdin closed and stdout and stderr written to `output`. `watch` is called about ten times a
// second; when it returns false or throws, the child is ended. Returns the exit status (128 + signal when killed).
// Throws failure when the program cannot be started, interrupted when `watch` returned false.
int run_process(const std::vector<std::string>& arguments,
                const std::vector<std::pair<std::string, std::string>>& environment,
                const std::filesystem::path& output, const std::function<bool()>& watch);

}  // namespace mynah::store
