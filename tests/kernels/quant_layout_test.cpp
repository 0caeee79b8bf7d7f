// Packing: what comes out of a panel is what gguf-py reads from the file's blocks, bit for bit.
#include "kernels/quant_layout.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "golden_file.h"
#include "quant_testing.h"

namespace mynah::kernels {
namespace {

class QuantLayout : public test::QuantTest {};

TEST_P(QuantLayout, PackedRowsEqualReference) {
  const test::GoldenFile golden("quantize.safetensors");
  for (int f = 0; f < kBlockFormats; ++f) {
    const auto bytes = golden.get<uint8_t>(std::string("bytes.") + test::kFormatNames[f]);
    const auto expected = golden.get<uint32_t>(std::string("decoded.") + test::kFormatNames[f]);
    const auto k = static_cast<int64_t>(expected.size()) / 2;
    std::vector<uint8_t> panel(panel_bytes(static_cast<BlockFormat>(f), k));
    pack_panel(static_cast<BlockFormat>(f), bytes.data(), 2, k, panel.data());
    std::vector<float> out(expected.size());
    quant().dequantize[f](panel.data(), k / 32, 0, k / 32, 0, 2, out.data(), k);
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i], std::bit_cast<float>(expected[i])) << test::kFormatNames[f] << " element " << i;
  }
}

// Every row keeps its place among the 16, and rows that are missing read as zero.
TEST_P(QuantLayout, RowsKeepTheirPlaces) {
  for (int f = 0; f < kBlockFormats; ++f)
    for (int64_t rows : {int64_t{1}, int64_t{7}, kPanelRows}) {
      const int64_t k = 512;
      const auto bytes = test::random_blocks(f, rows, k, 3);
      std::vector<uint8_t> panel(panel_bytes(static_cast<BlockFormat>(f), k), 0xff);
      pack_panel(static_cast<BlockFormat>(f), bytes.data(), rows, k, panel.data());
      std::vector<float> expected(static_cast<size_t>(rows * k)), all(static_cast<size_t>(kPanelRows * k)),
          one(static_cast<size_t>(k));
      blocks().decode[f](bytes.data(), expected.data(), rows * k);
      quant().dequantize[f](panel.data(), k / 32, 0, k / 32, 0, kPanelRows, all.data(), k);
      ASSERT_EQ(0, std::memcmp(expected.data(), all.data(), expected.size() * 4)) << test::kFormatNames[f];
      for (size_t i = expected.size(); i < all.size(); ++i) ASSERT_EQ(all[i], 0.0f) << test::kFormatNames[f];
      for (int64_t r = 0; r < rows; ++r) {
        quant().dequantize[f](panel.data(), k / 32, 0, k / 32, r, 1, one.data(), k);
        ASSERT_EQ(0, std::memcmp(expected.data() + r * k, one.data(), one.size() * 4))
            << test::kFormatNames[f] << " row " << r;
      }
      // The second half of the columns alone.
      std::vector<float> half(static_cast<size_t>(rows * 256));
      quant().dequantize[f](panel.data(), k / 32, 8, 16, 0, rows, half.data(), 256);
      for (int64_t r = 0; r < rows; ++r) ASSERT_EQ(0, std::memcmp(expected.data() + r * k + 256, half.data() + r * 256, 256 * 4)) << test::kFormatNames[f] << " row " << r;
    }
}

TEST(QuantLayoutSize, NotLargerThanTheFile) {
  for (int f = 0; f < kBlockFormats; ++f) {
    const PanelFormat& format = kPanelFormats[f];
    for (int64_t k : {int64_t{256}, int64_t{512}, int64_t{1536}}) {
      const int64_t file = kPanelRows * k / format.scale_columns * format.file_bytes;
      EXPECT_LE(panel_bytes(static_cast<BlockFormat>(f), k), static_cast<size_t>(file + 63)) << test::kFormatNames[f];
      EXPECT_EQ(panel_bytes(static_cast<BlockFormat>(f), k) % 64, 0u);
      EXPECT_EQ(packed_bytes(static_cast<BlockFormat>(f), 17, k), 2 * panel_bytes(static_cast<BlockFormat>(f), k));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, QuantLayout, testing::ValuesIn(kIsas), test::isa_test_name);

}  // namespace
}  // namespace mynah::kernels
