// The config of weights that come without one.
#pragma once
#include "base/json.h"
#include "formats/tensor_source.h"

namespace mynah::bundle {

// recognised_config of the names and shapes of a file's weights; null for a network that is not known by them.
Json recognised(const formats::TensorSource& source);

}  // namespace mynah::bundle
