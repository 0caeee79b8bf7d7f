#include "ops/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/isa.h"
#include "mynah/error.h"
#include "tensor/half.h"

namespace mynah::ops {
namespace {

using kernels::Isa;

enum class Form { rows, columns, strided };  // row-major, transposed, both strides above 1

// A random matrix in one storage form, starting at an odd byte so that nothing is aligned by chance.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, DType dtype, Form form, std::mt19937& random) : dtype_(dtype) {
    row_stride_ = form == Form::rows ? columns + 3 : form == Form::columns ? 1 : 2 * columns + 1;
    column_stride_ = form == Form::rows ? 1 : form == Form::columns ? rows + 2 : 2;
    const int64_t last = rows == 0 || columns == 0 ? 0 : (rows - 1) * row_stride_ + (columns - 1) * column_stride_ + 1;
    bytes_.resize(1 + static_cast<size_t>(last) *
                          width());  // exactly to the last element: reads beyond are found by sanitizers
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < last; ++i) put(i, normal(random));
  }
  MatrixView view(int64_t first_row = 0) const {
    return {bytes_.data() + 1 + static_cast<size_t>(first_row * row_stride_) * width(), dtype_, row_stride_,
            column_stride_};
  }
  double at(int64_t row, int64_t column) const {
    const char* p = bytes_.data() + 1 + static_cast<size_t>(row * row_stride_ + column * column_stride_) * width();
    float f;
    uint16_t h;
    if (dtype_ == DType::f32) return std::memcpy(&f, p, 4), f;
    std::memcpy(&h, p, 2);
    return dtype_ == DType::bf16 ? from_bf16(h) : from_f16(h);
  }

 private:
  size_t width() const { return dtype_ == DType::f32 ? 4 : 2; }
  void put(int64_t i, float f) {
    char* p = bytes_.data() + 1 + static_cast<size_t>(i) * width();
    const uint16_t h = dtype_ == DType::bf16 ? to_bf16(f) : to_f16(f);
    std::memcpy(p, dtype_ == DType::f32 ? static_cast<const void*>(&f) : &h, width());
  }
  DType dtype_;
  int64_t row_stride_, column_stride_;
  std::vector<char> bytes_;
};

std::vector<float> random_vector(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(random);
  return v;
}

// The largest error of C in units of what f32 sums of that length may lose.
double worst_error(const Matrix& a, const Matrix& b, const std::vector<float>& before, const std::vector<float>& after,
                   int64_t m, int64_t n, int64_t k, int64_t ldc, bool accumulate, const float* bias, bool rounds_a) {
  double worst = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < ldc; ++j) {
      const size_t at = static_cast<size_t>(i * ldc + j);
      if (j >= n) {
        if (after[at] != before[at]) return std::numeric_limits<double>::infinity();  // wrote beside C
        continue;
      }
      double sum = accumulate ? before[at] : 0.0, size = std::abs(sum);
      for (int64_t l = 0; l < k; ++l) {
        const double x = rounds_a ? from_bf16(to_bf16(static_cast<float>(a.at(i, l)))) : a.at(i, l),
                     product = x * b.at(l, j);
        sum += product;
        size += std::abs(product);
      }
      if (bias) sum += bias[j], size += std::abs(bias[j]);
      worst = std::max(worst, std::abs(sum - after[at]) / (size + 1e-30));
    }
  return worst / (6e-8 * (2 + std::sqrt(static_cast<double>(k))));
}

std::vector<Isa> instruction_sets() {
  std::vector<Isa> all;
  for (const Isa isa : kernels::kIsas)
    if (kernels::isa_supported(isa)) all.push_back(isa);
  return all;
}

class GemmTest : public testing::Test {
 protected:
  void TearDown() override {
    kernels::set_isa(isa_);
    set_threads(0);
  }
  const Isa isa_ = kernels::active_isa();
  std::mt19937 random_{7};
};

