#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace mynah {
namespace {

// The key is the seed with the purpose mixed into its low half; this undoes the mixing, so that published vectors
// apply.
uint64_t seed_for_key(uint32_t k0, uint32_t k1) {
  const uint32_t mixed = k0 ^ (static_cast<uint32_t>(RandomPurpose::test) * 0x9E3779B9u);
  return uint64_t{k1} << 32 | mixed;
}

// The known-answer vectors of the authors' own library for philox4x32-10.
TEST(Random, PhiloxGivesThePublishedValues) {
  using Four = std::array<uint32_t, 4>;
  EXPECT_EQ(philox(seed_for_key(0, 0), 0, 0, RandomPurpose::test),
            (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(seed_for_key(0xffffffff, 0xffffffff), ~uint64_t{0}, ~uint64_t{0}, RandomPurpose::test),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(seed_for_key(0xa4093822, 0x299f31d0), 0x0370734413198a2e, 0x85a308d3243f6a88, RandomPurpose::test),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, EveryPartOfTheCounterMatters) {
  std::set<std::array<uint32_t, 4>> all;
  for (uint64_t seed : {1, 2})
    for (uint64_t stream : {1, 2})
      for (uint64_t position : {1, 2})
        for (auto purpose : {RandomPurpose::sampling, RandomPurpose::dropout})
          all.insert(philox(seed, stream, position, purpose));
  EXPECT_EQ(all.size(), 16u);
}

TEST(Random, StreamsOfNamesAreFnv1a) {
  EXPECT_EQ(stream_of(""), 0xcbf29ce484222325u);
  EXPECT_EQ(stream_of("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(stream_of("foobar"), 0x85944171f73967e8u);
}

TEST(Random, UniformValuesLieInTheHalfOpenIntervalAndAreSpreadEvenly) {
  constexpr int n = 20000;
  double sum = 0;
  std::vector<int> bins(10);
  for (int i = 0; i < n; ++i) {
    const float u = uniform(7, 3, static_cast<uint64_t>(i), RandomPurpose::test);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += u;
    ++bins[static_cast<size_t>(u * 10)];
  }
  EXPECT_NEAR(sum / n, 0.5, 0.01);
  for (const int count : bins) EXPECT_NEAR(count, n / 10, 5 * std::sqrt(n / 10.0));
}

TEST(Random, NormalValuesHaveTheMomentsOfTheNormalDistribution) {
  std::vector<float> x(40001);
  fill_normal(x.data(), static_cast<int64_t>(x.size()), 2.0f, 3.0f, 11, "weight");
  double mean = 0, variance = 0, fourth = 0;
  for (const float v : x) mean += v;
  mean /= static_cast<double>(x.size());
  for (const float v : x) {
    const double z = (v - mean) / 3.0;
    variance += z * z;
    fourth += z * z * z * z;
  }
  EXPECT_NEAR(mean, 2.0, 0.06);
  EXPECT_NEAR(variance / static_cast<double>(x.size()), 1.0, 0.03);
  EXPECT_NEAR(fourth / static_cast<double>(x.size()), 3.0, 0.2);
}

TEST(Random, AShorterFillIsThePrefixOfALongerOneAndNamesDiffer) {
  std::vector<float> long_fill(10), short_fill(7), other(10);
  fill_normal(long_fill.data(), 10, 0, 1, 5, "a");
  fill_normal(short_fill.data(), 7, 0, 1, 5, "a");
  fill_normal(other.data(), 10, 0, 1, 5, "b");
  EXPECT_TRUE(std::equal(short_fill.begin(), short_fill.end(), long_fill.begin()));
  EXPECT_NE(long_fill, other);
  fill_uniform(other.data(), 10, -2, 2, 5, "a");
  for (const float v : other) {
    EXPECT_GE(v, -2);
    EXPECT_LT(v, 2);
  }
}

}  // namespace
}  // namespace mynah
