#include "base/thread_pool.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/require.h"

namespace mynah {
namespace {

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futex_wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// How long a thread spins before it sleeps. What it waits for is mostly the next job, which follows after the short gaps of a decoding step or the
// longer ones of a training step. Where another process wants this processor, though, it may be a thread that was put aside and gets a processor as
// soon as this one sleeps. So the long spin is what is tried first, and after each one in vain less often: it must succeed eight times as often as not.
class Patience {
 public:
  // Spins, then calls sleep(), until ready().
  template <class Ready, class Sleep>
  void wait(Ready ready, Sleep sleep) {
    const bool patient = to_skip_ == 0;
    const auto begin = Clock::now();
    for (auto now = begin;;) {
      for (int i = 0; i < 8; ++i) {  // by the clock, as a pause takes between 10 and 140 cycles
        if (ready()) {
          if (now - begin > kShort && skips_ > kUnit) --skips_;
          return;
        }
        pause_cpu();
      }
      now = Clock::now();
      if (now - begin >= (patient ? kLong : kShort)) break;
    }
    if (patient) {
      to_skip_ = skips_ / kUnit;
      skips_ = std::min(2 * skips_, kMostSkips);
    } else {
      --to_skip_;
    }
    sleep();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::duration kShort = std::chrono::microseconds(8), kLong = std::chrono::microseconds(64);
  static constexpr int kUnit = 8, kMostSkips = 1024 * kUnit;
  int skips_ = kUnit;  // short waits after the next long one in vain, in units
  int to_skip_ = 0;    // short waits until then
};

thread_local bool inside_pool = false;

}  // namespace

// One job at a time. `ticket` packs the job's number (high 32 bits) and the next chunk (low 32 bits): a thread that
// wakes late claims from the job it sees or not at all, never from a later one with an old body.
struct ThreadPool::State {
  alignas(64) std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> sleepers{0};
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<uint32_t> done{0};
  std::atomic<uint32_t> done_word{0};
  std::atomic<uint32_t> main_sleeps{0};
  alignas(64) std::atomic<bool> stop{false};
  struct Job {
    std::atomic<void (*)(void*, int64_t)> call{nullptr};
    std::atomic<void*> context{nullptr};
    std::atomic<uint32_t> chunks{0};
  } job;
  std::mutex run_mutex, error_mutex;
  Patience runner_patience;
  std::exception_ptr error;
  int64_t error_chunk = 0;
  std::vector<std::thread> workers;
  int threads = 1;

  void work(uint32_t number) {
    for (;;) {
      uint64_t t = ticket.load(std::memory_order_acquire);
      if (static_cast<uint32_t>(t >> 32) != number) return;
      const uint32_t chunk = static_cast<uint32_t>(t), chunks = job.chunks.load(std::memory_order_relaxed);
      if (chunk >= chunks) return;
      auto* call = job.call.load(std::memory_order_relaxed);
      void* context = job.context.load(std::memory_order_relaxed);
      if (!ticket.compare_exchange_weak(t, t + 1, std::memory_order_acq_rel)) continue;
      try {
        call(context, chunk);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error || chunk < error_chunk) {
          error = std::current_exception();
          error_chunk = chunk;
        }
      }
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) {
        done_word.store(number, std::memory_order_seq_cst);
        if (main_sleeps.load(std::memory_order_seq_cst)) futex_wake_all(done_word);
      }
    }
  }

