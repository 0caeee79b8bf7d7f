// Block layouts and the tile kernel by itself; whole sequences are tested in tests/ops/attention_core_test.cpp.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/half_bits.h"
#include "kernels/isa.h"

namespace mynah::kernels {
namespace {

class Attention : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = active_isa();
    if (!set_isa(GetParam())) GTEST_SKIP() << "this processor lacks " << isa_name(GetParam());
  }
  void TearDown() override { set_isa(before_); }
  Isa before_ = Isa::generic;
};

std::vector<float> numbers(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[i] = static_cast<float>((i * 37) % 64 - 30) / 8;  // exact in f16 and bf16
  return v;
}

// Element i of a block as f32.
float element_at(KvElement element, const std::vector<uint32_t>& block, int64_t i) {
  if (element == KvElement::f32) {
    float x;
    std::memcpy(&x, &block[i], sizeof(x));
    return x;
  }
  uint16_t h;
  std::memcpy(&h, reinterpret_cast<const char*>(block.data()) + 2 * i, sizeof(h));
  return element == KvElement::f16 ? f16_to_float(h) : bf16_to_float(h);
}

// Few keys and many, slots that divide a pair, heads of less than a vector and of several: what is not written stays.
TEST_P(Attention, BlocksHaveTheDocumentedLayout) {
  struct Case {
    int64_t dim, count, slot;
  };
  for (const auto& [dim, count, slot] : {Case{21, 5, 8}, Case{40, 37, 3}, Case{64, 64, 0}, Case{33, 2, 5}, Case{7, 18, 1}})
    for (KvElement element : {KvElement::f32, KvElement::f16, KvElement::bf16}) {
      SCOPED_TRACE(dim);
      const int64_t stride = dim + 9, width = padded_value_dim(dim);
      const std::vector<float> x = numbers(count * stride);
      const bool pairs = element == KvElement::bf16;
      std::vector<uint32_t> k(key_block_elements(dim)), v(value_block_elements(dim));
      attention().pack_keys(element, x.data(), stride, count, dim, slot, k.data());
      attention().pack_values(element, x.data(), stride, count, dim, slot, v.data());
      for (int64_t key = 0; key < kKeyBlock; ++key)
        for (int64_t d = 0; d < width; ++d) {
          const float want = key >= slot && key < slot + count && d < dim ? x[(key - slot) * stride + d] : 0.0f;
          if (d < padded_key_dim(dim)) {
            ASSERT_EQ(element_at(element, k, pairs ? (d / 2 * 64 + key) * 2 + d % 2 : d * 64 + key), want) << "key " << key << ", d " << d;
          }
          ASSERT_EQ(element_at(element, v, pairs ? (key / 2 * width + d) * 2 + key % 2 : key * width + d), want) << "key " << key << ", d " << d;
        }
    }
}

// Rows go through the positions and in each through the heads of the group; the head's padding is zero.
TEST_P(Attention, QueriesArePackedByPositionAndHead) {
  const int64_t dim = 21, group = 3, stride = 100, first = 2, count = 7, width = padded_key_dim(dim);
  const std::vector<float> x = numbers(4 * stride);
  std::vector<float> rows(count * width, -1.0f);
  attention().pack_queries(x.data(), stride, group, first, count, dim, 0.5f, rows.data());
  for (int64_t r = 0; r < count; ++r)
    for (int64_t d = 0; d < width; ++d) {
      const float want = d < dim ? 0.5f * x[(first + r) / group * stride + (first + r) % group * dim + d] : 0.0f;
      ASSERT_EQ(rows[r * width + d], want) << "row " << r << ", d " << d;
    }
}

// Attention of equal keys is the mean of the visible values: any element type, rows from 1 to 48, chunks merged or not.
TEST_P(Attention, EqualKeysAverageTheValues) {
  const int64_t dim = 18, keys = 640, width = padded_value_dim(dim);
  const std::vector<float> values = numbers(keys * dim), same(keys * dim, 0.5f);
  for (KvElement element : {KvElement::f32, KvElement::f16, KvElement::bf16})
    for (int64_t rows : {1, 3, 6, 17, 48}) {
      std::vector<std::vector<uint32_t>> k_blocks, v_blocks;
      std::vector<const void*> k, v;
      for (int64_t b = 0; b < keys / kKeyBlock; ++b) {
        k_blocks.emplace_back(key_block_elements(dim));
        v_blocks.emplace_back(value_block_elements(dim));
        attention().pack_keys(element, same.data(), dim, kKeyBlock, dim, 0, k_blocks.back().data());
        attention().pack_values(element, values.data() + b * kKeyBlock * dim, dim, kKeyBlock, dim, 0,
                                v_blocks.back().data());
        k.push_back(k_blocks.back().data());
        v.push_back(v_blocks.back().data());
      }
      std::vector<float> q(rows * padded_key_dim(dim), 0.25f), out(rows * dim), lse(rows);
      std::vector<int64_t> first(rows), last(rows);
      std::vector<float*> out_rows(rows);
      for (int64_t r = 0; r < rows; ++r) first[r] = 3 * r, last[r] = 600 + r % 2, out_rows[r] = out.data() + r * dim;
      AttentionTile tile;
      tile.rows = rows, tile.dim = dim, tile.q = q.data(), tile.first = first.data(), tile.last = last.data();
      tile.element = element, tile.k = k.data(), tile.v = v.data();
      std::vector<float> memory(2 * rows * (1 + kSumLanes + width));
      const auto state = [&](float* p) { return AttentionState{p, p + rows, p + rows * (1 + kSumLanes)}; };
      const AttentionState total = state(memory.data()), part = state(memory.data() + memory.size() / 2);
      attention().attend(tile, 0, 8, total);
      attention().attend(tile, 8, 10, part);
      attention().merge(total, part, rows, dim);
      attention().finish(total, rows, dim, out_rows.data(), lse.data());
      for (int64_t r = 0; r < rows; ++r) {
        EXPECT_NEAR(lse[r], 18 * 0.125 + std::log(static_cast<double>(last[r] - first[r])), 1e-5);
        for (int64_t d = 0; d < dim; ++d) {
          double mean = 0;
          for (int64_t j = first[r]; j < last[r]; ++j)
            mean += values[j * dim + d] / static_cast<double>(last[r] - first[r]);
          ASSERT_NEAR(out[r * dim + d], mean, 2e-6) << r << " " << d;
        }
      }
    }
}

TEST_P(Attention, FinishGivesZeroForRowsThatSawNothing) {
  const float top = -INFINITY;
  std::vector<float> total(kSumLanes), sums(16), out(5, 7.0f);
  float lse = 0, top_copy = top;
  float* rows[] = {out.data()};
  attention().finish({&top_copy, total.data(), sums.data()}, 1, 5, rows, &lse);
  EXPECT_EQ(out, std::vector<float>(5, 0.0f));
  EXPECT_EQ(lse, -INFINITY);
}

INSTANTIATE_TEST_SUITE_P(Isa, Attention, testing::ValuesIn(kIsas),
                         [](const auto& set) { return std::string(isa_name(set.param)); });

}  // namespace
}  // namespace mynah::kernels
