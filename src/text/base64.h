// Base64, RFC 4648.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace mynah::text {

// The bytes; nothing when a character does not belong to the alphabet. What follows '=' is not read.
std::optional<std::string> decode_base64(std::string_view text);

std::string encode_base64(std::string_view bytes);

}  // namespace mynah::text
