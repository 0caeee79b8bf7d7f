// Child processes: started without a shell, watched, and ended with us.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah {

// The first folder of PATH that has an executable file of this name.
std::optional<std::filesystem::path> find_program(const std::string& name);

// Runs a program with stdin closed and stdout and stderr written to `output`. `watch` is called about ten times a
// second; when it returns false or throws, the child is ended. Returns the exit status (128 + signal when killed).
// Throws failure when the program cannot be started, interrupted when `watch` returned false.
int run_process(const std::vector<std::string>& arguments,
                const std::vector<std::pair<std::string, std::string>>& environment,
                const std::filesystem::path& output, const std::function<bool()>& watch);

// Runs a program with `input` on stdin and gives what it writes to stdout; stderr is thrown away. Throws failure when it cannot be
// started, ends with another status than 0, writes more than `most_bytes` or takes longer than `seconds`: it is ended then.
std::string run_filter(const std::vector<std::string>& arguments, std::string_view input, size_t most_bytes, int seconds);

// A program that reads what we write to it, such as a player of sound; ended with its owner if it has not ended by itself.
class ProgramInput {
 public:
  // stdout and stderr of it are thrown away. Throws failure when it cannot be started.
  explicit ProgramInput(const std::vector<std::string>& arguments);
  ~ProgramInput();
  ProgramInput(const ProgramInput&) = delete;
  ProgramInput& operator=(const ProgramInput&) = delete;
  // Waits until it has been taken. False when the program reads no more.
  bool write(std::span<const std::byte> bytes);
  // Closes its input and waits for its end; the exit status (128 + signal when killed).
  int finish();
  // Ends it, from any thread: write() gives false then and finish() returns.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A program whose stdout is read as it comes, such as a recorder of sound; ended with its owner.
class ProgramOutput {
 public:
  // stdin of it is empty, stderr is thrown away. Throws failure when it cannot be started.
  explicit ProgramOutput(const std::vector<std::string>& arguments);
  ~ProgramOutput();
  ProgramOutput(const ProgramOutput&) = delete;
  ProgramOutput& operator=(const ProgramOutput&) = delete;
  // Waits for bytes, at most `milliseconds`. How many were read: 0 at its end; absent when none came in time.
  std::optional<size_t> read(std::span<std::byte> into, int milliseconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mynah
