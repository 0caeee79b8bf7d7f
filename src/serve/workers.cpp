#include "serve/workers.h"

#include <chrono>
#include <system_error>
#include <thread>

namespace mynah::serve {

void Workers::finish() {
  std::unique_lock lock(mutex_);
  stop_ = true;
  wake_.notify_all();
  ended_.wait(lock, [&] { return threads_ == 0; });
}

void Workers::run(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ >= static_cast<int>(queue_.size()) || threads_ >= limit_) {
    wake_.notify_one();
    return;
  }
  ++threads_;
  try {
    std::thread([this] { loop(); }).detach();
  } catch (const std::system_error&) {  // no more threads: those that run take it, or the caller does
    --threads_;
    if (threads_ > 0) return;
    auto own = std::move(queue_.back());
    queue_.pop_back();
    lock.unlock();
    own();
  }
}

void Workers::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait_for(lock, std::chrono::seconds(10), [&] { return stop_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) break;  // the end, or nothing to do for long
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
  --threads_;
  ended_.notify_all();
}

}  // namespace mynah::serve
