// Pretraining by repair of damaged text: masked tokens (BERT, arXiv:1810.04805) and spans (T5, arXiv:1910.10683).
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "bundle/bundle.h"
#include "train/objective.h"
#include "train/pretrain.h"
#include "train/text_corpus.h"

namespace mynah::train {

// For options.objective "mlm" or "span". Throws usage when the network or the tokenizer cannot do it.
std::unique_ptr<Objective> make_denoising(const PretrainOptions& options, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block);

// Which tokens of a row are noise: spans of mean length 3 that cover 15 %, as T5 draws them. `draw` numbers the row.
std::vector<uint8_t> noise_spans(int64_t length, double density, double mean_span, uint64_t seed, uint64_t draw);
// The tokens of a T5 input row such that after corruption `inputs` tokens remain; and the length of its targets.
struct SpanLengths {
  int64_t tokens, targets;
};
SpanLengths span_lengths(int64_t inputs, double density, double mean_span);

}  // namespace mynah::train
