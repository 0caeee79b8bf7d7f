#include "ops/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/isa.h"
#include "kernels/peak.h"

namespace mynah::ops {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Every thread runs the loop once for the same number of rounds; the rate of the best of five tries.
double rate(ThreadPool& pool, double (*loop)(int64_t, float*), double seconds) {
  float sink = 0;
  int64_t rounds = 1 << 10;
  for (;; rounds *= 2) {  // rounds that take about a fifth of the time
    const double start = now();
    if (loop(rounds, &sink) == 0) return 0;
    if (now() - start > seconds / 10) break;
  }
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::atomic<int64_t> done{0};
    const double start = now();
    pool.run(pool.threads(), [&](int64_t) {
      float own = 0;
      done += static_cast<int64_t>(loop(rounds, &own));
    });
    best = std::max(best, static_cast<double>(done) / (now() - start));
  }
  return best;
}

double bandwidth(ThreadPool& pool) {
  constexpr size_t kBytes = size_t{512} << 20, kPiece = size_t{4} << 20;
  const std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(size_t{2} << 20, kBytes), std::free);
  if (!memory) return 0;
  madvise(memory.get(), kBytes, MADV_HUGEPAGE);
  std::memset(memory.get(), 1, kBytes);
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::atomic<uint64_t> sink{0};
    const double start = now();
    pool.run(static_cast<int64_t>(kBytes / kPiece), [&](int64_t i) {
      sink ^= kernels::peak().read(static_cast<const char*>(memory.get()) + static_cast<size_t>(i) * kPiece, kPiece);
    });
    best = std::max(best, static_cast<double>(kBytes) / (now() - start));
  }
  return best;
}

}  // namespace

std::string instruction_set() { return kernels::isa_name(kernels::active_isa()); }

void choose_instruction_set(const std::string& name) {
  kernels::Isa isa;
  if (!kernels::parse_isa(name.c_str(), &isa)) fail(ErrorCode::usage, "MYNAH_ISA: \"{}\", expected generic, avx2, avx512, bf16 or amx", name);
  if (!kernels::set_isa(isa)) fail(ErrorCode::usage, "MYNAH_ISA: this processor has no {}", name);
}

Peaks measure_peaks(int threads, double seconds) {
  ThreadPool pool(threads > 0 ? threads : thread_pool().threads());
  const auto& k = kernels::peak();
  return {rate(pool, k.int8, seconds) / 1e9, rate(pool, k.bf16, seconds) / 1e9, rate(pool, k.f32, seconds) / 1e9, bandwidth(pool) / 1e9};
}

}  // namespace mynah::ops
