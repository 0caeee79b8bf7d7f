#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/thread_pool.h"
#include "golden_file.h"
#include "mynah/error.h"
#include "tensor/half.h"
#include "tensor/quantize_recipe.h"

namespace mynah {
namespace {

constexpr DType kQuantized[] = {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,  DType::q2_k,
                                DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl};

Tensor golden_rows(const test::GoldenFile& golden) {
  const auto shape = golden.shape("x");
  return Tensor::from(golden.get<float>("x"), {shape[0], shape[1]});
}

bool same_bytes(const Tensor& t, const std::vector<uint8_t>& expected) {
  return t.nbytes() == expected.size() && std::memcmp(t.raw(), expected.data(), expected.size()) == 0;
}

// A column of waves whose elements all differ, large enough for several chunks of work.
Tensor many_rows(int64_t rows, int64_t k) {
  std::vector<float> values(static_cast<size_t>(rows * k));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(static_cast<float>(i) * 0.37f) * (1 + static_cast<float>(i % 7));
  return Tensor::from(values, {rows, k});
}

TEST(Quantize, EqualsReferenceForEveryType) {
  const test::GoldenFile golden("quantize.safetensors");
  const Tensor x = golden_rows(golden);
  for (const DType type : kQuantized) {
    const Tensor q = quantize(x, type);
    EXPECT_EQ(q.dtype(), type);
    EXPECT_EQ(q.shape(), x.shape());
    EXPECT_TRUE(same_bytes(q, golden.get<uint8_t>("encoded." + std::string(name(type))))) << name(type);
  }
}

TEST(Quantize, DequantizeEqualsReference) {
  const test::GoldenFile golden("quantize.safetensors");
  for (const DType type : kQuantized) {
    const auto bytes = std::make_shared<std::vector<uint8_t>>(golden.get<uint8_t>("bytes." + std::string(name(type))));
    const Tensor q = Tensor::borrow(bytes->data(), {2, 512}, type, bytes);
    EXPECT_EQ(dequantize(q).to_vector(), golden.get<float>("decoded." + std::string(name(type)))) << name(type);
    EXPECT_EQ(q.to_vector(), golden.get<float>("decoded." + std::string(name(type)))) << name(type);
  }
}

TEST(Quantize, ThreadsDoNotChangeBytes) {
  const Tensor x = many_rows(300, 768);
  for (const DType type : {DType::q4_1, DType::q6_k, DType::iq4_nl, DType::bf16}) {
    set_threads(1);
    const Tensor one = quantize(x, type);
    set_threads(3);
    const Tensor three = quantize(x, type);
    EXPECT_EQ(std::memcmp(one.raw(), three.raw(), one.nbytes()), 0) << name(type);
    EXPECT_EQ(dequantize(one).to_vector(), dequantize(three).to_vector());
  }
  set_threads(0);
}

TEST(Quantize, SixteenBitAndStridedInputs) {
  const Tensor x = many_rows(4, 256);
  const Tensor half = quantize(x, DType::f16), brain = quantize(x, DType::bf16);
  const auto values = x.to_vector();
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(half.data<uint16_t>()[i], to_f16(values[i]));
    ASSERT_EQ(brain.data<uint16_t>()[i], to_bf16(values[i]));
  }
  const Tensor from_half = quantize(half, DType::q8_0), from_wide = quantize(dequantize(half), DType::q8_0);
  EXPECT_EQ(std::memcmp(from_half.raw(), from_wide.raw(), from_half.nbytes()), 0);
  const Tensor transposed = x.as_strided({256, 4}, {1, 256});
  EXPECT_EQ(dequantize(transposed).to_vector(), transposed.to_vector());
  const Tensor every_other = x.as_strided({2, 256}, {512, 1});
  const Tensor packed = Tensor::from(every_other.to_vector(), {2, 256});
  EXPECT_EQ(std::memcmp(quantize(every_other, DType::q4_k).raw(), quantize(packed, DType::q4_k).raw(), 2 * 144), 0);
}

TEST(Quantize, ErrorIsWithinHalfAStep) {
  const Tensor x = many_rows(2, 512);
  const auto values = x.to_vector();
  const std::pair<DType, float> bounds[] = {
      {DType::q8_0, 0.03f}, {DType::q6_k, 0.25f}, {DType::q5_1, 0.24f}, {DType::q4_k, 0.55f}};
  for (const auto& [type, bound] : bounds) {
    const auto back = quantize(x, type).to_vector();
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(back[i], values[i], bound) << name(type);
  }
}

TEST(Quantize, Refusals) {
  EXPECT_THROW(quantize(Tensor::zeros({2, 48}), DType::q4_0), Error);
  EXPECT_THROW(quantize(Tensor::zeros({2, 288}), DType::q4_k), Error);
  EXPECT_THROW(quantize(Tensor::zeros({2, 32}, DType::i32), DType::q4_0), Error);
  EXPECT_THROW(quantize(Tensor::zeros({2, 32}), DType::i8), Error);
  EXPECT_THROW(dequantize(Tensor::zeros({2, 32}, DType::i64)), Error);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 1e30f}) {
    Tensor x = Tensor::zeros({2, 256});
    x.data<float>()[300] = bad;
    for (const DType type : kQuantized) EXPECT_THROW(quantize(x, type), Error) << name(type) << " " << bad;
  }
  EXPECT_EQ(quantize(Tensor::zeros({0, 256}), DType::q4_k).nbytes(), 0u);
}

