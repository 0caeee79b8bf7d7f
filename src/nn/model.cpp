#include "nn/model.h"

#include "kernels/isa.h"

namespace mynah::nn {

void Model::follow(DType matrices) {
  if (matrices == DType::f32) return;
  // bf16 pays where it is multiplied; elsewhere f16 keeps more digits in the same space and is computed with in f32.
  const bool pairs = matrices == DType::bf16 && kernels::has_bf16_pairs(kernels::active_isa());
  attention_type_ = pairs ? DType::bf16 : DType::f32;
  cache_type_ = pairs ? DType::bf16 : DType::f16;
}

}  // namespace mynah::nn
