#include "train/loss_curve.h"

#include <gtest/gtest.h>

namespace mynah::train {
namespace {

TEST(LossCurve, ShowsEqualPartsOfTheRun) {
  LossCurve curve;
  EXPECT_EQ(curve.draw(8), "");
  for (const double loss : {8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0}) curve.add(loss);
  EXPECT_EQ(curve.draw(8), "\u2588\u2587\u2586\u2585\u2584\u2583\u2582\u2581");
  EXPECT_EQ(curve.draw(2), "\u2588\u2581");
}

TEST(LossCurve, OfALongRunStaysShort) {
  LossCurve curve;
  for (int i = 0; i < 100'000; ++i) curve.add(i < 50'000 ? 1 : 0);
  const std::string drawn = curve.draw(1000);
  EXPECT_LE(drawn.size(), 256u * 3);
  EXPECT_TRUE(drawn.starts_with("\u2588\u2588"));
  EXPECT_TRUE(drawn.ends_with("\u2581\u2581"));
}

}  // namespace
}  // namespace mynah::train
