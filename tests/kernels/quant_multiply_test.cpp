// Quantised products against a plain reference, and the promise of kernels/quant.h: the same bits for every number of
// rows and every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quant_testing.h"

namespace mynah::kernels {
namespace {

using test::kFormatNames;

std::vector<uint8_t> pack(int f, const std::vector<uint8_t>& bytes, int64_t rows, int64_t k) {
  const auto format = static_cast<BlockFormat>(f);
  std::vector<uint8_t> packed(packed_bytes(format, rows, k) + 63);
  const int64_t row_bytes = k / kPanelFormats[f].scale_columns * kPanelFormats[f].file_bytes;
  for (int64_t r = 0; r < rows; r += kPanelRows)
    pack_panel(format, bytes.data() + r * row_bytes, std::min(kPanelRows, rows - r), k,
               packed.data() + static_cast<size_t>(r / kPanelRows) * panel_bytes(format, k));
  return packed;
}

std::vector<ActivationBlock> quantize(const std::vector<float>& x, int64_t k) {
  const size_t rows = x.size() / static_cast<size_t>(k), stride = static_cast<size_t>(activation_blocks(k / 32));
  std::vector<ActivationBlock> out(rows * stride);
  for (size_t i = 0; i < rows; ++i) quant().quantize(&x[i * static_cast<size_t>(k)], k, &out[i * stride]);
  return out;
}

// Products of m rows with the matrix; cells that must not be written keep a mark.
std::vector<float> multiply(int f, const std::vector<uint8_t>& packed, int64_t rows, int64_t k,
                            const ActivationBlock* x, int64_t m) {
  const int64_t stride = rows + 5;
  std::vector<float> y(static_cast<size_t>(m * stride), 777.0f);
  quant().multiply[f](packed.data(), rows, k / 32, x, m, y.data(), stride);
  std::vector<float> out;
  for (int64_t i = 0; i < m; ++i) {
    out.insert(out.end(), y.begin() + i * stride, y.begin() + i * stride + rows);
    for (int64_t j = rows; j < stride; ++j)
      EXPECT_EQ(y[static_cast<size_t>(i * stride + j)], 777.0f) << "written past the end";
  }
  return out;
}

struct Case {
  int64_t m, rows, k;
};
constexpr Case kCases[] = {{1, 16, 256}, {1, 40, 512},  {3, 48, 256}, {8, 33, 512},
                           {9, 64, 768}, {21, 70, 512}, {37, 96, 256}};

// k of a case for a format: with blocks of 32 also no multiple of 256.
int64_t columns(const Case& c, int f) { return kPanelFormats[f].scale_columns == 32 ? c.k - 96 : c.k; }

class QuantMultiply : public test::QuantTest {};

TEST_P(QuantMultiply, EqualsReference) {
  for (int f = 0; f < kBlockFormats; ++f)
    for (const Case& c : kCases) {
      const int64_t k = columns(c, f);
      const auto bytes = test::random_blocks(f, c.rows, k, 5);
      const auto packed = pack(f, bytes, c.rows, k);
      const auto x = quantize(test::random_floats(c.m * k, 6), k);
      const auto y = multiply(f, packed, c.rows, k, x.data(), c.m);
      std::vector<float> w(static_cast<size_t>(c.rows * k));
      blocks().decode[f](bytes.data(), w.data(), c.rows * k);
      for (int64_t i = 0; i < c.m; ++i)
        for (int64_t r = 0; r < c.rows; ++r) {
          double sum = 0, size = 0;
          for (int64_t j = 0; j < k; ++j) {
            const ActivationBlock* a = &x[static_cast<size_t>(i * activation_blocks(k / 32) + j / 32)];
            double value = static_cast<double>(a->codes[j % 32]) * a->scale;
            if (a->residual) value += static_cast<double>(a[a->residual].codes[j % 32]) * a[a->residual].scale;
            const double term = static_cast<double>(w[static_cast<size_t>(r * k + j)]) * value;
            sum += term;
            size += std::abs(term);
          }
          ASSERT_NEAR(y[static_cast<size_t>(i * c.rows + r)], sum, 1e-6 * size)
              << kFormatNames[f] << " m " << c.m << " row " << r << " of " << c.rows << " k " << k;
        }
    }
}

TEST_P(QuantMultiply, RowsDoNotDependOnTheirNumber) {
  for (int f = 0; f < kBlockFormats; ++f) {
    const int64_t rows = 80, k = kPanelFormats[f].scale_columns == 32 ? 544 : 512, m = 67;
    const auto packed = pack(f, test::random_blocks(f, rows, k, 7), rows, k);
    const auto x = quantize(test::random_floats(m * k, 8), k);
    const auto all = multiply(f, packed, rows, k, x.data(), m);
    for (int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 16, 18, 31})
      for (int64_t first : {int64_t{0}, m - count}) {
        const auto some = multiply(f, packed, rows, k, x.data() + first * activation_blocks(k / 32), count);
        ASSERT_EQ(0, std::memcmp(some.data(), all.data() + first * rows, some.size() * 4))
            << kFormatNames[f] << " " << count << " rows";
      }
  }
}

TEST_P(QuantMultiply, SameBitsAsGeneric) {
  for (int f = 0; f < kBlockFormats; ++f)
    for (const Case& c : kCases) {
      const int64_t k = columns(c, f);
      const auto packed = pack(f, test::random_blocks(f, c.rows, k, 9), c.rows, k);
      const auto x = test::random_floats(c.m * k, 10);
      ASSERT_TRUE(set_isa(GetParam()));
      const auto y = multiply(f, packed, c.rows, k, quantize(x, k).data(), c.m);
      ASSERT_TRUE(set_isa(Isa::generic));
      const auto expected = multiply(f, packed, c.rows, k, quantize(x, k).data(), c.m);
      ASSERT_EQ(0, std::memcmp(y.data(), expected.data(), y.size() * 4)) << kFormatNames[f] << " m " << c.m;
    }
}

// The largest sums: every code and activation at its extreme, where a 16-bit sum could saturate.
TEST_P(QuantMultiply, ExtremesAreExact) {
  for (int f = 0; f < kBlockFormats; ++f)
    for (int fill : {0x00, 0xff}) {
      const int64_t k = 256, rows = 32, m = 16;
      auto bytes = test::random_blocks(f, rows, k, 11);
      const auto random = bytes;
      for (uint8_t& b : bytes) b = static_cast<uint8_t>(fill);
      // The f16 numbers stay: they are the bytes in which random_blocks keeps the exponent pattern.
      std::vector<float> w(static_cast<size_t>(rows * k));
      constexpr int kHalves[kBlockFormats][2] = {{0, 0},     {0, 2}, {0, 0}, {0, 2},     {0, 0}, {80, 82},
                                                 {108, 108}, {0, 2}, {0, 2}, {208, 208}, {0, 0}};
      for (size_t b = 0; b < bytes.size(); b += static_cast<size_t>(kPanelFormats[f].file_bytes))
        for (int at : kHalves[f])
          std::memcpy(&bytes[b + static_cast<size_t>(at)], &random[b + static_cast<size_t>(at)], 2);
      const auto packed = pack(f, bytes, rows, k);
      blocks().decode[f](bytes.data(), w.data(), rows * k);
      for (float value : {1.0f, -1.0f}) {
        const auto x = quantize(std::vector<float>(static_cast<size_t>(m * k), value), k);
        const auto y = multiply(f, packed, rows, k, x.data(), m);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0, size = 0;
          for (int64_t j = 0; j < k; ++j) {
            sum += static_cast<double>(w[static_cast<size_t>(r * k + j)]) * value;
            size += std::abs(w[static_cast<size_t>(r * k + j)]);
          }
          for (int64_t i = 0; i < m; ++i)
            ASSERT_NEAR(y[static_cast<size_t>(i * rows + r)], sum, 2e-6 * size) << kFormatNames[f] << " row " << r;
        }
      }
    }
}

