// What adapters add to a product, against the same of plain ops.
#include "nn/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/record.h"
#include "base/random.h"
#include "mynah/ops.h"
#include "nn/dropout.h"

namespace mynah::nn {
namespace {

Tensor filled(const Shape& shape, const char* name) {
  Tensor t = Tensor::empty(shape);
  fill_normal(t.data<float>(), t.numel(), 0, 1, 11, name);
  return t;
}

void expect_near(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  const auto a = got.to_vector(), b = want.to_vector();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-5 * std::max(1.0f, std::abs(b[i]))) << i;
}

class LowRankRows : public testing::TestWithParam<int> {};

// Three parts of one product: an adapter of rank 3, none, and one of rank 5.
TEST_P(LowRankRows, AddsAndLearnsAsPlainOpsDo) {
  const int64_t n = GetParam();
  for (const float drop : {0.0f, 0.4f}) {
    const Tensor w = filled({40, 24}, "w"), weights = filled({n, 40}, "weights");
    const int64_t outs[] = {16, 8, 16};
    const Tensor start = filled({n, 24}, "x"), a1 = filled({3, 24}, "a1"), b1 = filled({16, 3}, "b1"), a2 = filled({5, 24}, "a2"), b2 = filled({16, 5}, "b2");
    std::vector<std::vector<Tensor>> leaves;
    std::vector<Tensor> results;
    for (const bool plain : {false, true}) {
      const Training training(3, 1);
      const std::vector<Tensor> in = {requires_grad(start), requires_grad(a1), requires_grad(b1), requires_grad(a2), requires_grad(b2)};
      const auto low1 = std::make_shared<const LowRank>(LowRank{in[1], in[2], 0.5f, drop, {}}), low2 = std::make_shared<const LowRank>(LowRank{in[3], in[4], 3.0f, drop, {}});
      const std::shared_ptr<const LowRank> adapters[] = {low1, nullptr, low2};
      Tensor y;
      if (plain) {
        const Tensor x1 = dropout(in[0], drop), x2 = dropout(in[0], drop);
        y = linear(in[0], w) + cat({linear(linear(x1, in[1]), in[2]) * 0.5f, Tensor::zeros({n, 8}), linear(linear(x2, in[3]), in[4]) * 3.0f}, 1);
      } else {
        y = add_low_rank(linear(in[0], w), in[0], adapters, outs);
      }
      backward(sum(y * weights));
      results.push_back(y.detach());
      leaves.push_back(in);
    }
    expect_near(results[0], results[1]);
    for (size_t i = 0; i < leaves[0].size(); ++i) expect_near(grad(leaves[0][i]), grad(leaves[1][i]));
  }
}

INSTANTIATE_TEST_SUITE_P(Few, LowRankRows, testing::Values(1, 7, 30), testing::PrintToStringParamName());

TEST(LowRank, NothingIsRecordedWithoutGradients) {
  const auto low = std::make_shared<const LowRank>(LowRank{requires_grad(filled({2, 6}, "a")), requires_grad(filled({4, 2}, "b")), 1.0f, 0.0f, {}});
  const std::shared_ptr<const LowRank> adapters[] = {low};
  const int64_t outs[] = {4};
  const NoGrad no_grad;
  EXPECT_FALSE(add_low_rank(Tensor::zeros({3, 4}), filled({3, 6}, "x"), adapters, outs).requires_grad());
}

}  // namespace
}  // namespace mynah::nn
