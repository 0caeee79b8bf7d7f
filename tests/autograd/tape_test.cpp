#include "autograd/record.h"

#include <gtest/gtest.h>

#include <array>

#include "mynah/error.h"

namespace mynah {
namespace {

// y = x * x for the tests of the tape itself, which knows no op.
Tensor squared(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.data<float>()[i] = x.data<float>()[i] * x.data<float>()[i];
  return record(y, {x}, [x = x.detach()](const Tensor& g) {
    Tensor dx = Tensor::empty(g.shape());
    for (int64_t i = 0; i < g.numel(); ++i) dx.data<float>()[i] = 2 * x.data<float>()[i] * g.data<float>()[i];
    return Grads{dx};
  });
}
Tensor plus(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.shape());
  for (int64_t i = 0; i < a.numel(); ++i) y.data<float>()[i] = a.data<float>()[i] + b.data<float>()[i];
  return record(y, {a, b}, [](const Tensor& g) { return Grads{g, g}; });
}

TEST(Tape, GradientsFlowThroughSharedValues) {
  const Tensor x = requires_grad(Tensor::full({2}, 3));
  const Tensor a = squared(x);           // 9
  backward(plus(squared(a), a), Tensor::full({2}, 1));  // d(x^4 + x^2) = 4x^3 + 2x
  EXPECT_EQ(grad(x).to_vector(), (std::vector<float>{114, 114}));
}

TEST(Tape, GradientsAccumulateUntilZeroed) {
  const Tensor x = requires_grad(Tensor::full({1}, 2));
  backward(squared(x));
  backward(squared(x));
  EXPECT_EQ(grad(x).item(), 8);
  zero_grad(x);
  EXPECT_FALSE(grad(x).defined());
  backward(squared(x));
  EXPECT_EQ(grad(x).item(), 4);
}

TEST(Tape, NothingIsRecordedWithoutGradients) {
  const Tensor x = requires_grad(Tensor::full({1}, 2));
  NoGrad no_grad;
  EXPECT_FALSE(squared(x).requires_grad());
}

TEST(Tape, UntrackedInputsCostNothing) { EXPECT_FALSE(squared(Tensor::full({1}, 2)).requires_grad()); }

TEST(Tape, ASharedGradientIsNotAliased) {
  const Tensor a = requires_grad(Tensor::full({1}, 1)), b = requires_grad(Tensor::full({1}, 1));
  backward(plus(a, b));
  backward(plus(a, a));
  EXPECT_EQ(grad(a).item(), 3);
  EXPECT_EQ(grad(b).item(), 1);
}

// Columns [first, first + n) of a matrix.
Tensor columns(const Tensor& x, int64_t first, int64_t n) { return record_part(x.as_strided({x.size(0), n}, x.strides(), first), x, first, x.strides()); }
Tensor dense(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.size(0); ++i)
    for (int64_t j = 0; j < x.size(1); ++j) y.data<float>()[i * x.size(1) + j] = x.data<float>()[i * x.stride(0) + j];
  return record(y, {x}, [](const Tensor& g) { return Grads{g}; });
}

TEST(Tape, PartsAddToTheirPlaces) {
  const Tensor x = requires_grad(Tensor::full({2, 3}, 1));
  const Tensor a = plus(x, x);  // whole and in parts, of which some overlap and none has the first column alone
  const Tensor parts = plus(dense(columns(a, 0, 2)), dense(columns(a, 1, 2)));
  backward(parts, Tensor::from(std::vector<float>{1, 10, 100, 1000}, {2, 2}));
  EXPECT_EQ(grad(x).to_vector(), (std::vector<float>{2, 22, 20, 200, 2200, 2000}));
  zero_grad(x);
  // The gradient that came first belongs to somebody else too: it must stay as it is.
  const Tensor b = squared(x), c = plus(b, squared(x));
  backward(plus(dense(columns(c, 0, 3)), plus(b, b)), Tensor::full({2, 3}, 1));
  EXPECT_EQ(grad(x).to_vector(), std::vector<float>(6, 8));
}

