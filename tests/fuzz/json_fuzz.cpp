// Parses the bytes as JSON; what is accepted must survive being written and read again.
#include <cstdlib>

#include "base/json.h"
#include "mynah/error.h"

using namespace mynah;

int json_fuzz(const uint8_t* data, size_t size) {
  Json json;
  try {
    json = parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
    return 0;
  }
  const std::string text = json.dump();
  if (parse_json(text, "fuzz").dump() != text) std::abort();
  return 0;
}
