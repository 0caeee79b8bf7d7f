// What a run will take, said before its first step.
#pragma once
#include <cstdint>
#include <string>

#include "mynah/train.h"

namespace mynah::train {

// How many bytes of weights can be trained at most here: with their gradients and what --optim keeps they fit into the machine's memory.
// 0: the memory is not known.
size_t most_weight_bytes(const std::string& optim = "sgd");

struct RunSize {
  int64_t steps = 0;
  int64_t tokens = 0;  // of a step that stand in memory at once, times `parts`
  int64_t parts = 1;   // micro-batches of a step, one after the other
  bool bf16 = false, recomputes = false;
};

// Throws does_not_fit, with the numbers, when weights, gradients and optimiser state exceed the machine's memory. Otherwise one line for
// people: the weights, the memory and, for a long run, the time that it is likely to take (both rough: of the network it knows the sizes of
// the matrices alone). Empty for a short run, unless `always`.
std::string plan(const NamedParameters& parameters, const NamedParameters& optimizer_state, const RunSize& size, bool always);

}  // namespace mynah::train
