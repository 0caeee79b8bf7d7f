// Timers that ring at a time of the caller's clock.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace mynah::assistant {

struct Timer {
  double ends, seconds;  // on the clock; how long it was set for
  std::string label;     // what it reminds of; may be empty
};

class Timers {
 public:
  void set(double now, double seconds, std::string label);
  // Those that have ended by `now`, in the order of their ends; they are gone then.
  std::vector<Timer> ended(double now);
  const std::vector<Timer>& running() const { return timers_; }  // the next to end first
  std::optional<double> next_end() const;
  size_t cancel_all();

 private:
  std::vector<Timer> timers_;
};

// "Your timer of 5 minutes is over", or what it reminds of.
std::string ring_text(const Timer& timer);

}  // namespace mynah::assistant
