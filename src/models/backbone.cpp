#include "models/backbone.h"

#include <algorithm>

#include "base/require.h"
#include "mynah/json.h"

namespace mynah {

std::vector<size_t> out_stages(const Json& config, size_t stages) {
  std::vector<size_t> out;
  if (const auto names = config.find("out_features"); names != config.end() && names->is_array()) {
    for (const Json& name : *names) {
      size_t index = name == "stem" ? 0 : stages + 1;
      for (size_t i = 1; i <= stages; ++i)
        if (name == "stage" + std::to_string(i)) index = i;
      require(index <= stages, "config.json: out_features names {}, expected \"stem\" or \"stage1\" to \"stage{}\"", name.dump(), stages);
      out.push_back(index);
    }
  } else if (const auto indices = config.find("out_indices"); indices != config.end() && indices->is_array()) {
    for (const Json& number : *indices) {
      const int64_t i = number.is_number_integer() ? number.get<int64_t>() : -1 - static_cast<int64_t>(stages) - 1;
      const int64_t index = i < 0 ? i + static_cast<int64_t>(stages) + 1 : i;
      require(index >= 0 && index <= static_cast<int64_t>(stages), "config.json: out_indices names {}, expected 0 to {}", number.dump(), stages);
      out.push_back(static_cast<size_t>(index));
    }
  }
  if (out.empty()) out.push_back(stages);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace mynah
