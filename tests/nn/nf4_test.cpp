#include "nn/nf4.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"

namespace mynah::nn {
namespace {

Tensor drawn(const Shape& shape, const char* name) {
  Tensor t = Tensor::empty(shape);
  fill_normal(t.data<float>(), t.numel(), 0, 1, 11, name);
  return t;
}

// Levels of bitsandbytes 0.50 and what its quantize_4bit and dequantize_4bit make of these numbers (block 64, "nf4", on the CPU).
TEST(Nf4, ValuesAreThoseOfBitsandbytes) {
  std::vector<float> x(64);
  for (int i = 0; i < 64; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i - 32) / 16;
  const Tensor given = Tensor::from(std::span<const float>(x), {1, 64});
  const std::vector<float> y = Nf4Matrix(std::span(&given, 1)).values(0, 1).to_vector();
  constexpr float kLevels[16] = {-1.0f, -0.6961928f, -0.5250731f, -0.3949175f, -0.2844414f, -0.1847734f, -0.0910500f, 0.0f,
                                 0.0795803f, 0.1609302f, 0.2461123f, 0.3379152f, 0.4407098f, 0.5626170f, 0.7229568f, 1.0f};
  for (size_t i = 0; i < 64; ++i) {
    float nearest = 2 * kLevels[0];
    for (const float level : kLevels)
      if (std::abs(2 * level - x[i]) < std::abs(nearest - x[i])) nearest = 2 * level;
    EXPECT_NEAR(y[i], nearest, 1e-6) << x[i];
  }
}

TEST(Nf4, PartsAndTurnedMatricesHaveTheirOwnBlocks) {
  const Tensor a = drawn({3, 40}, "a"), b = drawn({5, 40}, "b");  // 40: blocks cross rows
  const Tensor parts[] = {a, b};
  const Nf4Matrix joined{std::span(parts)};
  const std::vector<float> alone = Nf4Matrix(std::span(&b, 1)).values(0, 5).to_vector();
  EXPECT_EQ(joined.values(3, 5).to_vector(), alone);
  EXPECT_EQ(joined.values(4, 2).to_vector(), std::vector<float>(alone.begin() + 40, alone.begin() + 120));
  const Tensor turned = transpose(contiguous(transpose(b, 0, 1)), 0, 1);
  EXPECT_EQ(Nf4Matrix(std::span(&turned, 1)).values(0, 5).to_vector(), alone);
  // Any columns of any rows.
  const std::vector<float> all = joined.values(0, 8).to_vector();
  for (int64_t column = 0; column < 40; column += 7)
    for (int64_t columns = 1; columns <= 40 - column; columns += 3) {
      std::vector<float> some(static_cast<size_t>(4 * columns));
      joined.decode(2, 4, column, columns, some.data());
      for (int64_t r = 0; r < 4; ++r)
        for (int64_t c = 0; c < columns; ++c) ASSERT_EQ(some[static_cast<size_t>(r * columns + c)], all[static_cast<size_t>((2 + r) * 40 + column + c)]) << column << "+" << c;
    }
  EXPECT_LT(joined.bytes(), 8u * 40 * sizeof(float) / 4);
}

TEST(Nf4, TheProductIsThatOfItsValues) {
  const Tensor w = drawn({24, 64}, "w"), bias = drawn({24}, "bias");
  const auto matrix = std::make_shared<const Nf4Matrix>(std::span(&w, 1));
  const Tensor x = requires_grad(drawn({2, 5, 64}, "x")), same = requires_grad(x.detach());
  const Tensor y = nf4_product(matrix, x, bias), expected = linear(same, matrix->values(0, 24), bias);
  EXPECT_EQ(y.to_vector(), expected.to_vector());
  backward(sum(square(y)));
  backward(sum(square(expected)));
  const auto a = grad(x).to_vector(), b = grad(same).to_vector();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4 * std::max(1.0f, std::abs(b[i])));
}

}  // namespace
}  // namespace mynah::nn
