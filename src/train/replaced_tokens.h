// Pretraining as ELECTRA does (arXiv:2003.10555): a small masked language model, the generator, fills masked places, and the network that is
// made, the discriminator, says of every token whether it was replaced. Both learn at once and have their embeddings in common.
#pragma once
#include <memory>

#include "bundle/bundle.h"
#include "train/objective.h"
#include "train/pretrain.h"
#include "train/text_corpus.h"
#include "train/trainer.h"

namespace mynah::train {

// The generator's config where none is given: the discriminator's with a quarter of its width, heads and inner width.
Json generator_config(const Json& discriminator);

struct ReplacedTokens {
  std::unique_ptr<Objective> objective;
  Trained trained;  // the discriminator, and in the folder `generator` the generator
};

// Both bundles must outlive the result. Throws usage when the networks or the tokenizer cannot do it.
ReplacedTokens make_replaced_tokens(const PretrainOptions& options, bundle::Bundle& discriminator, bundle::Bundle& generator, Corpus train, Corpus held_out,
                                    int64_t block);

}  // namespace mynah::train