TEST(Tape, SlicesKnowTheirWhole) {
  const Tensor x = requires_grad(Tensor::full({2, 6}, 1)), y = squared(x);
  const auto view = [](const Tensor& t) { return t.as_strided({2, 1, t.size(1)}, {t.stride(0), t.size(1), 1}); };
  const auto heads = [&](const Tensor& t) { return record_view(view(t), t, [](const Tensor& g) { return Grads{g}; }, view); };
  const Whole whole = whole_of(std::array{columns(y, 0, 2), heads(columns(y, 2, 1)), columns(y, 3, 3)});
  ASSERT_TRUE(whole.matrix.defined());
  EXPECT_EQ(whole.columns, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(whole.matrix.shape().str(), y.shape().str());
  EXPECT_EQ(whole.matrix.raw(), y.raw());
  EXPECT_TRUE(whole.matrix.edge().get() == y.edge().get());
  EXPECT_FALSE(whole_of(std::array{columns(y, 0, 2), columns(y, 3, 3)}).matrix.defined());               // a column is missing
  EXPECT_FALSE(whole_of(std::array{columns(y, 3, 3), columns(y, 0, 3)}).matrix.defined());               // out of order
  EXPECT_FALSE(whole_of(std::array{columns(y, 0, 3), columns(squared(x), 3, 3)}).matrix.defined());      // of two matrices
  EXPECT_FALSE(whole_of(std::array{y}).matrix.defined());                                               // no slice
  EXPECT_FALSE(whole_of(std::array{columns(y, 0, 3), columns(Tensor::full({2, 6}, 1), 3, 3)}).matrix.defined());
}

TEST(Tape, BackwardNeedsAScalarOrASeed) {
  const Tensor x = requires_grad(Tensor::full({2}, 1));
  EXPECT_THROW(backward(squared(x)), Error);
  EXPECT_THROW(backward(Tensor::full({1}, 1)), Error);
  EXPECT_THROW(backward(squared(x), Tensor::full({3}, 1)), Error);
}

TEST(Checkpoint, GivesTheSameGradientsAsWithout) {
  const Tensor w = requires_grad(Tensor::full({3}, 0.5f));
  const auto block = [&](const std::vector<Tensor>& in) { return plus(squared(in[0]), squared(squared(w))); };
  const Tensor x1 = requires_grad(Tensor::full({3}, 1.5f)), x2 = requires_grad(Tensor::full({3}, 1.5f));
  const Tensor seed = Tensor::full({3}, 2);
  backward(squared(block({x1})), seed);
  const auto expected_w = grad(w).to_vector();
  zero_grad(w);
  const Tensor y = checkpoint(block, {x2});
  backward(squared(y), seed);
  EXPECT_EQ(grad(x2).to_vector(), grad(x1).to_vector());
  EXPECT_EQ(grad(w).to_vector(), expected_w);
}

TEST(Checkpoint, TrainsParametersEvenIfNoInputIsTracked) {
  const Tensor w = requires_grad(Tensor::full({1}, 3));
  backward(checkpoint([&](const std::vector<Tensor>& in) { return plus(in[0], squared(w)); }, {Tensor::full({1}, 1)}));
  EXPECT_EQ(grad(w).item(), 6);
}

// A function of a parameter that adds to its gradient in place.
Tensor counted(const Tensor& x) {
  return record(squared(x.detach()), {x}, [x](const Tensor&) {
    GradientSum to = gradient_sum(x);
    if (!to.value.defined()) return Grads{Tensor::full(x.shape(), 1)};
    for (int64_t i = 0; i < x.numel(); ++i) to.value.data<float>()[i * (x.rank() ? to.value.stride(0) : 1)] = (to.empty ? 0 : to.value.data<float>()[i]) + 1;
    return Grads{Tensor()};
  });
}

TEST(Tape, OpsMayAddToAParametersGradientInPlace) {
  const Tensor x = requires_grad(Tensor::full({1}, 2));
  backward(plus(counted(x), counted(x)));
  EXPECT_EQ(grad(x).item(), 2);
  backward(plus(counted(x), squared(x)));  // both kinds of gradient
  EXPECT_EQ(grad(x).item(), 7);
  backward(counted(squared(x)));  // of a value that is no parameter nothing is summed
  EXPECT_EQ(grad(x).item(), 11);
}

}  // namespace
}  // namespace mynah
