#include "serve/page.h"

#include <charconv>

#include "base/require.h"
#include "store/digest.h"
#include "text/base64.h"

namespace mynah::serve {
namespace {

// 'sha256-...' of what stands between <TAG> and </TAG>, as browsers compare it.
std::string source_of(std::string_view html, std::string_view tag) {
  const std::string opening = fmt::format("<{}>", tag), closing = fmt::format("</{}>", tag);
  const size_t begin = html.find(opening) + opening.size(), end = html.find(closing);
  require(begin < end && end < html.size(), "page: no <{}>", tag);
  const std::string hex = store::digest_of_text(html.substr(begin, end - begin)).hex();
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    unsigned char byte = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return "'sha256-" + text::encode_base64(bytes) + "'";
}

}  // namespace

std::string page_policy(std::string_view html) {
  return fmt::format(
      "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
      source_of(html, "script"), source_of(html, "style"));
}

Answer page_answer() {
  static const std::string policy = page_policy(page_html());
  return {200,
          "text/html; charset=utf-8",
          std::string(page_html()),
          {{"Content-Security-Policy", policy},
           {"Cache-Control", "no-cache"},
           {"Vary", "Accept"},
           {"X-Content-Type-Options", "nosniff"},
           {"Referrer-Policy", "no-referrer"},
           {"Cross-Origin-Opener-Policy", "same-origin"},
           {"X-Frame-Options", "DENY"}}};
}

}  // namespace mynah::serve
