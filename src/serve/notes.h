// What handlers find out about a request while they answer it, for the log and for records. Any thread may write.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>

namespace mynah::serve {

class RequestNotes {
 public:
  struct Values {
    std::string model;      // as the request names it
    bool answered = false;  // a model was asked, and not only looked up or changed
    bool failed = false;    // an error was told after the head of the answer was sent
    uint64_t seed = 0;      // of what the request leaves to chance
    int64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;  // of all its answers
    double queue_seconds = 0, first_token_seconds = 0;                   // the longest
  };

  template <class Change>
  void change(Change&& change) {
    std::lock_guard lock(mutex_);
    change(values_);
  }
  Values values() const {
    std::lock_guard lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;
  Values values_;
};

}  // namespace mynah::serve
