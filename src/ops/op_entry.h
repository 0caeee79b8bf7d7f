// An op's entry: what tests, the benchmark and the documentation know of it. Every .cpp of this folder may define
//   extern const OpEntry op_<name>{...};
// and CMake collects them. From the samples alone come the finite-difference gradient check, the dtype and strided-view checks,
// the every-instruction-set check, the thread-count check, a benchmark row and a documentation row.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mynah/ops.h"

namespace mynah {

struct OpSample {
  std::string name;                                                  // what this sample varies
  std::vector<Tensor> inputs;                                        // f32 inputs are checked for gradients
  std::function<Tensor(const std::vector<Tensor>&)> call;
  int differentiable = -1;                                           // how many leading inputs; -1: all
  bool small = true;                                                 // small ones are tested, the others are benchmark shapes
  double operations = 0;                                             // floating-point operations, for the benchmark row
};

struct OpEntry {
  const char* name;
  const char* signature;                                             // shapes in one line, for the documentation
  const char* source;                                                // paper or definition
  std::vector<OpSample> (*samples)();
};

std::span<const OpEntry* const> ops_entries();

// A reproducible f32 tensor for samples: normal values; `stream` tells tensors of one sample apart.
Tensor sample_tensor(const Shape& shape, int stream = 0, float mean = 0, float std = 1);

}  // namespace mynah
