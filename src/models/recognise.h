// Configs of checkpoints that come without one, read off the names and shapes of their weights.
#pragma once
#include <map>
#include <string>

#include "base/json.h"
#include "mynah/tensor.h"

namespace mynah {

// A config.json for the weights of YOLOX, or of a YOLO of the shape of v5 or v8, with "image_processor" as preprocessor_config.json
// would have it; null for others. Names may have "model." before them.
Json recognised_config(const std::map<std::string, Shape>& weights);

}  // namespace mynah
