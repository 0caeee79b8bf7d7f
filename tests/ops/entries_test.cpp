// What every op promises, checked for every sample of every op's entry: gradients by finite differences, strided views and
// 16-bit inputs, every instruction set, any number of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/isa.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

struct Case {
  const OpEntry* op;
  OpSample sample;
};

std::vector<Case> small_cases() {
  std::vector<Case> all;
  for (const OpEntry* op : ops_entries())
    for (const OpSample& sample : op->samples())
      if (sample.small) all.push_back({op, sample});
  return all;
}

std::string label(const Case& c) { return std::string(c.op->name) + ": " + c.sample.name; }

int differentiable(const OpSample& s) { return s.differentiable < 0 ? static_cast<int>(s.inputs.size()) : s.differentiable; }

// Weights of the scalar that gradients are taken of.
Tensor projection(const Shape& shape) { return sample_tensor(shape, 99); }

double projected(const Case& c, const std::vector<Tensor>& inputs) {
  NoGrad no_grad;
  const auto y = c.sample.call(inputs).to_vector(), w = projection(c.sample.call(inputs).shape()).to_vector();
  double total = 0;
  for (size_t i = 0; i < y.size(); ++i) total += static_cast<double>(y[i]) * w[i];
  return total;
}

Tensor copy(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  std::memcpy(y.raw(), x.raw(), x.nbytes());
  return y;
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  float scale = 1;
  for (const float v : b) scale = std::max(scale, std::abs(v));
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * scale) << what << ", element " << i;
}

TEST(OpEntries, ThereAreMany) { EXPECT_GT(ops_entries().size(), 30u); }

TEST(OpEntries, GradientsAgreeWithFiniteDifferences) {
  for (const Case& c : small_cases()) {
    std::vector<Tensor> leaves;
    for (size_t i = 0; i < c.sample.inputs.size(); ++i)
      leaves.push_back(static_cast<int>(i) < differentiable(c.sample) ? requires_grad(copy(c.sample.inputs[i])) : c.sample.inputs[i]);
    const Tensor y = c.sample.call(leaves);
    backward(y, projection(y.shape()));
    for (int i = 0; i < differentiable(c.sample); ++i) {
      const Tensor g = grad(leaves[static_cast<size_t>(i)]);
      ASSERT_TRUE(g.defined()) << label(c) << ", input " << i;
      float scale = 1;
      for (const float v : g.to_vector()) scale = std::max(scale, std::abs(v));
      for (int64_t e = 0; e < g.numel(); ++e) {
        std::vector<Tensor> moved = c.sample.inputs;
        Tensor& x = moved[static_cast<size_t>(i)];
        x = copy(x);
        const float at = x.data<float>()[e], h = 1e-2f * std::max(1.0f, std::abs(at));
        const auto slope = [&](float step) {
          x.data<float>()[e] = at + step;
          const double high = projected(c, moved);
          x.data<float>()[e] = at - step;
          return (high - projected(c, moved)) / (2.0 * static_cast<double>(step));
        };
        // Richardson extrapolation: the error falls with the fourth power of the step, so f32 rounding stays harmless.
        const double expected = (4 * slope(h / 2) - slope(h)) / 3;
        ASSERT_NEAR(g.data<float>()[e], expected, 4e-3 * scale) << label(c) << ", input " << i << ", element " << e;
      }
    }
  }
}

// The same values behind other strides: a transposed copy, transposed back.
Tensor strided_twin(const Tensor& x) {
  if (x.rank() < 2 || x.dtype() != DType::f32) return x;
  return transpose(contiguous(transpose(x, 0, x.rank() - 1)), 0, x.rank() - 1);
}

TEST(OpEntries, StridedViewsGiveTheSame) {
  NoGrad no_grad;
  for (const Case& c : small_cases()) {
    std::vector<Tensor> views;
    for (const Tensor& x : c.sample.inputs) views.push_back(strided_twin(x));
    ASSERT_EQ(c.sample.call(views).to_vector(), c.sample.call(c.sample.inputs).to_vector()) << label(c);
  }
}

TEST(OpEntries, SixteenBitInputsAreComputedInF32) {
  NoGrad no_grad;
  for (const Case& c : small_cases())
    for (const DType type : {DType::bf16, DType::f16}) {
      std::vector<Tensor> half, wide;
      for (const Tensor& x : c.sample.inputs) {
        half.push_back(x.dtype() == DType::f32 ? to(x, type) : x);
        wide.push_back(x.dtype() == DType::f32 ? to(half.back(), DType::f32) : x);
      }
      // A weight in bf16 is multiplied as bf16 (the other side is rounded too): only linear may differ, by that rounding.
      const bool rounds = std::string(c.op->name) == "linear" && type == DType::bf16;
      expect_near(c.sample.call(half).to_vector(), c.sample.call(wide).to_vector(), rounds ? 1e-2f : 0.0f, label(c) + " " + std::string(name(type)));
    }
}

TEST(OpEntries, EveryInstructionSetAgreesWithTheGenericOne) {
  NoGrad no_grad;
  const kernels::Isa best = kernels::active_isa();
  for (const Case& c : small_cases()) {
    ASSERT_TRUE(kernels::set_isa(kernels::Isa::generic));
    const auto expected = c.sample.call(c.sample.inputs).to_vector();
    for (const kernels::Isa isa : kernels::kIsas)
      if (isa != kernels::Isa::generic && kernels::set_isa(isa)) expect_near(c.sample.call(c.sample.inputs).to_vector(), expected, 1e-5f, label(c) + " " + kernels::isa_name(isa));
    kernels::set_isa(best);
  }
}

TEST(OpEntries, ThreadsDoNotChangeABit) {
  for (const OpEntry* op : ops_entries())
    for (const OpSample& sample : op->samples()) {
      NoGrad no_grad;
      set_threads(1);
      const auto one = sample.call(sample.inputs).to_vector();
      set_threads(3);
      const auto three = sample.call(sample.inputs).to_vector();
      set_threads(0);
      ASSERT_EQ(one, three) << op->name << ": " << sample.name;
    }
}

}  // namespace
}  // namespace mynah
