// What a run tells: OUT/log.jsonl, TensorBoard events beside it, and a line for people on stderr.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/json.h"
#include "train/event_file.h"
#include "train/loss_curve.h"

namespace mynah::train {

class RunLog {
 public:
  // Starts log.jsonl in `folder`, keeping the rows of an earlier run up to `resumed_step` (0: none). `unit`: of what the rate counts.
  RunLog(const std::filesystem::path& folder, int64_t resumed_step, int64_t total_steps, std::string_view unit);

  // Appends one object; numbers that are not finite become null. Throws does_not_fit when the disk is full.
  void row(const Json& row);

  // The terminal's line, with a curve of the losses: redrawn there, written every ten seconds and without the curve elsewhere.
  void progress(int64_t step, double loss, double learning_rate, int64_t units, double seconds);
  // A note of its own line, on stderr.
  void note(const std::string& text);
  void finish();
  // Whether people watch: standard error is a terminal.
  static bool on_terminal();

 private:
  std::filesystem::path path_;
  std::string unit_;
  std::ofstream file_;
  EventFile events_;
  int64_t total_steps_, first_step_, first_units_ = -1;
  double first_seconds_ = 0, next_draw_ = 0;
  LossCurve curve_;
  bool terminal_, drawn_ = false;
};

}  // namespace mynah::train
