// Every op's entry as a benchmark row or a documentation row: mynah_bench_ops [--docs] [name ...]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "mynah/autograd.h"
#include "ops/machine.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double best_seconds(const OpSample& sample) {
  double best = 1e9;
  for (double start = now(); now() - start < 0.2;) {
    const double begin = now();
    sample.call(sample.inputs);
    best = std::min(best, now() - begin);
  }
  return best;
}

void document() {
  fmt::print("# Operations\n\nWritten by `mynah_bench_ops --docs` from the entries in src/ops.\n\n| op | shapes | source |\n|---|---|---|\n");
  for (const OpEntry* op : ops_entries()) fmt::print("| `{}` | {} | {} |\n", op->name, op->signature, op->source);
}

void measure(const std::vector<std::string>& names) {
  NoGrad no_grad;
  const ops::Peaks peaks = ops::measure_peaks();
  fmt::print("{} threads, {}, f32 peak {:.0f} GFLOP/s, reading {:.1f} GB/s\n\n{:<16}{:<26}{:>12}{:>12}{:>10}\n", thread_pool().threads(), ops::instruction_set(),
             peaks.f32_gflops, peaks.read_gb_s, "op", "sample", "us", "GFLOP/s", "of peak");
  for (const OpEntry* op : ops_entries()) {
    if (!names.empty() && std::find(names.begin(), names.end(), op->name) == names.end()) continue;
    for (const OpSample& sample : op->samples()) {
      if (sample.small) continue;
      const double seconds = best_seconds(sample), rate = sample.operations / seconds / 1e9;
      fmt::print("{:<16}{:<26}{:>12.1f}{:>12.1f}{:>9.0f}%\n", op->name, sample.name, seconds * 1e6, rate, 100 * rate / peaks.f32_gflops);
    }
  }
}

}  // namespace
}  // namespace mynah

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "--docs") mynah::document();
  else mynah::measure(words);
  return 0;
}