TEST_F(GemmTest, EveryFormSizeAndTypeMatchesTheDefinition) {
  std::uniform_int_distribution<int64_t> size(1, 70);
  for (Isa isa : instruction_sets()) {
    kernels::set_isa(isa);
    for (DType ta : {DType::f32, DType::bf16, DType::f16})
      for (DType tb : {DType::f32, DType::bf16, DType::f16})
        for (Form fa : {Form::rows, Form::columns, Form::strided})
          for (Form fb : {Form::rows, Form::columns, Form::strided})
            for (int repeat = 0; repeat < 6; ++repeat) {
              const int64_t m = repeat < 3 ? 1 + size(random_) % kFewRows : size(random_), n = size(random_),
                            k = size(random_), ldc = n + 2;
              const bool accumulate = repeat % 2, with_bias = repeat % 3 == 0;
              const Matrix a(m, k, ta, fa, random_), b(k, n, tb, fb, random_);
              const std::vector<float> bias = random_vector(n, random_), before = random_vector(m * ldc, random_);
              std::vector<float> c = before;
              gemm(m, n, k, a.view(), b.view(), c.data(), ldc, accumulate, with_bias ? bias.data() : nullptr);
              ASSERT_LT(worst_error(a, b, before, c, m, n, k, ldc, accumulate, with_bias ? bias.data() : nullptr,
                                    tb == DType::bf16),
                        1.0)
                  << kernels::isa_name(isa) << " " << name(ta) << " " << name(tb) << " forms " << static_cast<int>(fa)
                  << static_cast<int>(fb) << " sizes " << m << " " << n << " " << k;
            }
  }
}

TEST_F(GemmTest, SizesBeyondEveryBlockMatchTheDefinition) {
  struct Case {
    int64_t m, n, k;
  };
  for (Case s : {Case{150, 1100, 40}, Case{20, 70, 2300}, Case{1, 400, 900}, Case{2, 605, 70}, Case{3, 130, 1000},
                 Case{300, 40, 33}})
    for (DType tb : {DType::f32, DType::bf16})
      for (Form fb : {Form::rows, Form::columns}) {
        const Matrix a(s.m, s.k, DType::f32, Form::rows, random_), b(s.k, s.n, tb, fb, random_);
        const std::vector<float> bias = random_vector(s.n, random_), before = random_vector(s.m * s.n, random_);
        std::vector<float> c = before;
        gemm(s.m, s.n, s.k, a.view(), b.view(), c.data(), s.n, true, bias.data());
        ASSERT_LT(worst_error(a, b, before, c, s.m, s.n, s.k, s.n, true, bias.data(), tb == DType::bf16), 1.0)
            << s.m << " " << s.n << " " << s.k << " " << name(tb);
      }
}

TEST_F(GemmTest, RowsAloneEqualRowsTogetherBitForBit) {
  for (Isa isa : instruction_sets()) {
    kernels::set_isa(isa);
    for (DType tb : {DType::f32, DType::bf16, DType::f16})
      for (Form fb : {Form::rows, Form::columns}) {
        const int64_t m = 61, n = 83, k = 1501;
        const Matrix a(m, k, DType::f32, Form::rows, random_), b(k, n, tb, fb, random_);
        const std::vector<float> bias = random_vector(n, random_), before = random_vector(m * n, random_);
        std::vector<float> together = before, apart = before;
        gemm(m, n, k, a.view(), b.view(), together.data(), n, true, bias.data());
        int64_t rows = 1;
        for (int64_t first = 0; first < m; first += rows, ++rows) {  // 1, 2, 3 ... rows at a time
          rows = std::min(rows, m - first);
          gemm(rows, n, k, a.view(first), b.view(), apart.data() + first * n, n, true, bias.data());
        }
        ASSERT_EQ(std::memcmp(together.data(), apart.data(), together.size() * sizeof(float)), 0)
            << kernels::isa_name(isa) << " " << name(tb) << " form " << static_cast<int>(fb);
      }
  }
}

TEST_F(GemmTest, ThreadsDoNotChangeABit) {
  for (int64_t m : {1, 5, 200})
    for (DType tb : {DType::f32, DType::bf16}) {
      const int64_t n = 700, k = 1300;
      const Matrix a(m, k, DType::f32, Form::rows, random_), b(k, n, tb, Form::columns, random_);
      std::vector<float> one(static_cast<size_t>(m * n)), several(one.size());
      set_threads(1);
      gemm(m, n, k, a.view(), b.view(), one.data(), n);
      set_threads(3);
      gemm(m, n, k, a.view(), b.view(), several.data(), n);
      ASSERT_EQ(std::memcmp(one.data(), several.data(), one.size() * sizeof(float)), 0) << m << " " << name(tb);
    }
}

