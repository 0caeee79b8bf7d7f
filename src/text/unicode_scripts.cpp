#include "text/unicode_scripts.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace mynah::text {
namespace {

struct ScriptRange {
  uint32_t begin;
  int16_t script;
};
constexpr ScriptRange kRanges[] = {
#include "text/unicode_scripts.inc"
};

}  // namespace

int unicode_script(char32_t code) {
  const ScriptRange* behind = std::upper_bound(std::begin(kRanges), std::end(kRanges), code,
                                         [](char32_t c, const ScriptRange& r) { return c < r.begin; });
  return std::prev(behind)->script;
}

}  // namespace mynah::text
