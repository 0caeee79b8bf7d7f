// Names and codes of the languages that speech models tell apart.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace mynah {

// "en" of "english" or "en"; the name itself if it is neither. Lower case.
std::string language_code(std::string_view name_or_code);
// "english" of "en"; empty for a code that is not known.
std::string_view language_name(std::string_view code);

// All codes, in the order in which Whisper numbers them.
std::span<const std::string_view> language_codes();

}  // namespace mynah
