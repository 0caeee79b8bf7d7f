// Learning vectors of texts from texts that belong together, with the losses of sentence-transformers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>

#include "train/objective.h"
#include "train/subject.h"

namespace mynah::train {

// Rows {"anchor", "positive"} or {"anchor", "positive", "negative"}: each anchor must find its positive among all texts of the batch
// (multiple negatives ranking, arXiv:1705.00652; cosines times 20). Rows {"sentence1", "sentence2", "label"}: 1 brings two texts together, 0
// parts them to a margin of 0.5 (contrastive, of cosine distances); with "score" in its place their cosine becomes that number. Texts become
// vectors as the model's modules.json says (mean of tokens without one). Throws failure for rows of several kinds and for models whose
// vectors are made otherwise than by weights of tokens.
std::unique_ptr<Objective> make_sentence_pairs(const Arguments& arguments, int64_t max_length, const bundle::Bundle& b, const std::filesystem::path& train_file,
                                               const std::filesystem::path& validation_file);

}  // namespace mynah::train
