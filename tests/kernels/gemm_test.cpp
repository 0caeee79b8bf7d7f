// The packed layout and the dispatch that ops/gemm.cpp builds on; results are tested there.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/gemv.h"
#include "kernels/isa.h"

namespace mynah::kernels {
namespace {

class GemmKernels : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!set_isa(GetParam())) GTEST_SKIP() << isa_name(GetParam()) << " is not supported here";
  }
  void TearDown() override { set_isa(isa_); }
  const Isa isa_ = active_isa();
};

TEST_P(GemmKernels, TileFitsThePanel) {
  EXPECT_GE(gemm().lanes, gemm().tile_rows);
  EXPECT_GE(gemm().tile_rows, 1);
  EXPECT_TRUE(gemm().bf16_group == 1 || gemm().bf16_group == 2);
}

TEST_P(GemmKernels, PackedWordsStandWhereTheHeaderSays) {
  const int lanes = gemm().lanes;
  const int64_t count = 2 * lanes + 1, k = 2 * lanes + 3, panel_lanes = lanes - 1, panel_stride = k * lanes;
  for (bool k_first : {true, false}) {  // which index is dense in memory
    const int64_t lane_stride = k_first ? k : 1, k_stride = k_first ? 1 : count;
    std::vector<float> source(static_cast<size_t>(count * k));
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = 0; i < k; ++i)
        source[static_cast<size_t>(l * lane_stride + i * k_stride)] = static_cast<float>(1000 * l + i);
    std::vector<float> packed(static_cast<size_t>(panel_stride * ((count + panel_lanes - 1) / panel_lanes)));
    gemm().pack(Arithmetic::f32, {source.data(), Element::f32, count, lane_stride, k_stride}, count, panel_lanes, k,
                packed.data(), panel_stride);
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = 0; i < k; ++i)
        ASSERT_EQ(packed[static_cast<size_t>(l / panel_lanes * panel_stride + i * lanes + l % panel_lanes)],
                  static_cast<float>(1000 * l + i))
            << "lane " << l << " k " << i << (k_first ? " k dense" : " lanes dense");
  }
}

// Products by tiles: rows of A stand row by row in a tile, and what fills up tiles is zero on both sides.
TEST_P(GemmKernels, PackedTilesStandWhereTheHeaderSays) {
  const int64_t tile = gemm().bf16_tile;
  if (tile == 0) GTEST_SKIP() << "no tiles";
  const int64_t count = tile + 3, k = 2 * tile + 5, units = 2 * tile, panel = units * tile;
  const auto half = [](float word, int64_t i) {
    uint32_t bits;
    __builtin_memcpy(&bits, &word, 4);
    return i % 2 ? bits >> 16 : bits & 0xffff;
  };
  for (bool k_first : {true, false}) {
    const int64_t lane_stride = k_first ? k : 1, k_stride = k_first ? 1 : count;
    std::vector<uint16_t> source(static_cast<size_t>(count * k));
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = 0; i < k; ++i) source[static_cast<size_t>(l * lane_stride + i * k_stride)] = static_cast<uint16_t>(0x3f80 + 64 * l + i);
    const GemmSource from{source.data(), Element::bf16, count, lane_stride, k_stride};
    std::vector<float> a(static_cast<size_t>(2 * panel), 7.0f), b(static_cast<size_t>(2 * panel), 7.0f);
    gemm().pack_tiles(from, count, k, a.data(), panel);
    gemm().pack(Arithmetic::bf16, from, count, tile, k, b.data(), panel);
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = 0; i < 2 * units; ++i) {
        const uint32_t expected = i < k ? static_cast<uint32_t>(0x3f80 + 64 * l + i) : 0;
        const int64_t u = i / 2, row = l % tile;
        ASSERT_EQ(half(a[static_cast<size_t>(l / tile * panel + (u / tile * tile + row) * tile + u % tile)], i), expected) << "A, lane " << l << " k " << i;
        ASSERT_EQ(half(b[static_cast<size_t>(l / tile * panel + u * tile + row)], i), expected) << "B, lane " << l << " k " << i;
      }
  }
}

TEST_P(GemmKernels, OneTileOfKnownProducts) {
  const int64_t k = 5;
  const int lanes = gemm().lanes;
  std::vector<float> a(static_cast<size_t>(k * lanes), 2.0f), b(static_cast<size_t>(k * lanes), 3.0f), c(4, 1.0f);
  const float bias[] = {100, 200};
  GemmBlock block{};
  block.units = k;
  block.a = a.data();
  block.rows = block.tile_rows = 2;
  block.b = b.data();
  block.columns = 2;
  block.c = c.data();
  block.ldc = 2;
  block.add_to_c = true;
  block.bias = bias;
  gemm().multiply(Arithmetic::f32, block);
  EXPECT_EQ(c, (std::vector<float>{131, 231, 131, 231}));
}

// Tiles and rows read in place give the same bits, also where bf16 pairs leave a half over.
TEST_P(GemmKernels, TilesAndFewRowsAgree) {
  const int64_t n = 21, k = 37;
  for (Element element : {Element::f32, Element::bf16, Element::f16}) {
    const Arithmetic arithmetic = element == Element::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
    if (arithmetic == Arithmetic::bf16 && gemm().bf16_tile > 0) continue;  // few rows are products by tiles too
    const int64_t group = element == Element::bf16 ? gemm().bf16_group : 1, units = (k + group - 1) / group,
                  panel = units * gemm().lanes;
    std::vector<float> x(k);
    for (int64_t i = 0; i < k; ++i) x[static_cast<size_t>(i)] = 0.37f * static_cast<float>(i % 11) - 1.3f;
    std::vector<uint16_t> weights(2 * n * k, 0);  // as f32: halves of which the upper are moderate exponents
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint16_t>(0x3c00 + i * 2654435761u % 0x300);
    const GemmSource w{weights.data(), element, n, k, 1};
    std::vector<float> tiles(n), rows(n), prepared(static_cast<size_t>(units));
    std::vector<float> packed_x(static_cast<size_t>(panel)),
        packed_w(static_cast<size_t>(panel * ((n + gemm().lanes - 1) / gemm().lanes)));
    gemm().pack(arithmetic, {x.data(), Element::f32, 1, k, 1}, 1, 1, k, packed_x.data(), panel);
    gemm().pack(arithmetic, w, n, gemm().lanes, k, packed_w.data(), panel);
    GemmBlock block{};
    block.units = units;
    block.a = packed_x.data();
    block.rows = block.tile_rows = 1;
    block.b = packed_w.data();
    block.b_panel = panel;
    block.columns = n;
    block.c = tiles.data();
    block.ldc = n;
    gemm().multiply(arithmetic, block);
    gemv().prepare(arithmetic, Element::f32, x.data(), 1, k, prepared.data());
    gemv().multiply({w, n, k, prepared.data(), units, 1, rows.data(), n, false, nullptr});
    EXPECT_EQ(tiles, rows) << static_cast<int>(element);
    EXPECT_NE(rows[0], 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GemmKernels, testing::ValuesIn(kIsas),
                         [](const auto& set) { return std::string(isa_name(set.param)); });

}  // namespace
}  // namespace mynah::kernels
