// What networks say of the part that another network looks through: which of its stages it gives.
#pragma once
#include <cstddef>
#include <vector>

#include "base/json.h"

namespace mynah {

// Indices of the stages "stem", "stage1" ... that out_features or out_indices of a backbone's config name, in order; the last one
// without them. `stages`: how many there are behind the stem. Throws failure for a stage that is not there.
std::vector<size_t> out_stages(const Json& config, size_t stages);

}  // namespace mynah
