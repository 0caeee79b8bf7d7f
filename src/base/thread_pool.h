// The one thread pool. Work is cut into fixed chunks which threads claim as they come free, so an outside process
// that takes a core slows us only by its share. Chunk boundaries never depend on the number of threads, so results do not.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace mynah {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 1 means no workers.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls body(chunk) once for each chunk in [0, chunks) and returns when all have ended. Rethrows the first error
  // (the one of the lowest chunk that failed). A call from inside a body runs on the calling thread alone. Calls from several threads take turns.
  template <class Body>
  void run(int64_t chunks, Body&& body) {
    using B = std::remove_reference_t<Body>;
    run_erased(chunks, [](void* context, int64_t chunk) { (*static_cast<B*>(context))(chunk); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  struct State;
  void run_erased(int64_t chunks, void (*call)(void*, int64_t), void* context);
  std::unique_ptr<State> state_;
};

// The pool that ops use: MYNAH_THREADS, else the cores that affinity and the cgroup quota leave us.
ThreadPool& thread_pool();
// Replaces it (0 = default size). Not to be called while work runs.
void set_threads(int threads);
// MYNAH_THREADS; 0 if it is not set or empty. Throws usage for anything but a whole number from 1 to kMostThreads.
int wanted_threads();
constexpr int kMostThreads = 256;
// What the default would be: MYNAH_THREADS, else from affinity and cgroup v1/v2 quota.
int default_threads();

// Splits [0, n) into pieces of `grain` and calls body(begin, end) on the pool.
template <class Body>
void parallel_for(int64_t n, int64_t grain, Body&& body) {
  if (n <= 0) return;
  const int64_t chunks = (n + grain - 1) / grain;
  if (chunks == 1) {
    body(int64_t{0}, n);
    return;
  }
  thread_pool().run(chunks, [&](int64_t c) { body(c * grain, c * grain + grain < n ? c * grain + grain : n); });
}

}  // namespace mynah
