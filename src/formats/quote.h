// Names from files in messages: in quotes, control bytes made visible, bytes that are no UTF-8 replaced, long ones cut, so that a message stays one line.
#pragma once
#include <string>
#include <string_view>

namespace mynah::formats {
std::string quote(std::string_view text, size_t limit = 120);
}
