// What an assistant can do beside talking: tools by name, for chat models that call them and for spoken commands.
#pragma once
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>

#include "assistant/notes.h"
#include "assistant/timers.h"
#include "base/json.h"

namespace mynah::assistant {

struct ToolAnswer {
  std::string text;       // a sentence that may be said as it is, or passages to answer from
  bool passages = false;
};

// Passages of the user's files for a query, each behind its place; empty when nothing fits.
using SearchFiles = std::function<std::string(const std::string& query)>;

struct ToolSettings {
  std::filesystem::path notes;  // the file they are kept in
  std::time_t begin = 0;        // the local time at second 0 of the clock
  SearchFiles search;           // none: there are no files to search
};

class Toolbox {
 public:
  explicit Toolbox(ToolSettings settings) : settings_(std::move(settings)), notes_(settings_.notes) {}

  // Seconds of the clock that timers run by; it only goes forward.
  void set_now(double seconds) { now_ = seconds; }
  Timers& timers() { return timers_; }

  // As chat templates take them: [{"type": "function", "function": {name, description, parameters}}, ...].
  Json descriptions() const;
  // What the tool says, which for wrong arguments and unknown tools is what is wrong.
  ToolAnswer call(const std::string& name, const Json& arguments);

 private:
  std::string set_timer(const Json& arguments);
  std::string running_timers() const;
  std::string read_notes() const;
  std::tm local_time() const;

  ToolSettings settings_;
  Notes notes_;
  Timers timers_;
  double now_ = 0;
};

}  // namespace mynah::assistant
