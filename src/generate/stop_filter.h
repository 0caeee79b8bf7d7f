// Passes text through until a stop string occurs, holding back what may become one.
#pragma once
#include <string>
#include <vector>

namespace mynah::generation {

class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // The text that may be shown after `piece`. Once stopped() is true nothing follows.
  std::string push(const std::string& piece);
  // What was held back, at the end.
  std::string flush();
  bool stopped() const { return stopped_; }
  // The string that stopped it.
  const std::string& stop() const { return stop_; }

 private:
  std::vector<std::string> stops_;
  std::string held_, stop_;
  bool stopped_ = false;
};

}  // namespace mynah::generation
