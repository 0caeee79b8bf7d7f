// Pretraining: a network made from a config alone, or a checkpoint to go on with, trained on text.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "train/arguments.h"

namespace mynah::train {

struct PretrainOptions {
  Arguments arguments;
  std::filesystem::path config, tokenizer;
  std::filesystem::path model;  // go on with this checkpoint instead of making a network from `config`
  std::vector<std::filesystem::path> train_files;
  std::filesystem::path validation_file;  // empty: validation_fraction
  double validation_fraction = 0;
  std::string objective = "clm";  // clm, mlm, span, denoising, rtd, plm
  int64_t block_size = 0;         // tokens of a row; 0: the model's context, at most 1024
  double mlm_probability = 0.15;  // mlm, rtd
  bool whole_word = false;        // mlm
  double mask_ratio = 0.3, poisson_lambda = 3;  // denoising: share of tokens in spans, mean length of a span
  bool permute_sentences = true;                // denoising
  double plm_probability = 1.0 / 6;             // plm: share of tokens to predict
  int64_t max_span_length = 5;                  // plm
  std::filesystem::path generator_config, generator;  // rtd: a config or a checkpoint; with neither made by generator_config()
  double discriminator_weight = 50;                   // rtd: of its loss beside the generator's
};

void pretrain(const PretrainOptions& options);

}  // namespace mynah::train
