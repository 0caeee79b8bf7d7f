#include "base/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace mynah {
namespace {

// A terminal (or, with no columns, a file) and a clock that stands until it is moved.
struct Stage {
  ProgressOptions options() {
    ProgressOptions o;
    o.write = [this](std::string_view text) {
      ++writes;
      out += text;
    };
    o.columns = [this] { return columns.load(); };
    o.seconds = [this] { return now.load(); };
    return o;
  }
  // What was written since the last call.
  std::string take() { return std::exchange(out, {}); }

  std::atomic<double> now{100};
  std::atomic<int> columns{80};
  int writes = 0;
  std::string out;
};

TEST(Progress, DrawsOneLineOnATerminal) {
  Stage stage;
  Progress progress("model", 100'000'000, stage.options());
  progress.add(1'000'000);
  EXPECT_EQ(stage.take(), "");
  stage.now = 101;
  progress.add(24'000'000);
  EXPECT_EQ(stage.take(), "\rmodel   25%  [======>                   ]  25.0 MB / 100 MB  25.0 MB/s  3s left\x1b[K");
  stage.now = 102;
  progress.set(100'000'000);
  EXPECT_EQ(stage.take(), "\rmodel  100%  [====================================]  100 MB / 100 MB  50.0 MB/s\x1b[K");
  progress.finish();
  EXPECT_EQ(stage.take(), "\rmodel  100 MB in 2.0s  50.0 MB/s\x1b[K\n");
  progress.finish();
  progress.add(1);
  EXPECT_EQ(stage.take(), "");
}

TEST(Progress, RedrawsAtMostTenTimesASecond) {
  Stage stage;
  Progress progress("x", 1'000'000, stage.options());
  for (int i = 1; i <= 10'000; ++i) {
    stage.now = 100 + i * 0.0005;  // five seconds
    progress.add(100);
  }
  EXPECT_GE(stage.writes, 45);
  EXPECT_LE(stage.writes, 50);
}

TEST(Progress, WritesALineEveryTenSecondsElsewhere) {
  Stage stage;
  stage.columns = 0;
  Progress progress("data", 4000, [&] {
    ProgressOptions o = stage.options();
    o.bytes = false;
    o.noun = "documents";
    return o;
  }());
  for (int second = 1; second <= 25; ++second) {
    stage.now = 100 + second;
    progress.add(100);
  }
  EXPECT_EQ(stage.take(),
            "data   25%  1000 / 4000 documents  100 documents/s  30s left\n"
            "data   50%  2000 / 4000 documents  100 documents/s  20s left\n");
  progress.finish();
  EXPECT_EQ(stage.take(), "data  2500 documents in 25s  100 documents/s\n");
}

TEST(Progress, ShortWorkWritesOnlyItsEnd) {
  Stage stage;
  stage.columns = 0;
  {
    Progress progress("quick", 10, stage.options());
    progress.add(10);
    progress.finish();
  }
  EXPECT_EQ(stage.take(), "quick  10 B in 0.0s\n");
}

TEST(Progress, StoppedWorkSaysSo) {
  Stage stage;
  {
    Progress progress("model", 1000, stage.options());
    stage.now = 104;
    progress.add(400);
    stage.take();
  }
  EXPECT_EQ(stage.take(), "\rmodel  stopped at 400 B / 1.00 kB in 4.0s  100 B/s\x1b[K\n");
}

TEST(Progress, QuietWritesNothing) {
  Stage stage;
  ProgressOptions options = stage.options();
  options.quiet = true;
  {
    Progress progress("x", 10, options);
    stage.now = 1000;
    progress.add(5);
    progress.finish();
  }
  EXPECT_EQ(stage.writes, 0);
}

TEST(Progress, UnknownTotalsHaveNoBar) {
  Stage stage;
  Progress progress("stream", -1, stage.options());
  stage.now = 102;
  progress.add(3000);
  EXPECT_EQ(stage.take(), "\rstream  3.00 kB  1.50 kB/s\x1b[K");
  progress.set_total(6000);
  stage.now = 103;
  progress.add(0);
  EXPECT_NE(stage.take().find(" 50%  ["), std::string::npos);
}

TEST(Progress, WhatWasDoneBeforeIsNotRate) {
  Stage stage;
  Progress progress("resumed", 10'000, stage.options());
  progress.start_at(8'000);
  stage.now = 102;
  progress.add(1'000);
  EXPECT_NE(stage.take().find("=>  ]  9.00 kB / 10.0 kB  500 B/s  2s left"), std::string::npos);
  progress.finish();
  EXPECT_NE(stage.take().find("9.00 kB in 2.0s  500 B/s"), std::string::npos);
}

TEST(Progress, TheRateIsThatOfTheLastSeconds) {
  Stage stage;
  Progress progress("x", -1, stage.options());
  for (int i = 1; i <= 10; ++i) {
    stage.now = 100 + i;
    progress.add(1'000'000);
  }
  for (int i = 11; i <= 20; ++i) {
    stage.now = 100 + i;
    stage.take();
    progress.add(1'000);
  }
  EXPECT_EQ(stage.take(), "\rx  10.0 MB  1.00 kB/s\x1b[K");
}

TEST(Progress, FitsEveryWidth) {
  for (int columns = 2; columns <= 200; ++columns) {
    Stage stage;
    stage.columns = columns;
    Progress progress("a rather long name of a model/with-a-part", 123'456'789, stage.options());
    stage.now = 103;
    progress.add(23'456'789);
    std::string line = stage.take();
    ASSERT_GE(line.size(), 4u);
    line = line.substr(1, line.size() - 4);  // without return and erase
    EXPECT_LT(static_cast<int>(line.size()), columns) << line;
    stage.now = 104;
    progress.finish();
    line = stage.take();
    EXPECT_LT(static_cast<int>(line.size()) - 5, columns) << line;
  }
}

TEST(Progress, WideCharactersCountTwice) {
  Stage stage;
  stage.columns = 21;
  Progress progress("\u4f60\u597d\u4f60\u597d\u4f60\u597d\u4f60\u597d", 100, stage.options());
  stage.now = 101;
  progress.add(50);
  EXPECT_EQ(stage.take(), "\r\u4f60\u597d\u4f60\u597d\u4f60...   50%\x1b[K");
}

TEST(Progress, NamesCannotSteerTheTerminal) {
  Stage stage;
  Progress progress("a\x1b[2J\nb\xff", -1, stage.options());
  progress.finish();
  EXPECT_EQ(stage.take(), "a?[2J?b?  0 B in 0.0s\n");
}

TEST(Progress, OddAmountsDoNoHarm) {
  Stage stage;
  Progress progress("x", 0, stage.options());
  stage.now = 101;
  progress.add(10);
  EXPECT_NE(stage.take().find("100%"), std::string::npos);
  stage.now = 102;
  progress.set(-5);
  stage.now = 103;
  progress.set(INT64_MAX);
  progress.set_total(INT64_MAX);
  stage.now = 104;
  progress.set(INT64_MAX);
  EXPECT_NE(stage.take().find("9.22 EB"), std::string::npos);
}

TEST(Progress, ThreadsMayAddAtOnce) {
  Stage stage;
  Progress progress("x", 40'000, stage.options());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        if (i % 100 == 0) stage.now = stage.now + 0.01;
        progress.add(1);
      }
    });
  for (auto& thread : threads) thread.join();
  stage.take();
  progress.finish();
  EXPECT_NE(stage.take().find("40.0 kB in"), std::string::npos);
}

TEST(Progress, FormatsAmountsAndTimes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(9'994), "9.99 kB");
  EXPECT_EQ(format_bytes(9'996), "10.0 kB");
  EXPECT_EQ(format_bytes(99'960), "100 kB");
  EXPECT_EQ(format_bytes(999'400), "999 kB");
  EXPECT_EQ(format_bytes(999'500), "1.00 MB");
  EXPECT_EQ(format_bytes(98'362'432), "98.4 MB");
  EXPECT_EQ(format_bytes(INT64_MAX), "9.22 EB");
  EXPECT_EQ(format_duration(0.2), "0s");
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(59.6), "1m00s");
  EXPECT_EQ(format_duration(185), "3m05s");
  EXPECT_EQ(format_duration(7620), "2h07m");
  EXPECT_EQ(format_duration(4 * 86400 + 3 * 3600), "4d03h");
  EXPECT_EQ(format_duration(1e30), "ages");
  EXPECT_EQ(format_duration(-1), "0s");
}

}  // namespace
}  // namespace mynah
