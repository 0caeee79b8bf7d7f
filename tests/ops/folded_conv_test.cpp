// Folded convolutions against conv2d, batch_norm, add and activations; the same bits for any number of threads and any company.
#include "ops/folded_conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/conv.h"
#include "mynah/error.h"
#include "base/thread_pool.h"
#include "ops/channel_conv.h"
#include "ops/pixel_maps.h"

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

using Folded = ops::FoldedConv;
using Then = ops::ConvThen;

struct ConvCase {
  Shape x, weight;
  ConvConfig config;
};

void expect_near(const Tensor& got, const Tensor& expected, float tolerance) {
  ASSERT_EQ(got.shape().str(), expected.shape().str());
  const auto a = got.to_vector(), b = expected.to_vector();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * std::max(1.0f, std::abs(b[i]))) << i;
}

// The same bits for any number of threads, and for an image alone.
void expect_same_bits(const Folded& folded, const Tensor& x, const Tensor& added) {
  const ops::ConvAfter after{.then = Then::silu, .added = added};
  const auto before = folded(x, after).to_vector();
  for (const int threads : {1, 3}) {
    set_threads(threads);
    EXPECT_EQ(folded(x, after).to_vector(), before) << threads;
  }
  set_threads(0);
  const auto alone = folded(narrow(x, 0, 0, 1), {.then = Then::silu, .added = narrow(added, 0, 0, 1)}).to_vector();
  EXPECT_EQ(alone, std::vector<float>(before.begin(), before.begin() + static_cast<long>(alone.size())));
}

// Numbers that stay whole codes of 8 bits.
Tensor as_bytes(const Tensor& x) {
  Tensor out = Tensor::zeros(x.shape());
  const int64_t each = x.numel() / x.size(0);
  for (int64_t n = 0; n < x.size(0); ++n) {
    const float* from = x.data<float>() + n * each;
    float low = 0, high = 0;
    for (int64_t i = 0; i < each; ++i) low = std::min(low, from[i]), high = std::max(high, from[i]);
    const float scale = (high - low) / 255.0f, factor = 1 / scale, zero = std::nearbyint(-low * factor);
    for (int64_t i = 0; i < each; ++i) out.data<float>()[n * each + i] = (std::clamp(std::nearbyint(from[i] * factor) + zero, 0.0f, 255.0f) - zero) * scale;
  }
  return out;
}
Tensor as_signed_bytes(const Tensor& weight) {
  Tensor out = Tensor::zeros(weight.shape());
  const int64_t each = weight.numel() / weight.size(0);
  for (int64_t o = 0; o < weight.size(0); ++o) {
    const float* from = weight.data<float>() + o * each;
    float largest = 0;
    for (int64_t i = 0; i < each; ++i) largest = std::max(largest, std::abs(from[i]));
    for (int64_t i = 0; i < each; ++i) out.data<float>()[o * each + i] = std::nearbyint(from[i] * (127.0f / largest)) * (largest / 127.0f);
  }
  return out;
}

class FoldedConvolutions : public testing::TestWithParam<ConvCase> {};

TEST_P(FoldedConvolutions, EqualTheirParts) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const int64_t outputs = weight_shape[0];
  const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), mean = noise({outputs}, 3), gain = noise({outputs}, 4), bias = noise({outputs}, 5);
  const Tensor variance = add(square(noise({outputs}, 6)), 0.5f);
  const auto [factor, summand] = Folded::of_norm(mean, variance, gain, bias, 1e-3f);
  const Folded folded(weight, factor, summand, config);
  const Tensor plain = batch_norm(conv2d(x, weight, {}, config), mean, variance, gain, bias, 1e-3f), added = noise(plain.shape(), 7);
  expect_near(folded(x), plain, 1e-4f);
  expect_near(folded(x, {.then = Then::relu}), relu(plain), 1e-4f);
  expect_near(folded(x, {.then = Then::relu, .added = added}), relu(plain + added), 1e-4f);
  expect_near(folded(x, {.added = added}), plain + added, 1e-4f);
  expect_near(folded(x, {.then = Then::silu, .added = added, .added_last = true}), silu(plain) + added, 1e-4f);
  expect_same_bits(folded, x, added);
}

