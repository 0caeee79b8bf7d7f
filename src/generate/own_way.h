// generate() of families that go their own way (nn/decoding.h).
#pragma once
#include <vector>

#include "bundle/bundle.h"
#include "mynah/generate.h"
#include "nn/decoding.h"

namespace mynah::generation {

// config.num_return_sequences results for each row of in.media.
std::vector<Transcript> run_decoding(const bundle::Bundle& b, const nn::Decoding& decoding, const GenerateInputs& in, const GenerationConfig& config);

}  // namespace mynah::generation