TEST_P(QuantMultiply, Activations) {
  auto x = test::random_floats(320, 12);
  for (int i = 32; i < 64; ++i) x[static_cast<size_t>(i)] = 0;
  for (int i = 64; i < 96; ++i) x[static_cast<size_t>(i)] *= 1e-38f;
  for (int i = 96; i < 128; ++i) x[static_cast<size_t>(i)] *= 1e30f;
  const auto blocks_of_x = quantize(x, 320);
  for (size_t b = 0; b < 10; ++b) {
    const ActivationBlock& block = blocks_of_x[b];
    int sums[2] = {0, 0}, largest = 0;
    for (size_t i = 0; i < 32; ++i) {
      sums[i / 16] += block.codes[i];
      largest = std::max(largest, std::abs(block.codes[i]));
      EXPECT_NEAR(block.codes[i] * static_cast<double>(block.scale), x[32 * b + i], 0.5001 * block.scale + 1e-37)
          << b << " " << i;
    }
    EXPECT_EQ(largest, b == 1 || b == 2 ? 0 : 127);
    EXPECT_EQ(block.negative_sum, -(sums[0] + sums[1]));
    for (int h = 0; h < 2; ++h) {
      EXPECT_EQ(block.negative_sums[h], -sums[h]);
      EXPECT_EQ(block.scaled_sums[h], block.scale * static_cast<float>(sums[h]));
    }
    EXPECT_EQ(block.scaled_sum, block.scale * static_cast<float>(sums[0] + sums[1]));
  }
}

