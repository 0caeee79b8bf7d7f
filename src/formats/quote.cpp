#include "formats/quote.h"

#include <fmt/core.h>

#include "base/unicode.h"

namespace mynah::formats {

std::string quote(std::string_view text, size_t limit) {
  std::string out = "'";
  for (const char c : unicode::to_valid(text.substr(0, limit))) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(u));
    else
      out += c;
  }
  return out + (text.size() > limit ? "...'" : "'");
}

}  // namespace mynah::formats
