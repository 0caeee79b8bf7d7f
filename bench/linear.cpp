// Products of activations with weights that are packed once, as fractions of the measured peak: mynah_bench_linear [SECONDS]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "mynah/autograd.h"
#include "ops/gemm.h"
#include "ops/int8_matrix.h"
#include "ops/machine.h"
#include "ops/op_entry.h"
#include "ops/packed_matrix.h"
#include "tensor/quantize.h"

namespace mynah {
namespace {

constexpr int64_t kRows[] = {8, 16, 32, 64, 128, 512, 2048, 8192};
constexpr int64_t kSizes[] = {384, 768, 1536, 3072};

double best_seconds(double limit, const std::function<void()>& call) {
  const auto now = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  double best = 1e9;
  int runs = 0;
  for (const double start = now(); runs < 3 || now() - start < limit; ++runs) {
    const double begin = now();
    call();
    best = std::min(best, now() - begin);
  }
  return best;
}

// One line: percent of the peak for each number of rows.
void row(const char* type, int64_t n, int64_t k, double peak, double limit, const std::function<void(int64_t)>& multiply) {
  if (peak <= 0) return;  // the instruction set computes it in another type
  fmt::print("{:<6}{:>6}{:>6}", type, n, k);
  for (const int64_t m : kRows) {
    const double seconds = best_seconds(limit, [&] { multiply(m); });
    fmt::print("{:>7.0f}", 100 * 2.0 * static_cast<double>(m * n * k) / seconds / 1e9 / peak);
  }
  fmt::print("\n");
}

void measure(double limit) {
  const ops::Peaks peaks = ops::measure_peaks();
  fmt::print("{} threads, {}; percent of the peak: f32 {:.0f}, bf16 {:.0f}, int8 {:.0f}\n\n{:<6}{:>6}{:>6}", thread_pool().threads(), ops::instruction_set(),
             peaks.f32_gflops, peaks.bf16_gflops, peaks.int8_gops, "type", "N", "K");
  for (const int64_t m : kRows) fmt::print("{:>7}", fmt::format("M={}", m));
  fmt::print("\n");
  for (const int64_t n : kSizes)
    for (const int64_t k : kSizes) {
      const Tensor x = sample_tensor({kRows[std::size(kRows) - 1], k}), w = sample_tensor({n, k}, 1, 0, 0.05f);
      Tensor y = Tensor::empty({x.size(0), n});
      for (const DType type : {DType::f32, DType::bf16}) {
        const Tensor stored = to(w, type);
        const ops::MatrixView view{stored.raw(), type, 1, k};
        const auto packed = ops::PackedB::pack(k, std::span(&view, 1), std::span(&n, 1));
        const auto call = [&](int64_t m) {
          if (packed) packed->multiply(m, x.data<float>(), k, y.data<float>(), n);
          else ops::gemm(m, n, k, {x.data<float>(), DType::f32, k, 1}, view, y.data<float>(), n);
        };
        row(name(type).data(), n, k, type == DType::f32 ? peaks.f32_gflops : peaks.bf16_gflops, limit, call);
      }
      const auto int8 = ops::Int8Matrix::pack(std::span(&w, 1));
      row("int8", n, k, peaks.int8_gops, limit, [&](int64_t m) { int8->multiply(x.data<float>(), m, k, y.data<float>(), n); });
      const Tensor quantized = quantize(w, DType::q8_0);
      const auto matrix = ops::PackedMatrix::pack(std::span(&quantized, 1));
      row("q8_0", n, k, peaks.int8_gops, limit, [&](int64_t m) { matrix->multiply(x.data<float>(), m, k, y.data<float>(), n); });
    }
}

}  // namespace
}  // namespace mynah

int main(int argc, char** argv) {
  mynah::NoGrad no_grad;
  mynah::measure(argc > 1 ? std::atof(argv[1]) : 0.05);
  return 0;
}
