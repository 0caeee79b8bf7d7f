// Folded convolutions against conv2d, batch_norm, add and relu; the same bits for any number of threads and any company.
#include "ops/folded_conv.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/gemm.h"
#include "mynah/error.h"
#include "base/thread_pool.h"

namespace mynah {
namespace {

Tensor noise(const Shape& shape, uint64_t stream) {
  Tensor t = Tensor::zeros(shape);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const auto mixed = static_cast<uint32_t>((static_cast<uint64_t>(i) * 2654435761u + stream * 40503u) ^ (static_cast<uint64_t>(i) >> 3) * 97u);
    t.data<float>()[i] = static_cast<float>(mixed % 2001) / 1000.0f - 1.0f;
  }
  return t;
}

struct ConvCase {
  Shape x, weight;
  ConvConfig config;
};

class FoldedConvolutions : public testing::TestWithParam<ConvCase> {};

class FoldedInBf16 : public testing::TestWithParam<ConvCase> {};

// Operands rounded to bf16, sums in f32, the same for any threads and company.
TEST_P(FoldedInBf16, EqualsProductsOfRoundedOperands) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), shift = noise({weight_shape[0]}, 5);
  const ops::FoldedConv folded(weight, {}, shift, config, true);
  const auto rounded = [](const Tensor& t) { return kernels::gemm().bf16_group == 2 ? to(to(t, DType::bf16), DType::f32) : t; };
  const Tensor plain = conv2d(rounded(x), rounded(weight), shift, config), added = noise(plain.shape(), 7);
  const auto got = folded(x, true, added).to_vector(), expected = relu(plain + added).to_vector();
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-4f * std::max(1.0f, std::abs(expected[i]))) << i;
  for (const int threads : {1, 3}) {
    set_threads(threads);
    EXPECT_EQ(folded(x, true, added).to_vector(), got) << threads;
  }
  set_threads(0);
  const auto alone = folded(narrow(x, 0, 0, 1), true, narrow(added, 0, 0, 1)).to_vector();
  EXPECT_EQ(alone, std::vector<float>(got.begin(), got.begin() + static_cast<long>(alone.size())));
}

TEST_P(FoldedConvolutions, EqualTheirParts) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const int64_t outputs = weight_shape[0];
  const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), mean = noise({outputs}, 3), gain = noise({outputs}, 4), bias = noise({outputs}, 5);
  const Tensor variance = add(square(noise({outputs}, 6)), 0.5f);
  const auto [factor, summand] = ops::FoldedConv::of_norm(mean, variance, gain, bias, 1e-3f);
  const ops::FoldedConv folded(weight, factor, summand, config);
  const Tensor plain = batch_norm(conv2d(x, weight, {}, config), mean, variance, gain, bias, 1e-3f);
  const Tensor added = noise(plain.shape(), 7);
  const std::pair<Tensor, Tensor> pairs[] = {{folded(x, false), plain}, {folded(x, true), relu(plain)}, {folded(x, true, added), relu(plain + added)}, {folded(x, false, added), plain + added}};
  for (const auto& [got, expected] : pairs) {
    ASSERT_EQ(got.shape().str(), expected.shape().str());
    const auto a = got.to_vector(), b = expected.to_vector();
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4f * std::max(1.0f, std::abs(b[i]))) << i;
  }
  // Bits.
  const std::vector<float> before = folded(x, true, added).to_vector();
  for (const int threads : {1, 3}) {
    set_threads(threads);
    EXPECT_EQ(folded(x, true, added).to_vector(), before) << threads;
  }
  set_threads(0);
  const std::vector<float> alone = folded(narrow(x, 0, 0, 1), true, narrow(added, 0, 0, 1)).to_vector();
  EXPECT_EQ(alone, std::vector<float>(before.begin(), before.begin() + static_cast<long>(alone.size())));
}

INSTANTIATE_TEST_SUITE_P(Shapes, FoldedInBf16,
                         testing::Values(ConvCase{{2, 3, 17, 23}, {5, 3, 7, 7}, {{2, 2}, {3, 3}}}, ConvCase{{2, 8, 12, 9}, {33, 8, 1, 1}, {}}, ConvCase{{1, 130, 6, 6}, {40, 130, 3, 3}, {{1, 1}, {1, 1}}},
                                         ConvCase{{1, 40, 64, 70}, {24, 40, 3, 3}, {{1, 1}, {1, 1}}}, ConvCase{{1, 300, 7, 7}, {20, 300, 3, 3}, {{1, 1}, {1, 1}}}));

INSTANTIATE_TEST_SUITE_P(Shapes, FoldedConvolutions,
                         testing::Values(ConvCase{{2, 3, 17, 23}, {5, 3, 7, 7}, {{2, 2}, {3, 3}}}, ConvCase{{2, 8, 12, 9}, {33, 8, 1, 1}, {}}, ConvCase{{3, 4, 9, 11}, {7, 4, 1, 1}, {{2, 2}}},
                                         ConvCase{{1, 6, 14, 14}, {20, 6, 3, 3}, {{1, 1}, {1, 1}}}, ConvCase{{2, 5, 13, 40}, {16, 5, 3, 3}, {{1, 2}, {2, 1}, {2, 1}}},
                                         ConvCase{{1, 130, 6, 6}, {40, 130, 3, 3}, {{1, 1}, {1, 1}}}, ConvCase{{1, 40, 64, 70}, {24, 40, 3, 3}, {{1, 1}, {1, 1}}},
                                         ConvCase{{2, 2, 3, 3}, {1, 2, 3, 3}, {}}));

TEST(FoldedConvolutionsAlone, RefuseWhatDoesNotFit) {
  const ops::FoldedConv folded(noise({4, 3, 3, 3}, 1), {}, {}, {});
  EXPECT_THROW(folded(noise({1, 2, 5, 5}, 2), false), Error);
  EXPECT_THROW(folded(noise({1, 3, 2, 5}, 2), false), Error);
  EXPECT_THROW(folded(noise({1, 3, 5, 5}, 2), false, noise({1, 4, 3, 2}, 3)), Error);
}

}  // namespace
}  // namespace mynah
