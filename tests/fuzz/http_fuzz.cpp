// Reads the bytes as the head of a request: what is accepted means the same to every server.
#include <cstdlib>
#include <string_view>

#include "serve/dialect.h"
#include "serve/http.h"

using namespace mynah::serve;

int http_fuzz(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const HeadLimits limits;
  const size_t end = head_end(text);
  check_head_so_far(text, limits);
  const auto head = text.substr(0, end == std::string_view::npos ? size : end);
  const auto error = check_head(head, limits);
  if (!error) {
    if (head.find("\r\n\r\n") == std::string_view::npos || head.size() > limits.head_bytes) std::abort();
    for (size_t i = 0; i < head.size(); ++i)
      if ((head[i] == '\n' && (i == 0 || head[i - 1] != '\r')) || head[i] == '\0') std::abort();
  }
  if (const auto decoded = percent_decode(text, true))
    if (decoded->size() > size) std::abort();
  dialect_of(text);
  return 0;
}
