#include "assistant/timers.h"

#include <algorithm>

#include "assistant/spoken.h"

namespace mynah::assistant {

void Timers::set(double now, double seconds, std::string label) {
  const Timer timer{now + seconds, seconds, std::move(label)};
  timers_.insert(std::upper_bound(timers_.begin(), timers_.end(), timer, [](const Timer& a, const Timer& b) { return a.ends < b.ends; }), timer);
}

std::vector<Timer> Timers::ended(double now) {
  const auto first_running = std::find_if(timers_.begin(), timers_.end(), [&](const Timer& t) { return t.ends > now; });
  std::vector<Timer> out(timers_.begin(), first_running);
  timers_.erase(timers_.begin(), first_running);
  return out;
}

std::optional<double> Timers::next_end() const { return timers_.empty() ? std::nullopt : std::optional(timers_.front().ends); }

size_t Timers::cancel_all() {
  const size_t count = timers_.size();
  timers_.clear();
  return count;
}

std::string ring_text(const Timer& timer) {
  return timer.label.empty() ? "Your timer of " + duration_text(timer.seconds) + " is over." : "You wanted to be reminded: " + timer.label + ".";
}

}  // namespace mynah::assistant
