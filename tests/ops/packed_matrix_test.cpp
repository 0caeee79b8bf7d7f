// Packed matrices: joined segments, threads, rows of any type, and the gradient.
#include "ops/packed_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/quant_testing.h"
#include "mynah/error.h"
#include "ops/gemm.h"
#include "tensor/quantize.h"

namespace mynah::ops {
namespace {

Tensor random_matrix(DType type, int64_t rows, int64_t k, uint64_t seed) {
  const auto bytes = test::random_blocks(static_cast<int>(type) - static_cast<int>(DType::q4_0), rows, k, seed);
  Tensor t = Tensor::empty({rows, k}, type);
  EXPECT_EQ(t.nbytes(), bytes.size());
  std::memcpy(t.raw(), bytes.data(), bytes.size());
  return t;
}

// Segments of several types, none a multiple of 16 rows but the first.
std::vector<Tensor> segments(int64_t k) {
  std::vector<Tensor> parts = {random_matrix(DType::q4_1, 64, k, 1), random_matrix(DType::q8_0, 21, k, 2),
                               random_matrix(DType::q5_0, 7, k, 3)};
  if (k % 256 == 0) parts.push_back(random_matrix(DType::q6_k, 300, k, 4));
  return parts;
}

std::vector<float> values(const std::vector<Tensor>& parts) {
  std::vector<float> all;
  for (const Tensor& t : parts) {
    const auto part = dequantize(t).to_vector();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

class Threads : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_threads(GetParam()); }
  void TearDown() override { set_threads(0); }
};

TEST_P(Threads, MultiplyJoinsSegments) {
  for (int64_t k : {int64_t{96}, int64_t{512}}) {
    const auto parts = segments(k);
    const auto w = values(parts);
    const auto matrix = PackedMatrix::pack(parts);
    const int64_t n = matrix->rows();
    ASSERT_EQ(n * k, static_cast<int64_t>(w.size()));
    ASSERT_EQ(matrix->columns(), k);
    for (int64_t m : {1, 40, 140}) {
      const int64_t ldx = k + 3, ldy = n + 2;
      const auto x = test::random_floats(m * ldx, 5);
      std::vector<float> y(static_cast<size_t>(m * ldy), -1.0f);
      matrix->multiply(x.data(), m, ldx, y.data(), ldy);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t r = 0; r < n; ++r) {
          double sum = 0, size = 0;
          for (int64_t j = 0; j < k; ++j) {
            const double term =
                static_cast<double>(w[static_cast<size_t>(r * k + j)]) * x[static_cast<size_t>(i * ldx + j)];
            sum += term;
            size += std::abs(w[static_cast<size_t>(r * k + j)]);
          }
          // Half a step of a 127th of the largest |x| (2) for every column.
          ASSERT_NEAR(y[static_cast<size_t>(i * ldy + r)], sum, size / 127) << "m " << m << " row " << r << " k " << k;
        }
        ASSERT_EQ(y[static_cast<size_t>(i * ldy + n)], -1.0f);
        ASSERT_EQ(y[static_cast<size_t>(i * ldy + n + 1)], -1.0f);
      }
    }
  }
}

TEST_P(Threads, SameBitsWhateverTheThreadsAndRows) {
  const int64_t k = 512, m = 300;
  const auto parts = segments(k);
  const auto matrix = PackedMatrix::pack(parts);
  const int64_t n = matrix->rows();
  const auto x = test::random_floats(m * k, 6);
  std::vector<float> all(static_cast<size_t>(m * n)), one(static_cast<size_t>(n));
  matrix->multiply(x.data(), m, k, all.data(), n);
  set_threads(1);
  for (int64_t i = 0; i < m; i += 23) {
    matrix->multiply(x.data() + i * k, 1, k, one.data(), n);
    ASSERT_EQ(0, std::memcmp(one.data(), all.data() + i * n, one.size() * 4)) << "row " << i;
  }
}

TEST_P(Threads, SwigluEqualsItsParts) {
  for (int64_t half : {int64_t{48}, int64_t{40}, int64_t{1000}})
    for (int64_t m : {1, 70}) {
      const int64_t k = 256;
      const std::vector<Tensor> parts = {random_matrix(DType::q4_1, half, k, 7),
                                         random_matrix(DType::q4_0, half, k, 8)};
      const auto matrix = PackedMatrix::pack(parts);
      const auto x = test::random_floats(m * k, 9);
      std::vector<float> both(static_cast<size_t>(2 * m * half)), y(static_cast<size_t>(m * half));
      matrix->multiply(x.data(), m, k, both.data(), 2 * half);
      QuantizedRows quantized;
      quantized.assign(x.data(), m, k, k);
      matrix->multiply_swiglu(quantized, y.data(), half);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < half; ++j) {
          const double gate = both[static_cast<size_t>(2 * i * half + j)],
                       up = both[static_cast<size_t>((2 * i + 1) * half + j)];
          const double expected = gate / (1 + std::exp(-gate)) * up;
          ASSERT_NEAR(y[static_cast<size_t>(i * half + j)], expected, 1e-6 * std::abs(expected) + 1e-30)
              << i << " " << j;
        }
    }
}

