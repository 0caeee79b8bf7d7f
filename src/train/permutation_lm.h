// Pretraining by prediction in a random order of the tokens, as XLNet does (arXiv:1906.08237).
#pragma once
#include <memory>

#include "bundle/bundle.h"
#include "train/objective.h"
#include "train/pretrain.h"
#include "train/text_corpus.h"

namespace mynah::train {

// Throws usage when the network has no second stream of queries.
std::unique_ptr<Objective> make_permutation_lm(const PretrainOptions& options, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block);

}  // namespace mynah::train
