// Checkpoints of a run: OUT/checkpoint-N, a model folder with optimizer.safetensors, trainer_state.json and, last,
// manifest.json with the digest of every file. A checkpoint appears under its name whole or not at all.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "mynah/train.h"

namespace mynah::train {

struct CheckpointContent {
  std::function<void(const std::filesystem::path& folder)> save_model;
  NamedParameters tensors;  // what lies in optimizer.safetensors
  Json state;               // trainer_state.json; "global_step" names the folder
};

// Writes OUT/checkpoint-<global_step>, replacing one of that name. Throws does_not_fit when the disk is full; then nothing is
// left of the attempt and earlier checkpoints stand.
void write_checkpoint(const std::filesystem::path& output_dir, const CheckpointContent& content);

// Removes the oldest of `run` beyond `limit` (0: none), never `keep`; and what killed attempts left.
void prune_checkpoints(const std::filesystem::path& output_dir, int64_t limit, const std::filesystem::path& keep, const std::string& run);
void remove_leftovers(const std::filesystem::path& output_dir);

// Throws integrity unless every file of the folder is as the manifest says; not_found for a folder without one.
void verify_checkpoint(const std::filesystem::path& folder);

// The complete checkpoint with the largest step whose state names `run` (empty: any); damaged ones are passed over with a warning.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& output_dir, const std::string& run);

// Names of the checkpoints that are of other runs than `run`, the oldest first.
std::vector<std::string> checkpoints_of_others(const std::filesystem::path& output_dir, const std::string& run);

Json read_state(const std::filesystem::path& folder);
// Copies tensors of a safetensors file of the folder into `tensors` by name. Throws integrity when one is missing or has another shape.
void read_tensors(const std::filesystem::path& file, const NamedParameters& tensors);

}  // namespace mynah::train
