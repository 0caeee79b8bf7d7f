// Scores of boxes against pycocotools (tools/golden/detection.py) and by hand.
#include "train/detection_metric.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "mynah/json.h"

namespace mynah::train {
namespace {

std::array<double, 4> corners(const Json& row, size_t first) {
  const double left = row[first].get<double>(), top = row[first + 1].get<double>();
  return {left, top, left + row[first + 2].get<double>(), top + row[first + 3].get<double>()};
}

TEST(DetectionMetric, EqualsPycocotools) {
  const Json cases = read_json_file(std::filesystem::path(MYNAH_TEST_DATA) / "golden/detection.json");
  ASSERT_EQ(cases.size(), 6u);
  for (const Json& c : cases) {
    DetectionMetric metric;
    for (const Json& picture : c["pictures"]) {
      std::vector<TrueBox> truth;
      std::vector<FoundBox> found;
      for (const Json& t : picture["truth"]) truth.push_back({t[0].get<int64_t>(), corners(t, 1)});
      for (const Json& f : picture["found"]) found.push_back({f[0].get<int64_t>(), f[1].get<double>(), corners(f, 2)});
      metric.add(truth, found);
    }
    const DetectionScores got = metric.scores();
    const Json& expected = c["scores"];
    EXPECT_NEAR(got.map, expected["map"].get<double>(), 1e-9);
    EXPECT_NEAR(got.map_50, expected["map_50"].get<double>(), 1e-9);
    EXPECT_NEAR(got.map_75, expected["map_75"].get<double>(), 1e-9);
    EXPECT_NEAR(got.mar_100, expected["mar_100"].get<double>(), 1e-9);
  }
}

TEST(DetectionMetric, ByHand) {
  DetectionMetric none;
  none.add({}, {{0, 0.9, {0, 0, 1, 1}}});
  EXPECT_EQ(none.scores().map, -1);
  // One of two objects is found, with an overlap of 0.8.
  DetectionMetric half;
  half.add({{0, {0, 0, 10, 10}}, {0, {20, 20, 30, 30}}}, {{0, 0.9, {0, 0, 10, 8}}, {0, 0.5, {0, 0, 10, 10}}});
  const DetectionScores s = half.scores();
  EXPECT_NEAR(s.map_50, 51.0 / 101, 1e-12);
  EXPECT_NEAR(s.mar_100, 0.5, 1e-12);  // above 0.8 the second box takes it
}

}  // namespace
}  // namespace mynah::train
