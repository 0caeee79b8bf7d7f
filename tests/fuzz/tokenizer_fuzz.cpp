// The bytes up to the first zero are a tokenizer.json, the rest is a text that it encodes and decodes.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/unicode.h"
#include "mynah/error.h"
#include "mynah/tokenizer.h"

using namespace mynah;

namespace {

void encode_and_decode(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer->encode(text);
  const size_t count = encoding.ids.size();
  if (encoding.tokens.size() != count || encoding.offsets.size() != count || encoding.type_ids.size() != count)
    std::abort();
  if (tokenizer->encode_ids(text) != encoding.ids) std::abort();
  tokenizer->encode_pair(text, "a b", false, false);
  if (!unicode::is_valid(tokenizer->decode(encoding.ids, false, true))) std::abort();
  StreamDecoder stream(tokenizer, false);
  for (const int32_t id : encoding.ids)
    if (!unicode::is_valid(stream.push(id))) std::abort();
  if (!unicode::is_valid(stream.flush())) std::abort();
}

}  // namespace

int tokenizer_fuzz(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\0'), size);
  try {
    encode_and_decode(Tokenizer::from_json(bytes.substr(0, end)), bytes.substr(std::min(end + 1, size)));
  } catch (const Error& e) {
    if (e.code() != ErrorCode::integrity && e.code() != ErrorCode::failure) std::abort();
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