TEST_F(GemmTest, PackedOnceGivesTheSameBits) {
  struct Case {
    int64_t m, n, k;
  };
  for (Isa isa : instruction_sets()) {
    kernels::set_isa(isa);
    for (Case s : {Case{1, 5, 7}, Case{3, 130, 40}, Case{9, 64, 33}, Case{33, 96, 2300}, Case{150, 1100, 40}})
      for (DType tb : {DType::f32, DType::bf16})
        for (Form fb : {Form::rows, Form::columns}) {
          const Matrix a(s.m, s.k, DType::f32, Form::rows, random_), b(s.k, s.n, tb, fb, random_);
          const std::vector<float> bias = random_vector(s.n, random_);
          std::vector<float> x, expected(static_cast<size_t>(s.m * s.n)), got = expected;
          for (int64_t i = 0; i < s.m; ++i)
            for (int64_t l = 0; l < s.k; ++l) x.push_back(static_cast<float>(a.at(i, l)));
          gemm(s.m, s.n, s.k, {x.data(), DType::f32, s.k, 1}, b.view(), expected.data(), s.n, false, bias.data());
          // Two parts, the first of whole panels where there are that many columns.
          const int64_t first = s.n / 2 / 16 * 16;
          MatrixView right = b.view();
          right.data = static_cast<const char*>(right.data) + first * right.column_stride * (tb == DType::f32 ? 4 : 2);
          const std::vector<MatrixView> parts = first ? std::vector{b.view(), right} : std::vector{b.view()};
          const std::vector<int64_t> columns = first ? std::vector{first, s.n - first} : std::vector{s.n};
          const auto packed = PackedB::pack(s.k, parts, columns);
          ASSERT_EQ(packed == nullptr, tb == DType::bf16 && !kernels::has_bf16_pairs(isa));
          if (!packed) continue;
          for (int threads : {1, 3}) {
            set_threads(threads);
            packed->multiply(s.m, x.data(), s.k, got.data(), s.n, bias.data());
            ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
                << kernels::isa_name(isa) << " " << name(tb) << " " << s.m << " " << s.n << " " << s.k;
          }
          std::vector<float> column(static_cast<size_t>(s.k));
          for (int64_t j : {int64_t{0}, s.n / 2, s.n - 1}) {
            packed->column(j, column.data());
            for (int64_t l = 0; l < s.k; ++l) ASSERT_EQ(column[static_cast<size_t>(l)], static_cast<float>(b.at(l, j)));
          }
        }
  }
  const float one[2] = {1, 2};
  const MatrixView view{one, DType::f32, 1, 1};
  const int64_t half[2] = {1, 1};
  const MatrixView both[2] = {view, view};
  EXPECT_EQ(PackedB::pack(1, both, half), nullptr);  // the first part ends inside a panel
}

TEST_F(GemmTest, InstructionSetsWithFusedMultiplyAddAgreeBitForBit) {
  if (!kernels::isa_supported(Isa::avx512)) GTEST_SKIP() << "this processor has one such instruction set at most";
  for (int64_t m : {2, 40})
    for (DType tb : {DType::f32, DType::f16, DType::bf16}) {
      const int64_t n = 75, k = 333;
      const Matrix a(m, k, DType::f32, Form::rows, random_), b(k, n, tb, Form::columns, random_);
      std::vector<float> narrow(static_cast<size_t>(m * n)), wide(narrow.size());
      kernels::set_isa(Isa::avx2);
      gemm(m, n, k, a.view(), b.view(), narrow.data(), n);
      kernels::set_isa(Isa::avx512);
      gemm(m, n, k, a.view(), b.view(), wide.data(), n);
      ASSERT_EQ(std::memcmp(narrow.data(), wide.data(), wide.size() * sizeof(float)), 0) << m << " " << name(tb);
    }
}