// Maps that are parts of wider ones, read and written in place.
TEST_P(FoldedConvolutions, ReadAndWritePartsOfMaps) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), shift = noise({weight_shape[0]}, 5);
  for (const auto numbers : {ops::ConvNumbers::f32, ops::ConvNumbers::bf16, ops::ConvNumbers::int8}) {
    const Folded folded(weight, {}, shift, config, numbers);
    const Tensor expected = folded(x);
    const Tensor from = ops::in_pixels(noise({x_shape[0], x_shape[1] + 5, x_shape[2], x_shape[3]}, 8));
    const Tensor part = narrow(from, 1, 3, x_shape[1]);
    ops::copy_pixels(ops::in_pixels(x), part);
    const Tensor to = ops::in_pixels(noise({expected.size(0), expected.size(1) + 7, expected.size(2), expected.size(3)}, 9)), before = contiguous(to);
    folded(part, {.into = narrow(to, 1, 4, expected.size(1))});
    EXPECT_EQ(narrow(to, 1, 4, expected.size(1)).to_vector(), expected.to_vector());
    EXPECT_EQ(narrow(to, 1, 0, 4).to_vector(), narrow(before, 1, 0, 4).to_vector());
    EXPECT_EQ(narrow(to, 1, 4 + expected.size(1), 3).to_vector(), narrow(before, 1, 4 + expected.size(1), 3).to_vector());
  }
}

// Operands rounded to bf16, sums in f32; small windows of 3x3 as in f32, by Winograd's tiles.
TEST_P(FoldedConvolutions, InBf16EqualProductsOfRoundedOperands) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const bool tiled = weight_shape[2] == 3 && config.stride[0] == 1 && config.stride[1] == 1 && config.dilation[0] == 1 && weight_shape[1] >= 16 && weight_shape[0] * weight_shape[1] < 48 << 10;
  const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), shift = noise({weight_shape[0]}, 5);
  const Folded folded(weight, {}, shift, config, ops::ConvNumbers::bf16);
  const auto rounded = [tiled](const Tensor& t) { return kernels::conv().has_bf16 && !tiled ? to(to(t, DType::bf16), DType::f32) : t; };
  const Tensor plain = conv2d(rounded(x), rounded(weight), shift, config), added = noise(plain.shape(), 7);
  expect_near(folded(x, {.then = Then::relu, .added = added}), relu(plain + added), 1e-4f);
  expect_same_bits(folded, x, added);
}

TEST_P(FoldedConvolutions, InInt8EqualProductsOfCodes) {
  const auto& [x_shape, weight_shape, config] = GetParam();
  const Tensor shift = noise({weight_shape[0]}, 5), weight = noise(weight_shape, 2);
  const bool exact = kernels::conv().has_bytes;
  // Numbers of both signs, as SiLU gives them, and none below 0.
  for (const Tensor& x : {add(noise(x_shape, 1), 0.4f), square(noise(x_shape, 1))}) {
    const Folded folded(weight, {}, shift, config, ops::ConvNumbers::int8);
    const Tensor plain = exact ? conv2d(as_bytes(x), as_signed_bytes(weight), shift, config) : conv2d(x, weight, shift, config), added = noise(plain.shape(), 7);
    expect_near(folded(x, {.then = Then::relu, .added = added}), relu(plain + added), 1e-4f);
    expect_same_bits(folded, x, added);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, FoldedConvolutions,
                         testing::Values(ConvCase{{2, 3, 17, 23}, {5, 3, 7, 7}, {{2, 2}, {3, 3}}}, ConvCase{{2, 8, 12, 9}, {33, 8, 1, 1}, {}}, ConvCase{{3, 4, 9, 11}, {7, 4, 1, 1}, {{2, 2}}},
                                         ConvCase{{1, 6, 14, 14}, {20, 6, 3, 3}, {{1, 1}, {1, 1}}}, ConvCase{{2, 5, 13, 40}, {16, 5, 3, 3}, {{1, 2}, {2, 1}, {2, 1}}},
                                         ConvCase{{1, 130, 6, 6}, {40, 130, 3, 3}, {{1, 1}, {1, 1}}}, ConvCase{{1, 40, 64, 70}, {24, 40, 3, 3}, {{1, 1}, {1, 1}}},
                                         ConvCase{{2, 2, 3, 3}, {1, 2, 3, 3}, {}}, ConvCase{{2, 24, 7, 7}, {150, 24, 3, 3}, {{2, 2}, {1, 1}}}, ConvCase{{2, 18, 5, 9}, {70, 18, 3, 3}, {}},
                                         ConvCase{{2, 20, 9, 7}, {36, 20, 3, 3}, {{1, 1}, {2, 2}, {2, 2}}}, ConvCase{{1, 300, 1, 1}, {100, 300, 1, 1}, {}},
                                         ConvCase{{2, 400, 5, 6}, {336, 400, 3, 3}, {{1, 1}, {1, 1}}}));

TEST(FoldedConvolutionsAlone, RefuseWhatDoesNotFit) {
  const Folded folded(noise({4, 3, 3, 3}, 1), {}, {}, {});
  EXPECT_THROW(folded(noise({1, 2, 5, 5}, 2)), Error);
  EXPECT_THROW(folded(noise({1, 3, 2, 5}, 2)), Error);
  EXPECT_THROW(folded(noise({1, 3, 5, 5}, 2), {.added = noise({1, 4, 3, 2}, 3)}), Error);
  EXPECT_THROW(folded(noise({1, 3, 5, 5}, 2), {.into = noise({1, 4, 3, 3}, 3)}), Error);
}

// A pixel that is no number does not become one.
TEST(FoldedConvolutionsAlone, KeepWhatIsNoNumber) {
  for (const auto numbers : {ops::ConvNumbers::f32, ops::ConvNumbers::bf16, ops::ConvNumbers::int8})
    for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Tensor x = noise({2, 20, 8, 8}, 1);
      x.data<float>()[20 * 64 + 5 * 64 + 27] = wrong;
      const Folded folded(noise({17, 20, 3, 3}, 2), {}, {}, {{1, 1}, {1, 1}}, numbers);
      const auto y = folded(x, {.then = Then::relu}).to_vector();
      size_t bad = 0;
      for (size_t i = 0; i < y.size(); ++i) {
        if (std::isfinite(y[i])) continue;
        ++bad;
        EXPECT_GE(i, y.size() / 2);
      }
      EXPECT_GT(bad, 0u);
    }
}

