// The loop that every objective runs in: learning rate, clipping, the optimiser, logs, evaluation, checkpoints and resumption.
#pragma once
#include <filesystem>
#include <functional>

#include "mynah/train.h"
#include "train/arguments.h"
#include "train/objective.h"

namespace mynah::train {

// What is trained.
struct Trained {
  NamedParameters parameters;
  // Writes it as users and checkpoints keep it (a model folder or an adapter folder) ...
  std::function<void(const std::filesystem::path& folder)> save;
  // ... and takes the weights back from such a folder.
  std::function<void(const std::filesystem::path& folder)> restore;
  // What it answers to arguments.sample_prompts, each {"prompt", "text"}; empty for what writes no text.
  std::function<Json(const Arguments& arguments)> sample = {};
};

// Trains, and leaves the result in arguments.output_dir. Throws interrupted when should_stop asked for it (a checkpoint has then
// been written), failure when a loss or gradient is not finite, naming step, rows and parameter, and what files throw.
void run(const Arguments& arguments, const Trained& trained, Objective& objective);

// Whether transformers' Trainer would let weight decay act on a parameter: not on biases and norms.
bool weight_decays(const std::string& name, const Tensor& parameter);

}  // namespace mynah::train
