#include "text/byte_level.h"

#include "base/unicode.h"

namespace mynah::text {
namespace {

constexpr bool is_printable(int byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD); }

constexpr char32_t kFirstStandIn = 0x100;
constexpr int kStandIns = 68;  // bytes that are not printable

constexpr std::array<char32_t, 256> kCharacters = [] {
  std::array<char32_t, 256> table{};
  char32_t next = kFirstStandIn;
  for (int byte = 0; byte < 256; ++byte)
    table[static_cast<size_t>(byte)] = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
  return table;
}();

constexpr std::array<int16_t, kFirstStandIn + kStandIns> kBytes = [] {
  std::array<int16_t, kFirstStandIn + kStandIns> table{};
  for (auto& entry : table) entry = -1;
  for (int byte = 0; byte < 256; ++byte) table[kCharacters[static_cast<size_t>(byte)]] = static_cast<int16_t>(byte);
  return table;
}();

}  // namespace

const std::array<char32_t, 256>& byte_characters() { return kCharacters; }

int byte_of_character(char32_t code) { return code < kBytes.size() ? kBytes[code] : -1; }

void append_byte_spelling(std::string& out, std::string_view bytes) {
  for (const char c : bytes) unicode::append(out, kCharacters[static_cast<unsigned char>(c)]);
}

void append_spelled_bytes(std::string& out, std::string_view spelled) {
  const size_t before = out.size();
  uint32_t size;
  for (size_t i = 0; i < spelled.size(); i += size) {
    const int byte = byte_of_character(unicode::decode_valid(spelled.data() + i, size));
    if (byte < 0) {
      out.resize(before);
      out.append(spelled);
      return;
    }
    out.push_back(static_cast<char>(byte));
  }
}

}  // namespace mynah::text
