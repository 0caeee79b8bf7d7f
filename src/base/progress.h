// Progress of long work, for people: one line that is redrawn on a terminal, a line now and then in a log file.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah {

struct ProgressOptions {
  bool bytes = true;  // amounts are bytes; else they are counted in `noun`
  std::string noun = "items";
  bool quiet = false;  // writes nothing at all
  // The three doors to the world, which tests replace. Empty: standard error, its terminal and the steady clock.
  std::function<void(std::string_view)> write;
  std::function<int()> columns;  // of the terminal; 0 when the output is none
  std::function<double()> seconds;
};

// On a terminal the line is redrawn at most 10 times a second and never longer than the terminal is wide; elsewhere a
// line is written every 10 s and one at the end. Drawing happens inside add() and set(), which any thread may call.
class Progress {
 public:
  // `total` < 0: not known.
  Progress(std::string_view name, int64_t total, ProgressOptions options = {});
  // Without finish() before it the work counts as stopped, and the line says so.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // What was done before this run (a download that goes on): it counts as done, but not for the rate. Call it first.
  void start_at(int64_t done);
  void set_total(int64_t total);
  void add(int64_t amount);
  void set(int64_t done);
  // Writes the last line: amount, time and mean rate. Calls after the first do nothing.
  void finish();

 private:
  void tick();
  void draw(double now);
  void end(bool complete);
  double rate(double now, int64_t done);
  std::string live_line(double now, int width);
  std::string last_line(double now, bool complete) const;
  std::string amount_text(int64_t amount) const;
  std::string rate_text(double per_second) const;

  const std::string name_;
  ProgressOptions options_;
  double started_ = 0;
  std::atomic<int64_t> done_{0}, total_;
  std::atomic<double> next_draw_{0};
  std::mutex mutex_;  // guards all below
  int64_t first_ = 0;
  bool ended_ = false, drawn_ = false;
  std::vector<std::pair<double, int64_t>> samples_;  // (time, done) of the last seconds, oldest first
};

// "999 B", "1.23 kB", "98.4 MB": three digits, powers of 1000.
std::string format_bytes(int64_t bytes);
// "7s", "3m05s", "2h07m", "4d03h".
std::string format_duration(double seconds);

}  // namespace mynah
