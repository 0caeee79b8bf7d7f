#include "nn/matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "mynah/autograd.h"
#include "ops/gemm.h"
#include "ops/op_entry.h"
#include "ops/packed_matrix.h"
#include "tensor/quantize.h"

namespace mynah::nn {
namespace {

void expect_same_bits(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape().str(), b.shape().str());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.nbytes()), 0);
}

TEST(Matrix, PackingChangesNoBit) {
  const NoGrad no_grad;
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    const std::vector<Tensor> parts = {to(sample_tensor({32, 70}), type), to(sample_tensor({20, 70}, 1), type)};
    const std::vector<Tensor> biases = {sample_tensor({32}, 2), Tensor()};
    const Tensor many = sample_tensor({2, 40, 70}, 3), few = sample_tensor({3, 70}, 4);
    const Matrix m(parts, Matrix::Kept::packed);
    const Tensor expected = linear(many, parts, biases), expected_few = linear(few, parts, biases);
    for (int i = 0; i < 4; ++i) {
      expect_same_bits(m(many, biases), expected);
      expect_same_bits(m(few, biases), expected_few);
      expect_same_bits(m(many), linear(many, parts, {}));
    }
  }
}

TEST(Matrix, LookupsAndGradientsSurvivePacking) {
  const Tensor w = sample_tensor({50, 33}), x = sample_tensor({20, 33}, 1);
  const Matrix m({w}, Matrix::Kept::packed);
  const std::vector<int32_t> ids = {49, 0, 17};
  const Tensor rows = m.lookup(ids);
  {
    const NoGrad no_grad;
    for (int i = 0; i < 3; ++i) m(x);
  }
  expect_same_bits(m.lookup(ids), rows);
  const auto gradient = [&](const auto& product) {
    const Tensor leaf = requires_grad(contiguous(add(x, 0.0f)));
    backward(sum(square(product(leaf))));
    return grad(leaf);
  };
  expect_same_bits(gradient([&](const Tensor& t) { return m(t); }), gradient([&](const Tensor& t) { return linear(t, w); }));
}

// Beside adapters: packed by the second product of many rows, then for products and for gradients of inputs and biases.
TEST(Matrix, FrozenPartsChangeNoBit) {
  for (const bool bf16 : {false, true}) {
    const ops::ProductScope scope(bf16);
    for (const DType type : {DType::f32, DType::bf16}) {
      const std::vector<Tensor> parts = {to(sample_tensor({32, 70}), type), to(transpose(sample_tensor({70, 20}, 1), 0, 1), type)};
      const std::vector<Tensor> biases = {requires_grad(contiguous(sample_tensor({32}, 2))), requires_grad(contiguous(sample_tensor({20}, 6)))};
      const Tensor x = sample_tensor({2, 40, 70}, 3), few = sample_tensor({3, 70}, 4);
      const Matrix m(parts, Matrix::Kept::frozen);
      struct Step {
        Tensor y, dx, bias;
      };
      const auto step = [&](const Tensor& in, bool tracked, const auto& product) {
        for (const Tensor& b : biases) zero_grad(b);
        const Tensor leaf = tracked ? requires_grad(contiguous(add(in, 0.0f))) : in;
        const Tensor y = product(leaf);
        backward(sum(square(y)));
        return Step{y.detach(), tracked ? grad(leaf) : Tensor(), grad(biases[0])};
      };
      for (int i = 0; i < 4; ++i)
        for (const Tensor& in : {x, few})
          for (const bool tracked : {true, false}) {
            const Step got = step(in, tracked, [&](const Tensor& t) { return m(t, biases); }), expected = step(in, tracked, [&](const Tensor& t) { return linear(t, parts, biases); });
            expect_same_bits(got.y, expected.y);
            if (tracked) expect_same_bits(got.dx, expected.dx);
            expect_same_bits(got.bias, expected.bias);
          }
      const std::vector<Tensor> fixed = {sample_tensor({32}, 2), Tensor()};
      expect_same_bits(m(x, fixed), linear(x, parts, fixed));
    }
  }
}

TEST(Matrix, QuantisedWhereAskedFor) {
  const NoGrad no_grad;
  const Tensor w = sample_tensor({40, 300}), x = sample_tensor({9, 300}, 1), bias = sample_tensor({40}, 2);
  const Matrix m({w}, Matrix::Kept::int8);
  const auto exact = linear(x, w, bias).to_vector(), got = m(x, {bias}).to_vector();
  double dot = 0, a = 0, b = 0;
  for (size_t i = 0; i < exact.size(); ++i) dot += exact[i] * got[i], a += exact[i] * exact[i], b += got[i] * got[i];
  EXPECT_GT(dot / std::sqrt(a * b), 0.9995);
  EXPECT_NE(exact, got);
  const std::vector<int32_t> ids = {7};
  expect_same_bits(m.lookup(ids), contiguous(narrow(w, 0, 7, 1)));
}

TEST(Matrix, GatedIsTheGluOfTheProduct) {
  const Tensor halves[] = {quantize(sample_tensor({48, 64}), DType::q4_1), quantize(sample_tensor({48, 64}, 1), DType::q8_0)};
  const Matrix quantised(ops::PackedMatrix::pack(halves)), dense({sample_tensor({30, 64}), sample_tensor({30, 64}, 1)});
  const Tensor x = sample_tensor({70, 64}, 2);
  const NoGrad no_grad;
  for (const Activation act : {Activation::silu, Activation::gelu}) {
    expect_same_bits(quantised.gated(x, act), glu(quantised(x), act));
    expect_same_bits(dense.gated(x, act), glu(dense(x), act));
  }
}

}  // namespace
}  // namespace mynah::nn
