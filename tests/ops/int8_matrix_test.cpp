#include "ops/int8_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/isa.h"
#include "mynah/ops.h"
#include "ops/op_entry.h"

namespace mynah::ops {
namespace {

using kernels::Isa;

class Int8MatrixTest : public testing::Test {
 protected:
  void TearDown() override {
    kernels::set_isa(isa_);
    set_threads(0);
  }
  const Isa isa_ = kernels::active_isa();
};

// Codes and scale of up to 128 numbers, as the header of the kernel defines them.
std::vector<double> rounded(const float* x, int64_t n) {
  float amax = 0;
  for (int64_t i = 0; i < n; ++i) amax = std::max(amax, std::abs(x[i]));
  std::vector<double> codes;
  for (int64_t i = 0; i < n; ++i) codes.push_back(amax == 0 ? 0 : std::nearbyint(x[i] * (127.0f / amax)));
  codes.push_back(amax / 127.0f);
  return codes;
}

std::vector<float> reference(const Tensor& x, const Tensor& w, const float* bias) {
  const int64_t m = x.size(0), n = w.size(0), k = x.size(1);
  std::vector<float> y;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t b = 0; b < k; b += 128) {
        const int64_t count = std::min<int64_t>(128, k - b);
        const auto a = rounded(x.data<float>() + i * k + b, count), c = rounded(w.data<float>() + j * k + b, count);
        double exact = 0;
        for (int64_t l = 0; l < count; ++l) exact += a[static_cast<size_t>(l)] * c[static_cast<size_t>(l)];
        sum = std::fma(static_cast<float>(exact), static_cast<float>(c.back()) * static_cast<float>(a.back()), sum);
      }
      y.push_back(sum + (bias ? bias[j] : 0.0f));
    }
  return y;
}

TEST_F(Int8MatrixTest, IsItsDefinitionBitForBitWithEveryInstructionSetAndThreads) {
  struct Case {
    int64_t m, n, k;
  };
  for (const Case s : {Case{1, 1, 1}, Case{1, 33, 130}, Case{5, 16, 128}, Case{12, 70, 3}, Case{13, 48, 259}, Case{17, 35, 196}, Case{35, 70, 320}, Case{50, 40, 640}, Case{400, 200, 300}}) {
    const Tensor x = sample_tensor({s.m, s.k}), w = sample_tensor({s.n, s.k}, 1), bias = sample_tensor({s.n}, 2);
    const auto expected = reference(x, w, bias.data<float>());
    for (const Isa isa : kernels::kIsas) {
      if (!kernels::set_isa(isa)) continue;
      for (int threads : {1, 3}) {
        set_threads(threads);
        const auto packed = Int8Matrix::pack(std::span(&w, 1));
        std::vector<float> y(expected.size());
        packed->multiply(x.data<float>(), s.m, s.k, y.data(), s.n, bias.data<float>());
        ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0) << kernels::isa_name(isa) << " " << s.m << " " << s.n << " " << s.k;
        // The last row alone.
        std::vector<float> row(static_cast<size_t>(s.n));
        packed->multiply(x.data<float>() + (s.m - 1) * s.k, 1, s.k, row.data(), s.n, bias.data<float>());
        ASSERT_EQ(std::memcmp(row.data(), y.data() + (s.m - 1) * s.n, row.size() * sizeof(float)), 0);
      }
    }
  }
}

TEST_F(Int8MatrixTest, PartsAndViewsAreOneMatrix) {
  const Tensor x = sample_tensor({9, 200}), w = sample_tensor({75, 200}, 1);
  const auto whole = Int8Matrix::pack(std::span(&w, 1));
  const std::vector<Tensor> parts = {narrow(w, 0, 0, 21), narrow(w, 0, 21, 4), transpose(contiguous(transpose(narrow(w, 0, 25, 50), 0, 1)), 0, 1)};
  const auto joined = Int8Matrix::pack(parts);
  std::vector<float> a(9 * 75), b(9 * 75);
  whole->multiply(x.data<float>(), 9, 200, a.data(), 75);
  joined->multiply(x.data<float>(), 9, 200, b.data(), 75);
  EXPECT_EQ(a, b);
}

TEST_F(Int8MatrixTest, ZerosAndNan) {
  Tensor x = Tensor::zeros({2, 130});
  x.data<float>()[130] = std::nanf("");
  const Tensor w = sample_tensor({3, 130});
  float y[6];
  Int8Matrix::pack(std::span(&w, 1))->multiply(x.data<float>(), 2, 130, y, 3);
  for (int j = 0; j < 3; ++j) {
    EXPECT_EQ(y[j], 0);
    EXPECT_TRUE(std::isnan(y[3 + j]));
  }
}

}  // namespace
}  // namespace mynah::ops
