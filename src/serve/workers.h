// Threads for handlers, which may wait: as many as there is work for, up to a limit; idle ones end after a while.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace mynah::serve {

class Workers {
 public:
  explicit Workers(int limit) : limit_(limit) {}
  // Waits for what was given.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  void run(std::function<void()> work);

 private:
  void loop();
  const int limit_;
  std::mutex mutex_;
  std::condition_variable wake_, ended_;
  std::deque<std::function<void()>> queue_;
  int threads_ = 0, idle_ = 0;
  bool stop_ = false;
};

}  // namespace mynah::serve