TEST_F(GemmTest, OneChainOfFusedMultiplyAddsInOrder) {
  if (!kernels::isa_supported(Isa::avx2)) GTEST_SKIP() << "no fused multiply-add";
  for (int64_t m : {1, 30}) {
    const int64_t n = 17, k = 1100;
    const Matrix a(m, k, DType::f32, Form::rows, random_), b(k, n, DType::f32, Form::columns, random_);
    std::vector<float> c(static_cast<size_t>(m * n));
    gemm(m, n, k, a.view(), b.view(), c.data(), n);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum = std::fma(static_cast<float>(a.at(i, l)), static_cast<float>(b.at(l, j)), sum);
        ASSERT_EQ(c[static_cast<size_t>(i * n + j)], sum);
      }
  }
}

TEST_F(GemmTest, AScopeMultipliesF32AsIfBothSidesWereBf16) {
  const auto bits = [](const std::vector<float>& x, const std::vector<float>& y) { return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0; };
  for (Isa isa : instruction_sets()) {
    kernels::set_isa(isa);
    for (int64_t m : {1, 8, 9, 70})
      for (Form form : {Form::rows, Form::columns, Form::strided}) {
        const int64_t n = 75, k = 133;
        const Matrix a(m, k, DType::f32, form, random_), b(k, n, DType::f32, form, random_);
        std::vector<uint16_t> rounded;
        for (int64_t i = 0; i < k; ++i)
          for (int64_t j = 0; j < n; ++j) rounded.push_back(to_bf16(static_cast<float>(b.at(i, j))));
        std::vector<float> plain(static_cast<size_t>(m * n)), scoped(plain.size()), expected(plain.size()), inner(plain.size());
        gemm(m, n, k, a.view(), b.view(), plain.data(), n);
        gemm(m, n, k, a.view(), {rounded.data(), DType::bf16, n, 1}, expected.data(), n);
        {
          const ProductScope scope(true);
          gemm(m, n, k, a.view(), b.view(), scoped.data(), n);
          const ProductScope off(false);
          gemm(m, n, k, a.view(), b.view(), inner.data(), n);
        }
        EXPECT_TRUE(bits(scoped, expected)) << kernels::isa_name(isa) << " " << m;
        EXPECT_TRUE(bits(inner, plain)) << kernels::isa_name(isa) << " " << m;
        EXPECT_FALSE(bits(scoped, plain)) << kernels::isa_name(isa) << " " << m;
      }
  }
}

TEST_F(GemmTest, InfinityAndNanArrive) {
  const float a[] = {1, 2}, inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float b[] = {inf, 1, nan, 1, 1, -inf};  // three columns of two
  float c[3];
  gemm(1, 3, 2, {a, DType::f32, 2, 1}, {b, DType::f32, 1, 2}, c, 3);
  EXPECT_EQ(c[0], inf);
  EXPECT_TRUE(std::isnan(c[1]));
  EXPECT_EQ(c[2], -inf);
}

TEST_F(GemmTest, EmptySums) {
  float c[] = {1, 2, 3, 4};
  const float bias[] = {10, 20};
  gemm(2, 2, 0, {nullptr, DType::f32, 0, 1}, {nullptr, DType::f32, 2, 1}, c, 2, true, bias);
  EXPECT_EQ(c[0], 11);
  EXPECT_EQ(c[3], 24);
  gemm(2, 2, 0, {nullptr, DType::f32, 0, 1}, {nullptr, DType::f32, 2, 1}, c, 2);
  EXPECT_EQ(c[3], 0);
  gemm(0, 2, 5, {nullptr, DType::f32, 5, 1}, {nullptr, DType::f32, 2, 1}, nullptr, 2);
}

TEST_F(GemmTest, RefusesOtherTypes) {
  const int32_t a = 1;
  float c;
  EXPECT_THROW(gemm(1, 1, 1, {&a, DType::i32, 1, 1}, {&c, DType::f32, 1, 1}, &c, 1), Error);
  EXPECT_THROW(gemm(1, 1, 1, {&c, DType::f32, 1, 1}, {&a, DType::q8_0, 1, 1}, &c, 1), Error);
}

}  // namespace
}  // namespace mynah::ops