TEST(Quantize, FallbackTypes) {
  EXPECT_EQ(fallback_type(DType::q4_k, 512), DType::q4_k);
  EXPECT_EQ(fallback_type(DType::q2_k, 576), DType::q4_0);
  EXPECT_EQ(fallback_type(DType::q3_k, 576), DType::q4_0);
  EXPECT_EQ(fallback_type(DType::q4_k, 576), DType::q5_0);
  EXPECT_EQ(fallback_type(DType::q5_k, 576), DType::q5_1);
  EXPECT_EQ(fallback_type(DType::q6_k, 576), DType::q8_0);
  EXPECT_EQ(fallback_type(DType::q4_k, 37), DType::f16);
  EXPECT_EQ(fallback_type(DType::q8_0, 48), DType::f16);
  EXPECT_EQ(fallback_type(DType::f32, 37), DType::f32);
}

TEST(QuantizeRecipe, Names) {
  EXPECT_EQ(recipe_names().size(), 18u);
  EXPECT_EQ(find_recipe("Q4_K_M"), "q4_k_m");
  EXPECT_EQ(find_recipe("q5_k"), "q5_k_m");
  EXPECT_EQ(recipe_file_type("q4_k_m"), 15);
  EXPECT_THROW(find_recipe("q4"), Error);
}

// What llama-quantize writes for a model of 12 layers, 8 query heads on 2 key and value heads, rows of 512.
TEST(QuantizeRecipe, Mixtures) {
  const RecipeModel m{"llama", 12, 4, 0, false};
  const Shape square = {512, 512};
  const auto type = [&](const char* recipe, const char* tensor) {
    return recipe_type(recipe, tensor, square, DType::f32, m);
  };
  EXPECT_EQ(type("q4_k_m", "output.weight"), DType::q6_k);
  EXPECT_EQ(type("q8_0", "output.weight"), DType::q8_0);
  EXPECT_EQ(type("q4_k_m", "token_embd.weight"), DType::q4_k);
  EXPECT_EQ(type("q4_k_m", "blk.0.ffn_down.weight"), DType::q6_k);
  EXPECT_EQ(type("q4_k_m", "blk.1.ffn_down.weight"), DType::q4_k);
  EXPECT_EQ(type("q4_k_m", "blk.3.attn_v.weight"), DType::q6_k);
  EXPECT_EQ(type("q4_k_m", "blk.11.attn_v.weight"), DType::q6_k);
  EXPECT_EQ(type("q4_k_m", "blk.0.attn_q.weight"), DType::q4_k);
  EXPECT_EQ(type("q4_k_s", "blk.3.attn_v.weight"), DType::q5_k);
  EXPECT_EQ(type("q4_k_s", "blk.4.attn_v.weight"), DType::q4_k);
  EXPECT_EQ(type("q2_k", "blk.5.attn_v.weight"), DType::q4_k);
  EXPECT_EQ(type("q2_k", "blk.5.attn_output.weight"), DType::q3_k);
  EXPECT_EQ(type("q3_k_l", "blk.5.ffn_down.weight"), DType::q5_k);
  EXPECT_EQ(type("f16", "blk.5.ffn_down.weight"), DType::f16);
  EXPECT_EQ(type("f16", "blk.5.attn_norm.weight"), DType::f32);
  EXPECT_EQ(type("q4_0", "position_embd.weight"), DType::f32);
  EXPECT_EQ(type("q4_0", "blk.5.attn_q.bias"), DType::f32);
  EXPECT_EQ(recipe_type("q4_0", "output_norm.weight", {512}, DType::f32, m), DType::f32);
  EXPECT_EQ(recipe_type("q4_k_m", "blk.1.attn_q.weight", {512, 576}, DType::f16, m), DType::q5_0);
  const RecipeModel tied{"llama", 12, 4, 0, true};
  EXPECT_EQ(recipe_type("q4_0", "token_embd.weight", square, DType::f32, tied), DType::q6_k);
  EXPECT_EQ(recipe_type("q4_0", "token_embd.weight", {99, 576}, DType::f32, tied), DType::q8_0);
}

}  // namespace
}  // namespace mynah