  void worker() {
    inside_pool = true;
    uint32_t seen = 0;
    Patience patience;
    for (;;) {
      patience.wait([&] { return generation.load(std::memory_order_acquire) != seen; },
                    [&] {  // a sleeper announces itself so that the waker can skip the system call
                      sleepers.fetch_add(1, std::memory_order_seq_cst);
                      while (generation.load(std::memory_order_seq_cst) == seen) futex_wait(generation, seen);
                      sleepers.fetch_sub(1, std::memory_order_relaxed);
                    });
      // In this order: who has seen the last generation sees stop as well, and nobody waits for another one.
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work(seen);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  state_->threads = std::max(1, threads);
  state_->workers.reserve(static_cast<size_t>(state_->threads - 1));
  try {
    for (int i = 1; i < state_->threads; ++i) state_->workers.emplace_back([s = state_.get()] { s->worker(); });
  } catch (const std::system_error&) {  // the system gives no more threads: those that run must do
    state_->threads = static_cast<int>(state_->workers.size()) + 1;
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(state_->generation);
  for (auto& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return state_->threads; }

void ThreadPool::run_erased(int64_t chunks, void (*call)(void*, int64_t), void* context) {
  if (chunks <= 0) return;
  State& s = *state_;
  if (inside_pool || s.threads == 1 || chunks == 1) {
    for (int64_t i = 0; i < chunks; ++i) call(context, i);
    return;
  }
  MYNAH_CHECK(chunks < UINT32_MAX);  // the ticket's low half counts them
  std::lock_guard turn(s.run_mutex);
  inside_pool = true;
  const uint32_t number = s.generation.load(std::memory_order_relaxed) + 1;
  // The ticket is closed (no chunk to claim) while the job's fields change, then opened for this number.
  s.ticket.store((uint64_t{number} << 32) | UINT32_MAX, std::memory_order_seq_cst);
  s.job.call.store(call, std::memory_order_relaxed);
  s.job.context.store(context, std::memory_order_relaxed);
  s.job.chunks.store(static_cast<uint32_t>(chunks), std::memory_order_relaxed);
  s.done.store(0, std::memory_order_relaxed);
  s.error = nullptr;
  s.ticket.store(uint64_t{number} << 32, std::memory_order_release);
  s.generation.store(number, std::memory_order_seq_cst);
  if (s.sleepers.load(std::memory_order_seq_cst)) futex_wake_all(s.generation);
  s.work(number);
  s.runner_patience.wait([&] { return s.done_word.load(std::memory_order_acquire) == number; },
                         [&] {
                           s.main_sleeps.store(1, std::memory_order_seq_cst);
                           for (uint32_t w; (w = s.done_word.load(std::memory_order_seq_cst)) != number;) futex_wait(s.done_word, w);
                           s.main_sleeps.store(0, std::memory_order_relaxed);
                         });
  inside_pool = false;
  if (s.error) std::rethrow_exception(std::exchange(s.error, nullptr));
}

namespace {

// Cores that the cgroup's quota allows, or a large number without one.
int cgroup_cores() {
  double quota = -1, period = 100000;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string first;
    v2 >> first >> period;
    if (first != "max" && !first.empty()) quota = std::atof(first.c_str());
  } else if (std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), p("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
             q && p) {
    q >> quota;
    p >> period;
  }
  if (quota <= 0 || period <= 0) return INT_MAX;
  return std::max(1, static_cast<int>(quota / period + 0.5));
}

// Physical cores among those that the affinity mask leaves us (hyper-threads share the vector units).
int affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::string> cores;
  int logical = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    ++logical;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    if (file >> siblings) cores.push_back(siblings);
  }
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores.empty() ? std::max(1, logical) : static_cast<int>(cores.size());
}

}  // namespace

int wanted_threads() {
  const char* text = std::getenv("MYNAH_THREADS");
  if (!text || !*text) return 0;
  int n = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, problem] = std::from_chars(text, end, n);
  if (problem != std::errc() || stop != end || n < 1 || n > kMostThreads)
    fail(ErrorCode::usage, "MYNAH_THREADS: got \"{}\", expected a whole number from 1 to {}; unset it to use every core",
         text, kMostThreads);
  return n;
}

int default_threads() {
  if (const int n = wanted_threads()) return n;
  return std::max(1, std::min(affinity_cores(), cgroup_cores()));
}

namespace {

std::unique_ptr<ThreadPool>& pool_slot() {
  static std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(default_threads());
  return pool;
}

}  // namespace

ThreadPool& thread_pool() { return *pool_slot(); }

void set_threads(int threads) { pool_slot() = std::make_unique<ThreadPool>(threads > 0 ? threads : default_threads()); }

}  // namespace mynah
