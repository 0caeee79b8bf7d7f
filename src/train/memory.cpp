#include "train/memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>

#include "base/progress.h"
#include "base/require.h"
#include "ops/machine.h"

namespace mynah::train {
namespace {

// /proc/meminfo's MemTotal in bytes; 0 where there is none.
int64_t memory_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;)
    if (int64_t kilobytes; word == "MemTotal:" && file >> kilobytes) return kilobytes * 1024;
  return 0;
}

int64_t bytes(const NamedParameters& tensors) {
  int64_t n = 0;
  for (const auto& [name, tensor] : tensors) n += static_cast<int64_t>(tensor.nbytes());
  return n;
}

// Multiplications of a token with all weights, and what layers keep of it for the backward pass, in numbers: each matrix keeps about what
// enters and leaves it. A table of words is wider than its layers, and what leaves it is not kept.
struct PerToken {
  double multiplications = 0, kept = 0;
};
PerToken per_token(const NamedParameters& parameters) {
  PerToken sum;
  for (const auto& [name, t] : parameters) {
    if (t.rank() < 2) continue;
    const auto a = static_cast<double>(t.size(0)), b = static_cast<double>(t.numel()) / a;
    sum.multiplications += a * b;
    sum.kept += std::min(a + b, 8 * std::min(a, b));
  }
  return sum;
}

// Seconds of a step: products forward and twice backward at half of the processor's limit, and weights, gradients and optimiser read and
// written about ten times.
double step_seconds(const NamedParameters& parameters, double operations, bool bf16) {
  const ops::Peaks peaks = ops::measure_peaks(0, 0.02);
  const double rate = bf16 && peaks.bf16_gflops > 0 ? peaks.bf16_gflops : peaks.f32_gflops;
  return operations / (0.5e9 * rate) + 10 * static_cast<double>(bytes(parameters)) / (1e9 * peaks.read_gb_s);
}

}  // namespace

size_t most_weight_bytes(const std::string& optim) { return static_cast<size_t>(memory_bytes()) / (optim.starts_with("adamw") ? 4 : 2); }

std::string plan(const NamedParameters& parameters, const NamedParameters& optimizer_state, const RunSize& size, bool always) {
  const int64_t weights = bytes(parameters), state = bytes(optimizer_state), total = memory_bytes(), certain = 2 * weights + state;
  if (total > 0 && certain > total)
    fail(ErrorCode::does_not_fit,
         "training: weights {}, gradients {} and optimiser {} need {}, the machine has {}; use --lora-r, --optim sgd or a smaller model", format_bytes(weights),
         format_bytes(weights), format_bytes(state), format_bytes(certain), format_bytes(total));
  const PerToken token = per_token(parameters);
  const double operations = 6 * token.multiplications * static_cast<double>(size.tokens);
  constexpr double kLong = 1e13;  // operations of a run that is worth a measurement
  const bool is_long = operations * static_cast<double>(size.steps) > kLong;
  if (!is_long && !always) return "";
  int64_t numbers = 0;
  for (const auto& [name, t] : parameters) numbers += t.numel();
  const double kept = static_cast<double>(size.tokens) / static_cast<double>(std::max<int64_t>(1, size.parts)) * token.kept * sizeof(float) / (size.recomputes ? 8 : 1);
  std::string line = fmt::format("{} weights to train; about {} of memory (weights and gradients {}, optimiser {}, activations {}) of {}", numbers,
                                 format_bytes(certain + static_cast<int64_t>(kept)), format_bytes(2 * weights), format_bytes(state), format_bytes(static_cast<int64_t>(kept)), format_bytes(total));
  if (size.tokens <= 0) return line;
  line += fmt::format("; {} steps of about {} tokens", size.steps, size.tokens);
  if (is_long) line += ", about " + format_duration(step_seconds(parameters, operations * (size.recomputes ? 4.0 / 3 : 1), size.bf16) * static_cast<double>(size.steps));
  return line;
}

}  // namespace mynah::train
