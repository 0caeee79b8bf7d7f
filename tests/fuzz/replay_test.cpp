// Replays the seeds and past findings of every fuzzer: each file is one input and must be dealt with quickly.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz/fuzz_table.h"

namespace {

namespace fs = std::filesystem;

class Corpus : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(Corpus, Replay) {
  const fs::path folder = fs::path(MYNAH_TEST_DATA) / "fuzz/corpus" / GetParam().name;
  ASSERT_TRUE(fs::is_directory(folder)) << folder << " is missing: every fuzzer has seeds";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty());
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename().string());
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(GetParam().run(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  }
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, ::testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
