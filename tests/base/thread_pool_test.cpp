#include "base/thread_pool.h"
#include "mynah/error.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace mynah {
namespace {

class ThreadPoolOf : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolOf, EveryChunkRunsExactlyOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t chunks : {0, 1, 2, 3, 7, 64, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(chunks));
    pool.run(chunks, [&](int64_t c) { runs[static_cast<size_t>(c)].fetch_add(1, std::memory_order_relaxed); });
    for (const auto& n : runs) EXPECT_EQ(n.load(), 1);
  }
}

TEST_P(ThreadPoolOf, WhatBodiesWroteIsSeenAfterwards) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    std::vector<int64_t> squares(257);  // plain memory: run() itself must order the accesses
    pool.run(257, [&](int64_t c) { squares[static_cast<size_t>(c)] = c * c + round; });
    for (int64_t c = 0; c < 257; ++c) ASSERT_EQ(squares[static_cast<size_t>(c)], c * c + round);
  }
}

TEST_P(ThreadPoolOf, ManySmallJobsFollowEachOther) {
  ThreadPool pool(GetParam());
  std::atomic<int64_t> sum = 0;
  int64_t expected = 0;
  for (int64_t job = 0; job < 3000; ++job) {
    const int64_t chunks = 1 + job % 5;
    pool.run(chunks, [&](int64_t c) { sum.fetch_add(job + c, std::memory_order_relaxed); });
    for (int64_t c = 0; c < chunks; ++c) expected += job + c;
    ASSERT_EQ(sum.load(), expected) << "job " << job;
  }
}

TEST_P(ThreadPoolOf, SleepingWorkersWakeUp) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than any spinning
    std::atomic<int> runs = 0;
    pool.run(16, [&](int64_t) { ++runs; });
    EXPECT_EQ(runs, 16);
  }
}

TEST_P(ThreadPoolOf, SlowChunksAreWaitedFor) {
  ThreadPool pool(GetParam());
  std::atomic<int> ended = 0;
  pool.run(4, [&](int64_t c) {
    if (c % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    ++ended;
  });
  EXPECT_EQ(ended, 4);
}

TEST_P(ThreadPoolOf, TheErrorOfTheLowestChunkWins) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ran = 0;
    std::string caught;
    try {
      pool.run(40, [&](int64_t c) {
        ++ran;
        if (c == 3 || c >= 20) {
          if (c == 3) std::this_thread::sleep_for(std::chrono::microseconds(200));  // others fail earlier in time
          throw std::runtime_error("chunk " + std::to_string(c));
        }
      });
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
    EXPECT_EQ(caught, "chunk 3");
    std::atomic<int> after = 0;
    pool.run(8, [&](int64_t) { ++after; });  // the pool is as good as new
    EXPECT_EQ(after, 8);
  }
}

TEST_P(ThreadPoolOf, NestedRunsStayOnTheirThread) {
  ThreadPool pool(GetParam());
  std::atomic<int> inner = 0, elsewhere = 0;
  pool.run(8, [&](int64_t) {
    const auto me = std::this_thread::get_id();
    pool.run(5, [&](int64_t) {
      ++inner;
      if (std::this_thread::get_id() != me) ++elsewhere;
    });
  });
  EXPECT_EQ(inner, 40);
  EXPECT_EQ(elsewhere, 0);
}

TEST_P(ThreadPoolOf, ErrorsOfNestedRunsComeOut) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(pool.run(4,
                        [&](int64_t) {
                          pool.run(4, [](int64_t c) {
                            if (c == 2) throw std::logic_error("inner");
                          });
                        }),
               std::logic_error);
}

TEST_P(ThreadPoolOf, CallersOnSeveralThreadsTakeTurns) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> sums(4, 0);
  std::vector<std::thread> callers;
  for (size_t t = 0; t < sums.size(); ++t)
    callers.emplace_back([&, t] {
      for (int64_t job = 0; job < 200; ++job) {
        std::vector<int64_t> parts(6);
        pool.run(6, [&](int64_t c) { parts[static_cast<size_t>(c)] = job * 10 + c; });
        sums[t] += std::accumulate(parts.begin(), parts.end(), int64_t{0});
      }
    });
  for (auto& caller : callers) caller.join();
  const int64_t expected = 60 * (199 * 200 / 2) + 200 * 15;
  for (const int64_t sum : sums) EXPECT_EQ(sum, expected);
}

TEST_P(ThreadPoolOf, PoolsComeAndGo) {
  for (int i = 0; i < 2000; ++i) {  // often enough to meet a worker that wakes for a job while the pool ends
    ThreadPool pool(GetParam());
    std::atomic<int> runs = 0;
    if (i % 2) pool.run(3, [&](int64_t) { ++runs; });
    EXPECT_EQ(runs, i % 2 ? 3 : 0);
  }
}

// More threads than cores on a small machine, as well as none and one worker.
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolOf, ::testing::Values(1, 2, 8));

TEST(ThreadPool, TwoPoolsDoNotMix) {
  ThreadPool a(3), b(2);
  std::atomic<int> in_a = 0, in_b = 0;
  std::thread other([&] {
    for (int i = 0; i < 200; ++i) b.run(4, [&](int64_t) { ++in_b; });
  });
  for (int i = 0; i < 200; ++i) a.run(4, [&](int64_t) { ++in_a; });
  other.join();
  EXPECT_EQ(in_a, 800);
  EXPECT_EQ(in_b, 800);
}

TEST(ThreadPool, AnErrorOfASingleChunkIsNotLost) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.run(1, [](int64_t) { throw std::runtime_error("x"); }), std::runtime_error);
}

TEST(ThreadPool, FewerThanOneThreadIsOne) {
  ThreadPool pool(-3);
  EXPECT_EQ(pool.threads(), 1);
}

TEST(ThreadPool, SetThreadsReplacesTheSharedPool) {
  set_threads(3);
  EXPECT_EQ(thread_pool().threads(), 3);
  set_threads(1);
  EXPECT_EQ(thread_pool().threads(), 1);
  set_threads(0);
  EXPECT_EQ(thread_pool().threads(), default_threads());
  EXPECT_GE(default_threads(), 1);
}

TEST(ThreadPool, DefaultThreadsHeedTheEnvironment) {
  const char* before = std::getenv("MYNAH_THREADS");
  const std::string saved = before ? before : "";
  setenv("MYNAH_THREADS", "5", 1);
  EXPECT_EQ(default_threads(), 5);
  setenv("MYNAH_THREADS", "100000", 1);
  EXPECT_THROW(default_threads(), Error);
  setenv("MYNAH_THREADS", "nonsense", 1);
  EXPECT_THROW(default_threads(), Error);
  before ? setenv("MYNAH_THREADS", saved.c_str(), 1) : unsetenv("MYNAH_THREADS");
}

TEST(ParallelFor, CoversTheRangeInFixedPieces) {
  for (const int threads : {1, 2, 8}) {
    set_threads(threads);
    for (const int64_t n : {0, 1, 9, 10, 11, 100}) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
      std::atomic<int> odd_pieces = 0;
      parallel_for(n, 10, [&](int64_t begin, int64_t end) {
        if (begin % 10 != 0 || (end != n && end - begin != 10)) ++odd_pieces;
        for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
      });
      for (const auto& h : hits) EXPECT_EQ(h.load(), 1);
      EXPECT_EQ(odd_pieces, 0);
    }
  }
  set_threads(0);
}

}  // namespace
}  // namespace mynah
