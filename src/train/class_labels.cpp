#include "train/class_labels.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "base/require.h"
#include "nn/head_kind.h"

namespace mynah::train {

std::optional<int64_t> as_integer(const Json& v) {
  if (v.is_number_integer()) return v.get<int64_t>();
  if (v.is_boolean()) return v.get<bool>();
  if (!v.is_string()) return std::nullopt;
  const auto& text = v.get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(number) : std::nullopt;
}

std::vector<std::string> class_names(const Json& config) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < nn::label_count(config); ++i) names.push_back(nn::label_name(config, i));
  return names;
}

int32_t class_of(const Json& label, const std::vector<std::string>& names, const std::string& where) {
  if (label.is_string())
    if (const auto it = std::find(names.begin(), names.end(), label.get<std::string>()); it != names.end()) return static_cast<int32_t>(it - names.begin());
  const auto number = as_integer(label);
  require(number && *number >= 0 && *number < static_cast<int64_t>(names.size()), "{}: label {}, expected 0..{}{}", where, label.dump(), names.size() - 1,
          names.size() <= 12 ? fmt::format(" or one of {}", fmt::join(names, ", ")) : "");
  return static_cast<int32_t>(*number);
}

}  // namespace mynah::train
