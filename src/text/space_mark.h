// SentencePiece's spelling of a space.
#pragma once

#include <string_view>

namespace mynah::text {

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

}  // namespace mynah::text
