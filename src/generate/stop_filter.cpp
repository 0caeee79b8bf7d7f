#include "generate/stop_filter.h"

#include <algorithm>

namespace mynah::generation {

std::string StopFilter::push(const std::string& piece) {
  if (stopped_) return "";
  held_ += piece;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_)
    if (const size_t at = held_.find(stop); at < first) {
      first = at;
      stop_ = stop;
    }
  if (first != std::string::npos) {
    stopped_ = true;
    held_.resize(first);
    return flush();
  }
  // The longest end of the text that begins a stop string stays back.
  size_t keep = 0;
  for (const std::string& stop : stops_)
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n)
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) {
        keep = n;
        break;
      }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopFilter::flush() {
  std::string out;
  out.swap(held_);
  return out;
}

}  // namespace mynah::generation
