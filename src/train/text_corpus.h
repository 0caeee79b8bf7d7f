// Text as tokens for pretraining: documents of the training files, one after another.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::train {

struct Corpus {
  std::vector<int32_t> tokens;
  std::vector<int64_t> ends;   // where each document ends in `tokens`
  int64_t bytes = 0;           // of text; special tokens that stand in it have none

  // The documents from token `begin` on are cut off and given back; a document that begins before it is divided.
  Corpus split_off(int64_t begin);
};

// A file of plain text (.txt or any unknown ending) is one document; rows of .jsonl and .csv files are one each. With
// `end_token` >= 0 it follows each document of a file of rows.
Corpus read_corpus(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer, int32_t end_token);

}  // namespace mynah::train
