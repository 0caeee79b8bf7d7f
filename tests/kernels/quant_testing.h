// What the tests of the quantised kernels share.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "kernels/quant.h"

namespace mynah::test {

constexpr const char* kFormatNames[kernels::kBlockFormats] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0",  "q2_k",
                                                              "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"};

inline std::string isa_test_name(const testing::TestParamInfo<kernels::Isa>& info) {
  return kernels::isa_name(info.param);
}

// Runs a test with the instruction set of its parameter, or skips it.
class QuantTest : public testing::TestWithParam<kernels::Isa> {
 protected:
  void SetUp() override {
    before_ = kernels::active_isa();
    if (!kernels::set_isa(GetParam())) GTEST_SKIP() << "this processor has no " << kernels::isa_name(GetParam());
  }
  void TearDown() override { kernels::set_isa(before_); }

 private:
  kernels::Isa before_ = kernels::Isa::generic;
};

inline uint32_t random_bits(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 32);
}
// Roughly normal.
inline float random_float(uint64_t& state) {
  float sum = -2;
  for (int i = 0; i < 4; ++i) sum += static_cast<float>(random_bits(state) >> 8) * 0x1p-24f;
  return sum;
}

// Random GGUF blocks of a matrix [rows, k]. The f16 numbers are between 2^-7 and 2^-5 in size, of either sign.
inline std::vector<uint8_t> random_blocks(int format, int64_t rows, int64_t k, uint64_t seed) {
  constexpr int kHalves[kernels::kBlockFormats][2] = {{0, -1},   {0, 2}, {0, -1}, {0, 2},    {0, -1}, {80, 82},
                                                      {108, -1}, {0, 2}, {0, 2},  {208, -1}, {0, -1}};
  const kernels::PanelFormat& layout = kernels::kPanelFormats[format];
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * k / layout.scale_columns * layout.file_bytes));
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random_bits(seed));
  for (size_t block = 0; block < bytes.size(); block += static_cast<size_t>(layout.file_bytes))
    for (int at : kHalves[format])
      if (at >= 0) {
        const auto h = static_cast<uint16_t>(0x2000u | (random_bits(seed) & 0x87ffu));
        std::memcpy(&bytes[block + static_cast<size_t>(at)], &h, 2);
      }
  return bytes;
}

inline std::vector<float> random_floats(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random_float(seed);
  return x;
}

}  // namespace mynah::test
