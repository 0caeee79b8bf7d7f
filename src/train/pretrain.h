// Pretraining: a network made from a config alone, trained on text.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "train/arguments.h"

namespace mynah::train {

struct PretrainOptions {
  Arguments arguments;
  std::filesystem::path config, tokenizer;
  std::vector<std::filesystem::path> train_files;
  std::filesystem::path validation_file;  // empty: validation_fraction
  double validation_fraction = 0;
  std::string objective = "clm";  // clm, mlm, span
  int64_t block_size = 0;         // tokens of a row; 0: the model's context, at most 1024
  double mlm_probability = 0.15;
  bool whole_word = false;
};

void pretrain(const PretrainOptions& options);

}  // namespace mynah::train
