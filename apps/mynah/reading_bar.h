// What is shown while the files of a folder are read.
#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"

namespace mynah::app {

// The progress line of reading; there is none if nothing has to be read.
class ReadingBar {
 public:
  explicit ReadingBar(const char* noun) : noun_(noun) {}  // of what is counted: "files"
  void show(int64_t done, int64_t all) {
    if (all == 0) return;
    if (!bar_) bar_.emplace("reading", all, ProgressOptions{.bytes = false, .noun = noun_});
    bar_->set(done);
    if (done == all) bar_->finish();
  }

 private:
  const char* noun_;
  std::optional<Progress> bar_;
};

// What was passed over, on standard error.
inline void say_skipped(const std::vector<std::string>& skipped) {
  for (const std::string& line : skipped) fmt::print(stderr, "skipped {}\n", line);
}

}  // namespace mynah::app
