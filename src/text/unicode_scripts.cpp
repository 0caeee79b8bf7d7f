#include "text/unicode_scripts.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace mynah::text {
namespace {

struct Range {
  uint32_t begin;
  int16_t script;
};
constexpr Range kRanges[] = {
#include "text/unicode_scripts.inc"
};

}  // namespace

int unicode_script(char32_t code) {
  const Range* behind = std::upper_bound(std::begin(kRanges), std::end(kRanges), code,
                                         [](char32_t c, const Range& r) { return c < r.begin; });
  return std::prev(behind)->script;
}

}  // namespace mynah::text