TEST_P(Threads, TransposedEqualsReference) {
  const int64_t k = 256, m = 70;
  const auto parts = segments(k);
  const auto w = values(parts);
  const auto matrix = PackedMatrix::pack(parts);
  const int64_t n = matrix->rows();
  const auto dy = test::random_floats(m * n, 10);
  std::vector<float> dx(static_cast<size_t>(m * k), 9.0f);
  matrix->multiply_transposed(dy.data(), m, dx.data());
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; ++j) {
      double sum = 0, size = 0;
      for (int64_t r = 0; r < n; ++r) {
        const double term = static_cast<double>(dy[static_cast<size_t>(i * n + r)]) * w[static_cast<size_t>(r * k + j)];
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(dx[static_cast<size_t>(i * k + j)], sum, 1e-6 * size) << i << " " << j;
    }
}

// More rows and columns than a piece or a round has, and numbers of them that end inside one.
TEST_P(Threads, DecodedProductsHaveTheBitsOfWholeOnes) {
  const int64_t m = 37;
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{70, 96}, {2117, 800}, {300, 2400}}) {
    const Tensor w = random_matrix(DType::q8_0, n, k, 21);
    const auto values = dequantize(w).to_vector();
    const DecodedMatrix decoded{n, k, [&](int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) {
                                  ASSERT_TRUE(row % DecodedMatrix::kPieceRows == 0 && column % DecodedMatrix::kPieceColumns == 0);
                                  for (int64_t r = 0; r < rows; ++r) std::copy_n(values.data() + (row + r) * k + column, columns, out + r * columns);
                                }};
    const auto x = test::random_floats(m * k, 22), dy = test::random_floats(m * n, 23);
    for (const bool rounded : {false, true}) {
      const ProductScope scope(rounded);
      std::vector<float> y(static_cast<size_t>(m * n)), dx(static_cast<size_t>(m * k)), packed = dx, y_want = y, dx_want = dx;
      gemm(m, n, k, {x.data(), DType::f32, k, 1}, {values.data(), DType::f32, 1, k}, y_want.data(), n);
      gemm(m, k, n, {dy.data(), DType::f32, n, 1}, {values.data(), DType::f32, k, 1}, dx_want.data(), k);
      multiply_decoded(decoded, m, x.data(), y.data());
      multiply_decoded_transposed(decoded, m, dy.data(), dx.data());
      PackedMatrix::pack(std::vector<Tensor>{w})->multiply_transposed(dy.data(), m, packed.data());
      EXPECT_TRUE(y == y_want && dx == dx_want && packed == dx_want) << n << " x " << k << (rounded ? " bf16" : " f32");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PackedMatrix, Threads, testing::Values(1, 2, 3), testing::PrintToStringParamName());

TEST(PackedMatrixRows, EqualTheStoredBlocks) {
  for (DType type : {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
                     DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl}) {
    const int64_t k = 512;
    const std::vector<Tensor> parts = {random_matrix(type, 19, k, 11), random_matrix(DType::q8_0, 5, k, 12)};
    const auto w = values(parts);
    const auto matrix = PackedMatrix::pack(parts);
    for (int64_t first = 0; first < matrix->rows(); ++first)
      for (int64_t count = 1; count <= matrix->rows() - first; ++count) {
        std::vector<float> rows(static_cast<size_t>(count * k), 7.0f);
        matrix->dequantize_rows(first, count, rows.data());
        ASSERT_EQ(0, std::memcmp(rows.data(), w.data() + first * k, rows.size() * 4)) << name(type) << " rows " << first << " to " << first + count;
      }
    EXPECT_LE(matrix->bytes(), static_cast<size_t>(32 * 512 * 4));
  }
}

TEST(PackedMatrixPack, TellsWhatIsNoLongerNeeded) {
  const auto parts = segments(96);
  std::vector<Shape> told;
  const auto matrix = PackedMatrix::pack(parts, [&](const Tensor& t) { told.push_back(t.shape()); });
  ASSERT_EQ(told.size(), parts.size());
  for (size_t i = 0; i < parts.size(); ++i) EXPECT_EQ(told[i], parts[i].shape());
}

TEST(PackedMatrixPack, RefusesWhatItCannotPack) {
  EXPECT_THROW(PackedMatrix::pack({}), Error);
  EXPECT_THROW(PackedMatrix::pack(std::vector<Tensor>{Tensor{}}), Error);
  EXPECT_THROW(PackedMatrix::pack(std::vector<Tensor>{Tensor::zeros({4, 32})}), Error);
  EXPECT_THROW(PackedMatrix::pack(
                   std::vector<Tensor>{random_matrix(DType::q4_0, 4, 32, 1), random_matrix(DType::q4_0, 4, 64, 1)}),
               Error);
}

}  // namespace
}  // namespace mynah::ops
