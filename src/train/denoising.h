// Pretraining by repair of damaged text: masked tokens (BERT, arXiv:1810.04805), spans (T5, arXiv:1910.10683), sentences in disorder with
// spans left out (BART, arXiv:1910.13461).
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "bundle/bundle.h"
#include "train/objective.h"
#include "train/pretrain.h"
#include "train/text_corpus.h"

namespace mynah::train {

// For options.objective "mlm", "span" or "denoising". Throws usage when the network or the tokenizer cannot do it.
std::unique_ptr<Objective> make_denoising(const PretrainOptions& options, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block);

// The id of a named token. Throws usage, naming token and objective, when the tokenizer has none.
int32_t needed(std::optional<int32_t> id, const char* what, const char* objective);

// The tokens of a T5 input row such that after corruption `inputs` tokens remain; and the length of its targets.
struct SpanLengths {
  int64_t tokens, targets;
};
SpanLengths span_lengths(int64_t inputs, double density, double mean_span);

}  // namespace mynah::train
