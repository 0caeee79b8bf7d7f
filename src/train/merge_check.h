// Whether a merged model is its base with its adapter.
#pragma once
#include <filesystem>
#include <optional>

namespace mynah::train {

// The largest difference between logits of the base with the adapter and of the merged folder, both in f32 (the base's matrices as NF4 with `load_in_4bit`), on 32 tokens that do not depend
// on a tokenizer. Nothing for models that write no text, and where the adapter brings weights that were trained whole.
std::optional<double> largest_logit_difference(const std::filesystem::path& adapter, const std::filesystem::path& base, const std::filesystem::path& merged,
                                               bool load_in_4bit = false);

}  // namespace mynah::train