TEST(ChannelConvolutions, EqualConvolutionsOfGroups) {
  struct Shapes {
    Shape x, weight;
    ConvConfig config;
  };
  for (const auto& [x_shape, weight_shape, config] : {Shapes{{2, 21, 9, 13}, {21, 1, 7, 7}, {{1, 1}, {3, 3}, {1, 1}, 21}}, Shapes{{1, 32, 12, 20}, {32, 1, 3, 3}, {{2, 1}, {1, 2}, {1, 2}, 32}},
                                                      Shapes{{1, 3, 4, 5}, {3, 1, 2, 3}, {{1, 2}, {0, 0}, {2, 1}, 3}}}) {
    const Tensor x = noise(x_shape, 1), weight = noise(weight_shape, 2), shift = noise({weight_shape[0]}, 3);
    const ops::ChannelConv conv(weight, shift, config);
    expect_near(conv(x), conv2d(x, weight, shift, config), 1e-5f);
    expect_near(ops::ChannelConv(weight, {}, config)(ops::in_pixels(x)), conv2d(x, weight, {}, config), 1e-5f);
    EXPECT_EQ(conv(narrow(x, 0, 0, 1)).to_vector(), narrow(conv(x), 0, 0, 1).to_vector());
    EXPECT_THROW(conv(noise({1, x_shape[1] + 1, 9, 9}, 1)), Error);
  }
}

// Maps by pixels and planes, resized and pooled: the same numbers.
TEST(PixelMaps, ArePooledAndDoubledAsPlanes) {
  const Tensor planes = noise({2, 19, 7, 10}, 1), x = ops::in_pixels(planes);
  EXPECT_TRUE(ops::by_pixels(x));
  EXPECT_EQ(x.to_vector(), planes.to_vector());
  const Tensor wide = ops::empty_pixels(2, 25, 14, 20), slot = narrow(wide, 1, 3, 19);
  ops::double_pixels(x, slot);
  EXPECT_EQ(slot.to_vector(), interpolate(planes, 14, 20, Interpolation::nearest).to_vector());
  EXPECT_EQ(max_pool2d(x, {3, 3}, {2, 2}, {1, 1}).to_vector(), max_pool2d(planes, {3, 3}, {2, 2}, {1, 1}).to_vector());
  EXPECT_EQ(max_pool2d(slot, {5, 3}, {1, 2}, {2, 0}).to_vector(), max_pool2d(contiguous(slot), {5, 3}, {1, 2}, {2, 0}).to_vector());
  EXPECT_EQ(avg_pool2d(x, {7, 10}, {1, 1}).to_vector(), avg_pool2d(planes, {7, 10}, {1, 1}).to_vector());
}

}  // namespace
}  // namespace mynah
