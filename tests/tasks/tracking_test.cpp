// Tracks: things that move keep their numbers, things that are seen once do not count, gaps are bridged.
#include "tasks/tracking.h"

#include <gtest/gtest.h>

#include "nn/boxes.h"

namespace mynah::tasks {
namespace {

SeenBox at(const std::string& label, double x, double y) { return {label, {x, y, x + 20, y + 20}}; }

TEST(Tracking, OverlapOfBoxes) {
  EXPECT_DOUBLE_EQ(nn::overlap_of({0, 0, 10, 10}, {0, 0, 10, 10}), 1);
  EXPECT_DOUBLE_EQ(nn::overlap_of({0, 0, 10, 10}, {5, 0, 15, 10}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(nn::overlap_of({0, 0, 10, 10}, {10, 0, 20, 10}), 0);
  EXPECT_DOUBLE_EQ(nn::overlap_of({0, 0, 10, 10}, {40, 40, 50, 50}), 0);
}

TEST(Tracking, WhatMovesKeepsItsNumber) {
  Tracker tracker;
  // One to the right, one to the left; they pass each other. Their order in the list changes.
  for (int i = 0; i < 20; ++i) {
    const SeenBox right = at("bird", 6.0 * i, 0), left = at("bird", 114 - 6.0 * i, 12);
    const auto ids = tracker.next(i % 2 ? std::vector<SeenBox>{left, right} : std::vector<SeenBox>{right, left});
    EXPECT_EQ(ids[i % 2 ? 1 : 0], 1) << i;
    EXPECT_EQ(ids[i % 2 ? 0 : 1], 2) << i;
  }
  EXPECT_EQ(tracker.tracks().size(), 2u);
}

TEST(Tracking, FastThingsAreFoundWhereTheyShouldBe) {
  Tracker tracker;
  double x = 0, speed = 4;
  for (int i = 0; i < 12; ++i, x += speed, speed += 3) EXPECT_EQ(tracker.next({at("car", x, 0)})[0], 1) << i;
}

TEST(Tracking, AnotherLabelIsAnotherThing) {
  Tracker tracker;
  EXPECT_EQ(tracker.next({at("bird", 0, 0)})[0], 1);
  EXPECT_EQ(tracker.next({at("cat", 0, 0)})[0], 2);
  EXPECT_EQ(tracker.next({at("bird", 0, 0)})[0], 1);
}

TEST(Tracking, EventsSayWhoCameAndLeft) {
  Tracker tracker({.least_overlap = 0.3, .patience = 2, .confirmed = 2});
  std::vector<std::string> log;
  const auto note = [&](bool end = false) {
    for (const TrackEvent& e : tracker.events(end))
      log.push_back((e.kind == TrackEvent::Kind::appears ? "+" : "-") + e.label + std::to_string(e.track) + "@" + std::to_string(e.frame));
  };
  // A bird in frames 1 to 3 and 5 to 6 (one gap), a flash in frame 2, a cat from frame 7 on.
  const std::vector<std::vector<SeenBox>> frames = {{},          {at("bird", 0, 0)}, {at("bird", 1, 0), at("flash", 90, 90)}, {at("bird", 2, 0)}, {}, {at("bird", 4, 0)}, {at("bird", 5, 0)},
                                                    {at("cat", 50, 0)}, {at("cat", 50, 0)}, {at("cat", 50, 0)}};
  for (const auto& boxes : frames) {
    tracker.next(boxes);
    note();
  }
  note(true);
  EXPECT_EQ(log, (std::vector<std::string>{"+bird1@1", "+cat3@7", "-bird1@6"}));
  const auto tracks = tracker.tracks();
  ASSERT_EQ(tracks.size(), 2u);
  EXPECT_EQ(tracks[0].seen, 5);
  EXPECT_EQ(tracks[1].first_frame, 7);
}

TEST(Tracking, WhatWasLostBeforeTheEndHasLeft) {
  Tracker tracker;
  tracker.next({at("bird", 0, 0)});
  tracker.next({at("bird", 0, 0)});
  tracker.next({});
  EXPECT_EQ(tracker.events().size(), 1u);
  const auto last = tracker.events(true);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].kind, TrackEvent::Kind::leaves);
  EXPECT_EQ(last[0].frame, 1);
}

}  // namespace
}  // namespace mynah::tasks
