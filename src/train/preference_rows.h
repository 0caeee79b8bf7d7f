// Prompts with completions as preference losses read them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "train/lm.h"

namespace mynah::train {

// Encoded prompt and completion; tokens from `prompt` on are the completion's.
struct Completion {
  std::vector<int32_t> ids;
  int64_t prompt = 0;

  int64_t tokens() const { return static_cast<int64_t>(ids.size()) - prompt; }
};

struct Pair {
  Completion chosen, rejected;
  std::string where;
};

struct Judged {
  Completion completion;
  bool desirable;
  std::string where;
};

struct CutOptions {
  int64_t max_length = 1024;
  bool keep_end = false;
};

// Rows with chosen and rejected. Rows whose prompt alone fills max_length are left out with a warning.
std::vector<Pair> read_pairs(const bundle::Bundle& b, const std::filesystem::path& file, const CutOptions& cut);
std::vector<Judged> read_judged(const bundle::Bundle& b, const std::filesystem::path& file, const CutOptions& cut);
// Reward training: chosen and rejected whole, longer rows left out.
std::vector<Pair> read_whole_pairs(const bundle::Bundle& b, const std::filesystem::path& file, int64_t max_length, std::vector<float>* margins);

// Cuts a completion as the collator does.
Completion cut(const Completion& c, const CutOptions& options);

// Adds prompt and completion; only the completion's tokens are targets. Returns how many there are.
int64_t add_completion(const Completion& c, PackedRows* rows);

}  // namespace mynah::train
