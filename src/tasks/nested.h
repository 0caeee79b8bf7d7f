// Tensors as nested JSON arrays.
#pragma once
#include "mynah/tensor.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

// A number for a tensor without dimensions.
Json nested(const Tensor& values);

}  // namespace mynah::tasks
