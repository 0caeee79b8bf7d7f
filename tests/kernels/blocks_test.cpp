// Block layouts against gguf-py (decoding) and llama.cpp (encoding), bit for bit, with every instruction set of the
// machine.
#include "kernels/blocks.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "golden_file.h"
#include "kernels/encode.h"
#include "kernels/isa.h"

namespace mynah::kernels {
namespace {

struct Format {
  const char* name;
  int64_t elements, bytes;
};
constexpr std::array<Format, kBlockFormats> kFormats = {{{"q4_0", 32, 18},
                                                         {"q4_1", 32, 20},
                                                         {"q5_0", 32, 22},
                                                         {"q5_1", 32, 24},
                                                         {"q8_0", 32, 34},
                                                         {"q2_k", 256, 84},
                                                         {"q3_k", 256, 110},
                                                         {"q4_k", 256, 144},
                                                         {"q5_k", 256, 176},
                                                         {"q6_k", 256, 210},
                                                         {"iq4_nl", 32, 18}}};

class Blocks : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = active_isa();
    if (!set_isa(GetParam())) GTEST_SKIP() << "this processor has no " << isa_name(GetParam());
  }
  void TearDown() override { set_isa(before_); }

  test::GoldenFile golden_{"quantize.safetensors"};

 private:
  Isa before_ = Isa::generic;
};

TEST_P(Blocks, DecodeEqualsReference) {
  for (int f = 0; f < kBlockFormats; ++f) {
    const auto bytes = golden_.get<uint8_t>(std::string("bytes.") + kFormats[f].name);
    const auto expected = golden_.get<uint32_t>(std::string("decoded.") + kFormats[f].name);
    ASSERT_EQ(static_cast<int64_t>(bytes.size()),
              static_cast<int64_t>(expected.size()) / kFormats[f].elements * kFormats[f].bytes);
    std::vector<float> out(expected.size());
    blocks().decode[f](bytes.data(), out.data(), static_cast<int64_t>(out.size()));
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i], std::bit_cast<float>(expected[i])) << kFormats[f].name << " element " << i;
  }
}

TEST_P(Blocks, EncodeEqualsReference) {
  const auto x = golden_.get<float>("x");
  for (int f = 0; f < kBlockFormats; ++f) {
    const auto expected = golden_.get<uint8_t>(std::string("encoded.") + kFormats[f].name);
    std::vector<uint8_t> out(expected.size(), 0xa5);
    encode().encode[f](x.data(), out.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i], expected[i]) << kFormats[f].name << " block " << i / static_cast<size_t>(kFormats[f].bytes)
                                     << " byte " << i % static_cast<size_t>(kFormats[f].bytes);
  }
}

// iq4_nl works on several blocks at a time: a row's tail must not see them.
TEST_P(Blocks, EncodeOfOneBlockEqualsEncodeOfMany) {
  const auto x = golden_.get<float>("x");
  for (int f = 0; f < kBlockFormats; ++f) {
    const auto expected = golden_.get<uint8_t>(std::string("encoded.") + kFormats[f].name);
    std::vector<uint8_t> block(static_cast<size_t>(kFormats[f].bytes));
    for (const int64_t b : {0, 3, 9}) {
      encode().encode[f](x.data() + b * kFormats[f].elements, block.data(), kFormats[f].elements);
      EXPECT_TRUE(std::equal(block.begin(), block.end(), expected.begin() + b * kFormats[f].bytes))
          << kFormats[f].name << " block " << b;
    }
  }
}

TEST_P(Blocks, EveryF16Decodes) {
  std::vector<uint16_t> half(65536);
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(half.size());
  blocks().f16_to_f32(half.data(), wide.data(), 65536);
  for (uint32_t h = 0; h < 65536; ++h) {
    const int exponent = (h >> 10) & 31;
    const float mantissa = static_cast<float>(h & 1023u);
    const float size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(wide[h]), (h & 1023u) != 0);
      EXPECT_EQ(std::isinf(wide[h]), (h & 1023u) == 0);
    } else {
      ASSERT_EQ(wide[h], h & 0x8000u ? -size : size) << h;
    }
    ASSERT_EQ(std::signbit(wide[h]), (h & 0x8000u) != 0);
  }
  std::vector<uint16_t> again(half.size());
  blocks().f32_to_f16(wide.data(), again.data(), 65536);
  for (uint32_t h = 0; h < 65536; ++h) ASSERT_TRUE(std::isnan(wide[h]) || again[h] == h) << h;
}

// The two neighbours of a number between 16-bit numbers, ties to even, in lengths with and without a tail.
TEST_P(Blocks, NarrowingRoundsToNearestEven) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> in = {1.0f,     0x1.002p0f, 0x1.004p0f,   0x1.006p0f, 0x1.002002p0f,
                                 65504.0f, 65519.99f,  65520.0f,     infinity,   0x1p-24f,
                                 0x1p-25f, 0x1.8p-25f, 0x1.ffcp-15f, -1.0f,      -0.0f};
  const std::vector<uint16_t> expected = {0x3c00, 0x3c00, 0x3c01, 0x3c02, 0x3c01, 0x7bff, 0x7bff, 0x7c00,
                                          0x7c00, 0x0001, 0x0000, 0x0001, 0x0400, 0xbc00, 0x8000};
  std::vector<uint16_t> out(in.size());
  blocks().f32_to_f16(in.data(), out.data(), static_cast<int64_t>(in.size()));
  EXPECT_EQ(out, expected);
  for (size_t i = 0; i < in.size(); ++i) {
    uint16_t one;
    blocks().f32_to_f16(&in[i], &one, 1);
    EXPECT_EQ(one, expected[i]) << in[i];
  }
  const std::vector<float> wide = {1.0f,     0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, std::numeric_limits<float>::max(),
                                   -infinity};
  const std::vector<uint16_t> brain = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x7f80, 0xff80};
  out.resize(wide.size());
  blocks().f32_to_bf16(wide.data(), out.data(), static_cast<int64_t>(wide.size()));
  EXPECT_EQ(out, brain);
  const float nan = std::bit_cast<float>(0x7f800001u);
  uint16_t half;
  blocks().f32_to_bf16(&nan, &half, 1);
  float back;
  blocks().bf16_to_f32(&half, &back, 1);
  EXPECT_TRUE(std::isnan(back));
  blocks().f32_to_f16(&nan, &half, 1);
  blocks().f16_to_f32(&half, &back, 1);
  EXPECT_TRUE(std::isnan(back));
}

INSTANTIATE_TEST_SUITE_P(Isas, Blocks, testing::ValuesIn(kIsas),
                         [](const testing::TestParamInfo<Isa>& i) { return std::string(isa_name(i.param)); });

}  // namespace
}  // namespace mynah::kernels
