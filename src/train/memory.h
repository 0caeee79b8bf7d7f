// Whether a run fits into memory, said before its first step.
#pragma once
#include "mynah/train.h"

namespace mynah::train {

// Throws does_not_fit, with the numbers, when weights, gradients and optimiser state exceed the machine's memory.
void check_memory(const NamedParameters& parameters, const NamedParameters& optimizer_state);

}  // namespace mynah::train
