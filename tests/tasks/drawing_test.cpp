// Results drawn into pictures: small ones become large enough for labels, edges outside are seen, labels stand over frames.
#include <gtest/gtest.h>

#include "media/draw.h"
#include "mynah/json.h"
#include "tasks/task_entry.h"

namespace mynah {

extern const TaskEntry task_object_detection;

namespace {

media::Image grey(int64_t width, int64_t height) {
  media::Image image;
  image.width = width;
  image.height = height;
  image.rgb.assign(static_cast<size_t>(width * height * 3), 128);
  return image;
}
media::Color at(const media::Image& image, int64_t x, int64_t y) {
  const auto* p = image.rgb.data() + (y * image.width + x) * 3;
  return {p[0], p[1], p[2]};
}
Json found(const char* label, int64_t left, int64_t top, int64_t right, int64_t bottom) {
  return {{"score", 0.9}, {"label", label}, {"box", {{"xmin", left}, {"ymin", top}, {"xmax", right}, {"ymax", bottom}}}};
}

TEST(Drawing, SmallPicturesBecomeReadable) {
  EXPECT_EQ(media::readable_scale(grey(64, 48)), 10);
  EXPECT_EQ(media::readable_scale(grey(640, 480)), 1);
  EXPECT_EQ(media::readable_scale(grey(2000, 8)), 2);  // the longer side counts too
  EXPECT_EQ(media::readable_scale(grey(1, 1)), 480);
}

TEST(Drawing, EdgesOfBoxesAreSeenWhereverTheyLie) {
  for (const auto& [left, top, right, bottom] : {std::array<int64_t, 4>{0, 0, 32, 24}, {-5, -7, 40, 30}}) {
    const media::Image drawn = task_object_detection.draw(grey(32, 24), Json::array({found("thing", left, top, right, bottom)}));
    ASSERT_EQ(drawn.width, 640);
    ASSERT_EQ(drawn.height, 480);
    const media::Color color = media::color_of("thing");
    EXPECT_EQ(at(drawn, 639, 240), color);
    EXPECT_EQ(at(drawn, 320, 479), color);
    EXPECT_EQ(at(drawn, 0, 240), color);
    EXPECT_EQ(at(drawn, 320, 240), (media::Color{128, 128, 128}));
  }
}

TEST(Drawing, LabelsStandOverFrames) {
  // The second frame runs through the first one's label.
  const media::Image drawn = task_object_detection.draw(grey(640, 480), Json::array({found("under", 100, 100, 300, 300), found("over", 110, 20, 500, 400)}));
  EXPECT_EQ(at(drawn, 110, 99), media::color_of("under"));
}

TEST(Drawing, LabelsDoNotCoverEachOther) {
  const media::Image one = task_object_detection.draw(grey(640, 480), Json::array({found("first", 100, 100, 300, 300)}));
  const media::Image both = task_object_detection.draw(grey(640, 480), Json::array({found("first", 100, 100, 300, 300), found("second", 104, 104, 310, 310)}));
  for (int64_t y = 82; y < 100; ++y)
    for (int64_t x = 100; x < 160; ++x) ASSERT_EQ(at(both, x, y), at(one, x, y)) << x << ' ' << y;
  EXPECT_EQ(at(both, 105, 101), media::color_of("second"));  // below it
}

}  // namespace
}  // namespace mynah
