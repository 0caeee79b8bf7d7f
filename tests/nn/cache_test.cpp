#include "nn/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "mynah/error.h"
#include "tensor/storage.h"

namespace mynah::nn {
namespace {

constexpr int64_t kHeads = 4, kKvHeads = 2, kDim = 24, kRow = kKvHeads * kDim;

std::vector<float> random_floats(int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(engine);
  return v;
}

CacheShape shape(DType dtype, int layers = 1) { return {layers, kKvHeads, kDim, dtype}; }

// What the last `count` queries of q attend to.
std::vector<float> attend(const LayerCache& cache, const std::vector<float>& q, int64_t begin, int64_t count,
                          int64_t length, DType precision = DType::f32) {
  const ops::KvBlocks blocks = cache.blocks();
  const ops::AttentionSpan span{0, count, 0, length, &blocks};
  ops::AttentionOptions options;
  options.scale = 0.2f;
  options.causal = true;
  options.precision = precision;
  std::vector<float> out(static_cast<size_t>(count * kHeads * kDim));
  ops::attention_forward({kHeads, kKvHeads, kDim}, {q.data() + begin * kHeads * kDim, kHeads * kDim}, {}, {},
                         {&span, 1}, options, {out.data(), kHeads * kDim}, nullptr);
  return out;
}

bool same_bits(const std::vector<float>& a, const float* b) {
  return !std::memcmp(a.data(), b, a.size() * sizeof(float));
}

class CacheTypes : public ::testing::TestWithParam<DType> {};

TEST_P(CacheTypes, TokensOneByOneEqualTokensTogether) {
  const int64_t tokens = 150;
  const auto q = random_floats(tokens * kHeads * kDim, 1), k = random_floats(tokens * kRow, 2),
             v = random_floats(tokens * kRow, 3);
  for (DType precision : {DType::f32, DType::bf16}) {
    LayerCache whole(shape(GetParam())), grown(shape(GetParam()));
    whole.append(k.data(), kRow, v.data(), kRow, tokens);
    const auto want = attend(whole, q, 0, tokens, tokens, precision);
    for (int64_t t = 0, n; t < tokens; t += n) {
      n = t < 70 ? std::min<int64_t>(9, 70 - t) : 1;  // chunked prefill over a block's border, then decoding
      grown.append(k.data() + t * kRow, kRow, v.data() + t * kRow, kRow, n);
      ASSERT_EQ(grown.length(), t + n);
      ASSERT_TRUE(same_bits(attend(grown, q, t, n, t + n, precision), want.data() + t * kHeads * kDim)) << t;
    }
  }
}

TEST_P(CacheTypes, RowsOfACacheGiveWhatPlainRowsGive) {
  const int64_t tokens = 100;
  const auto q = random_floats(tokens * kHeads * kDim, 1), k = random_floats(tokens * kRow, 2),
             v = random_floats(tokens * kRow, 3);
  LayerCache cache(shape(GetParam()));
  cache.append(k.data(), kRow, v.data(), kRow, tokens);
  const ops::AttentionSpan span{0, tokens, 0, tokens};
  ops::AttentionOptions options;
  options.scale = 0.2f;
  options.causal = true;
  std::vector<float> out(q.size());
  ops::attention_forward({kHeads, kKvHeads, kDim}, {q.data(), kHeads * kDim}, {k.data(), kRow}, {v.data(), kRow},
                         {&span, 1}, options, {out.data(), kHeads * kDim}, nullptr);
  const auto cached = attend(cache, q, 0, tokens, tokens);
  if (GetParam() == DType::f32) {
    EXPECT_TRUE(same_bits(cached, out.data()));
  }
  const float tolerance = GetParam() == DType::bf16 ? 4e-2f : 4e-3f;
  for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(cached[i], out[i], tolerance);
}

TEST_P(CacheTypes, TruncatedPositionsLeaveNoTrace) {
  const auto q = random_floats(80 * kHeads * kDim, 1), k = random_floats(80 * kRow, 2), v = random_floats(80 * kRow, 3);
  const std::vector<float> nan(40 * kRow, NAN);
  LayerCache clean(shape(GetParam())), dirty(shape(GetParam()));
  clean.append(k.data(), kRow, v.data(), kRow, 41);
  dirty.append(k.data(), kRow, v.data(), kRow, 41);
  dirty.append(nan.data(), kRow, nan.data(), kRow, 40);
  dirty.truncate(41);
  EXPECT_EQ(dirty.length(), 41);
  EXPECT_EQ(dirty.bytes(), clean.bytes());
  for (DType precision : {DType::f32, DType::bf16})
    EXPECT_TRUE(same_bits(attend(dirty, q, 0, 41, 41, precision), attend(clean, q, 0, 41, 41, precision).data()));
}

TEST_P(CacheTypes, PrefixesShareBlocksUntilWritten) {
  const auto q = random_floats(200 * kHeads * kDim, 1), k = random_floats(200 * kRow, 2),
             v = random_floats(200 * kRow, 3);
  LayerCache first(shape(GetParam()));
  first.append(k.data(), kRow, v.data(), kRow, 140);
  const auto before = attend(first, q, 0, 140, 140);
  LayerCache second = first.prefix(100);
  EXPECT_EQ(second.length(), 100);
  EXPECT_EQ(second.blocks().k[0], first.blocks().k[0]);
  EXPECT_EQ(second.blocks().k[1], first.blocks().k[1]);
  second.append(k.data() + 150 * kRow, kRow, v.data() + 150 * kRow, kRow, 40);
  EXPECT_EQ(second.blocks().k[0], first.blocks().k[0]);
  EXPECT_NE(second.blocks().k[1], first.blocks().k[1]);
  EXPECT_TRUE(same_bits(before, attend(first, q, 0, 140, 140).data()));
  LayerCache fresh(shape(GetParam()));
  fresh.append(k.data(), kRow, v.data(), kRow, 100);
  fresh.append(k.data() + 150 * kRow, kRow, v.data() + 150 * kRow, kRow, 40);
  EXPECT_TRUE(same_bits(attend(second, q, 0, 140, 140), attend(fresh, q, 0, 140, 140).data()));
}

// As beams do: several caches with a common beginning go on in one call. The memory that they get held NaNs before.
TEST_P(CacheTypes, CachesThatGoOnTogetherKeepTheirOwnRows) {
  const int64_t begun = 41;
  const std::vector<float> nan(64 * kRow, NAN);
  {
    std::vector<LayerCache> dirty;
    for (int i = 0; i < 4; ++i) {
      dirty.emplace_back(shape(GetParam()));
      dirty.back().append(nan.data(), kRow, nan.data(), kRow, 64);
    }
  }
  const auto q = random_floats(80 * kHeads * kDim, 1), k = random_floats(80 * kRow, 2), v = random_floats(80 * kRow, 3);
  LayerCache first(shape(GetParam()));
  first.append(k.data(), kRow, v.data(), kRow, begun);
  LayerCache second = first.prefix(begun), third = first.prefix(begun - 1), fourth = first.prefix(begun);
  const std::vector<LayerCache*> all{&first, &second, &third, &fourth};
  const std::vector<int64_t> counts{1, 2, 1, 30}, begins{begun, begun, begun - 1, begun};
  LayerCache::append(all, k.data() + 45 * kRow, kRow, v.data() + 45 * kRow, kRow, counts);
  int64_t row = 45;
  for (size_t i = 0; i < all.size(); ++i) {
    const int64_t length = begins[i] + counts[i];
    ASSERT_EQ(all[i]->length(), length);
    LayerCache alone(shape(GetParam()));
    alone.append(k.data(), kRow, v.data(), kRow, begins[i]);
    alone.append(k.data() + row * kRow, kRow, v.data() + row * kRow, kRow, counts[i]);
    for (DType precision : {DType::f32, DType::bf16})
      EXPECT_TRUE(same_bits(attend(*all[i], q, 0, length, length, precision), attend(alone, q, 0, length, length, precision).data())) << i;
    row += counts[i];
  }
  // One more each: the places behind the last must do no harm.
  LayerCache::append(all, k.data(), kRow, v.data(), kRow, std::vector<int64_t>{1, 1, 1, 1});
  for (LayerCache* cache : all)
    for (const float x : attend(*cache, q, 0, 1, cache->length(), DType::bf16)) ASSERT_TRUE(std::isfinite(x));
}

INSTANTIATE_TEST_SUITE_P(Types, CacheTypes, ::testing::Values(DType::f32, DType::f16, DType::bf16),
                         [](const auto& type) { return std::string(name(type.param)); });

TEST(CacheTest, BlocksStayWhereTheyAre) {
  const auto k = random_floats(64 * kRow, 1);
  LayerCache cache(shape(DType::f32));
  cache.append(k.data(), kRow, k.data(), kRow, 3);
  const void* first = cache.blocks().k[0];
  for (int i = 0; i < 20; ++i) cache.append(k.data(), kRow, k.data(), kRow, 64);
  EXPECT_EQ(cache.blocks().k[0], first);
  EXPECT_EQ(cache.length(), 3 + 20 * 64);
}

TEST(CacheTest, OnlyANewBlockTakesMemory) {
  const auto k = random_floats(64 * kRow, 1);
  LayerCache cache(shape(DType::f32));
  cache.append(k.data(), kRow, k.data(), kRow, 1);
  const size_t bytes = Storage::live_bytes();
  for (int i = 1; i < 64; ++i) cache.append(k.data(), kRow, k.data(), kRow, 1);
  EXPECT_EQ(Storage::live_bytes(), bytes);
  cache.append(k.data(), kRow, k.data(), kRow, 1);
  EXPECT_GT(Storage::live_bytes(), bytes);
}

// A server asks after every token, of every answer that it keeps.
TEST(CacheTest, KnowsItsBytesWithoutALookAtEveryBlock) {
  const auto k = random_floats(64 * kRow, 1);
  LayerCache one(shape(DType::bf16)), many(shape(DType::bf16));
  one.append(k.data(), kRow, k.data(), kRow, 64);
  for (int i = 0; i < 1000; ++i) many.append(k.data(), kRow, k.data(), kRow, 64);
  ASSERT_EQ(many.bytes(), 1000 * one.bytes());
  const auto least_time = [](const LayerCache& cache) {
    auto least = std::chrono::nanoseconds::max();
    for (int round = 0; round < 20; ++round) {
      const auto start = std::chrono::steady_clock::now();
      size_t sum = 0;
      for (int i = 0; i < 200; ++i) sum += cache.bytes();
      least = std::min<std::chrono::nanoseconds>(least, std::chrono::steady_clock::now() - start);
      EXPECT_EQ(sum, 200 * cache.bytes());
    }
    return least;
  };
  EXPECT_LT(least_time(many).count(), 50 * least_time(one).count() + 1000);
}

TEST(CacheTest, WholeCacheTruncatesAndShares) {
  const auto k = random_floats(90 * kRow, 1);
  Cache cache(shape(DType::bf16, 3));
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(cache.bytes(), 0u);
  for (int layer = 0; layer < 3; ++layer) cache.layer(layer).append(k.data(), kRow, k.data(), kRow, 90);
  EXPECT_EQ(cache.bytes(),
            static_cast<size_t>(3 * 2 * kKvHeads * 2) *
                static_cast<size_t>(kernels::key_block_elements(kDim) + kernels::value_block_elements(kDim)));
  Cache shared = cache.prefix(64);
  EXPECT_EQ(shared.length(), 64);
  cache.truncate(10);
  EXPECT_EQ(cache.layer(2).length(), 10);
  EXPECT_EQ(shared.length(), 64);
}

TEST(CacheTest, RefusesWhatItCannotDo) {
  EXPECT_THROW(LayerCache({1, 2, 8, DType::i32}), Error);
  EXPECT_THROW(LayerCache({1, 0, 8, DType::f32}), Error);
  LayerCache cache(shape(DType::f32));
  EXPECT_THROW(cache.truncate(1), Error);
  EXPECT_THROW(cache.prefix(-1), Error);
}

// A recurrent state is kept whole or forgotten, and copies do not share it.
TEST(Cache, KeepsRecurrentStates) {
  Cache cache({.layers = 2, .state = 3});
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(cache.bytes(), 24u);
  cache.state(1)[2] = 5;
  cache.advance(4);
  EXPECT_EQ(cache.length(), 4);
  EXPECT_EQ(cache.reach(4), 4);
  EXPECT_EQ(cache.reach(3), 0);
  EXPECT_THROW(cache.truncate(3), Error);
  EXPECT_THROW(cache.prefix(2), Error);
  Cache copy = cache.prefix(4);
  copy.state(1)[2] = 6;
  copy.advance(1);
  EXPECT_EQ(cache.state(1)[2], 5);
  EXPECT_EQ(cache.length(), 4);
  EXPECT_EQ(cache.prefix(0).state(1)[2], 0);
  cache.truncate(0);
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(cache.state(1)[2], 0);
  EXPECT_EQ(copy.state(1)[2], 6);
}

}  // namespace
}  // namespace mynah::nn
