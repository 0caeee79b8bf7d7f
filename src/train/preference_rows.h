// Prompts with completions as preference losses read them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "train/lm.h"
#include "train/row_file.h"

namespace mynah::train {

// Encoded prompt and completion; tokens from `prompt` on are the completion's.
struct Completion {
  std::vector<int32_t> ids;
  int64_t prompt = 0;

  int64_t tokens() const { return static_cast<int64_t>(ids.size()) - prompt; }

  template <class Parts>
  void each_part(Parts& part) {
    part(ids);
    part(prompt);
  }
};

struct Pair {
  Completion chosen, rejected;
  std::string where;
  float margin = 0;  // by which the chosen one is to be better, where the rows say so

  template <class Parts>
  void each_part(Parts& part) {
    part(chosen);
    part(rejected);
    part(where);
    part(margin);
  }
};

struct Judged {
  Completion completion;
  bool desirable;
  std::string where;

  template <class Parts>
  void each_part(Parts& part) {
    part(completion);
    part(desirable);
    part(where);
  }
};

struct CutOptions {
  int64_t max_length = 1024;
  bool keep_end = false;
};

// Rows with chosen and rejected. Rows whose prompt alone fills max_length are left out with a warning.
RowFile<Pair> read_pairs(const Arguments& arguments, const bundle::Bundle& b, const std::filesystem::path& file, const CutOptions& cut);
RowFile<Judged> read_judged(const Arguments& arguments, const bundle::Bundle& b, const std::filesystem::path& file, const CutOptions& cut);
// Reward training: chosen and rejected whole, longer rows left out. note(kMargins) is how many rows have a margin: all or none.
inline constexpr size_t kMargins = 1;
RowFile<Pair> read_whole_pairs(const Arguments& arguments, const bundle::Bundle& b, const std::filesystem::path& file, int64_t max_length);

// Cuts a completion as the collator does.
Completion cut(const Completion& c, const CutOptions& options);

// Adds prompt and completion; only the completion's tokens are targets. Returns how many there are.
int64_t add_completion(const Completion& c, PackedRows* rows);

}  // namespace mynah::train
