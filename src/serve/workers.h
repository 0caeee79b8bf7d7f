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
  ~Workers() { finish(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  void run(std::function<void()> work);
  // Waits for what was given and ends the threads; work that is given later is done all the same.
  void finish();

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
