// Supervised fine-tuning of language models, as TRL's SFTTrainer does it.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "train/objective.h"
#include "train/subject.h"

namespace mynah::train {

struct SftOptions {
  int64_t max_length = 1024;
  std::string truncation_mode = "keep_start";       // or keep_end
  bool packing = false;
  std::string packing_strategy = "bfd";             // or bfd_split, wrapped
  std::optional<bool> completion_only_loss;         // absent: for rows of prompt and completion
  bool assistant_only_loss = false;
  std::string loss_type = "nll";                    // or dft
};

// Rows with text; prompt and completion; messages. Rows that a cut at max_length leaves without a target are dropped with a
// warning; a file in which no token counts is refused.
std::unique_ptr<Objective> make_sft(const Arguments& arguments, const SftOptions& options, const bundle::Bundle& b, const std::filesystem::path& train_file,
                                    const std::filesystem::path& validation_file);

}  // namespace mynah::train