// The blocks with the largest scales are followed by what rounding left of them.
TEST_P(QuantMultiply, LargestBlocksHaveASecondOne) {
  for (const int64_t blocks : {1, 2, 18, 64, 130}) {
    auto x = test::random_floats(32 * blocks, 15);
    for (size_t i = 0; i < x.size(); i += 96) x[i] *= 50 + static_cast<float>(i);
    const auto out = quantize(x, 32 * blocks);
    ASSERT_EQ(static_cast<int64_t>(out.size()), activation_blocks(blocks));
    float least = std::numeric_limits<float>::infinity(), most = 0;
    int64_t second = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const ActivationBlock& a = out[static_cast<size_t>(b)];
      if (a.residual == 0) {
        most = std::max(most, a.scale);
        continue;
      }
      ++second;
      least = std::min(least, a.scale);
      const ActivationBlock& rest = out[static_cast<size_t>(b + a.residual)];
      EXPECT_GE(b + a.residual, blocks);
      EXPECT_EQ(rest.residual, 0);
      for (size_t j = 0; j < 32; ++j) {
        const double value = static_cast<double>(a.codes[j]) * a.scale + static_cast<double>(rest.codes[j]) * rest.scale;
        EXPECT_NEAR(value, x[static_cast<size_t>(32 * b) + j], 0.003 * a.scale);
      }
    }
    EXPECT_EQ(second, std::min(blocks, activation_blocks(blocks) - blocks));
    EXPECT_GE(least, most);
  }
}

// Numbers that are not finite do not vanish in the quantisation.
TEST_P(QuantMultiply, NotFiniteStaysVisible) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    auto x = test::random_floats(64, 13);
    x[40] = bad;
    const auto a = quantize(x, 64);
    EXPECT_TRUE(std::isfinite(a[0].scale));
    EXPECT_FALSE(std::isfinite(a[1].scale));
    const auto packed = pack(4, test::random_blocks(4, 16, 64, 14), 16, 64);
    for (float y : multiply(4, packed, 16, 64, a.data(), 1)) EXPECT_FALSE(std::isfinite(y));
  }
}

INSTANTIATE_TEST_SUITE_P(, QuantMultiply, testing::ValuesIn(kIsas), test::isa_test_name);

}  // namespace
}  // namespace mynah::kernels
