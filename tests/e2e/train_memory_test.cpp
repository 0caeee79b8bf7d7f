// Training reads its rows from token files: memory does not grow with the rows of a file, whatever kind they are.
#include <fstream>

#include "program.h"

namespace mynah::e2e {
namespace {

const fs::path kGoldenFiles = fs::path(MYNAH_TEST_DATA) / "golden";

class TrainingMemory : public Sandbox {
 protected:
  // Peak of one step on a file with `n` rows, line by line the same.
  int64_t peak_mb(std::vector<std::string> words, const std::string& row, int n) const {
    const fs::path rows = file(std::to_string(n) + ".jsonl");
    std::ofstream out(rows);
    for (int i = 0; i < n; ++i) out << row << "\n";
    out.close();
    words.insert(words.end(), {"--train-file", rows.string(), "--max-steps", "1", "--output-dir", file("out" + std::to_string(n)).string()});
    const Result result = run(words);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.peak_mb;
  }
  void expect_flat(const std::vector<std::string>& words, const std::string& row) const {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "what sanitizers keep grows with what was allocated";
#endif
    // Objects for the rows in memory would take 50 MB and more.
    const int64_t few = peak_mb(words, row, 1000), many = peak_mb(words, row, 100000);
    EXPECT_LT(many, few + 15);
  }
};

TEST_F(TrainingMemory, PromptsToCompleteStayInTheirFile) {
  expect_flat({"align", "grpo", (kGoldenFiles / "train/models/llama").string(), "--reward", "length:20", "--num-generations", "2", "--per-device-train-batch-size", "2",
               "--max-completion-length", "4"},
              R"({"prompt": "sun slow bird a no big", "completion": " bird big bird runs on", "source": "written by nobody"})");
}

TEST_F(TrainingMemory, RowsOfPicturesStayInTheirFile) {
  const fs::path picture = kGoldenFiles / "train/data/pictures/circle/0.png";
  expect_flat({"finetune", (kGoldenFiles / "tasks/clip").string(), "--task", "contrastive", "--per-device-train-batch-size", "2"},
              Json({{"image", picture.string()}, {"text", "bird happy"}}).dump());
}

}  // namespace
}  // namespace mynah::e2e
