#include "text/charsmap.h"

#include <cstring>

#include "base/require.h"

namespace mynah::text {

CharsMap::CharsMap(std::string_view table) {
  if (table.empty()) return;
  uint32_t trie_bytes = 0;
  if (table.size() < 4) fail(ErrorCode::integrity, "tokenizer: precompiled_charsmap is truncated");
  std::memcpy(&trie_bytes, table.data(), 4);
  if (trie_bytes % 4 != 0 || trie_bytes > table.size() - 4)
    fail(ErrorCode::integrity, "tokenizer: precompiled_charsmap has a trie of {} bytes in {}", trie_bytes,
         table.size());
  units_.resize(trie_bytes / 4);
  if (trie_bytes > 0) std::memcpy(units_.data(), table.data() + 4, trie_bytes);
  replacements_ = table.substr(4 + trie_bytes);
}

}  // namespace mynah::text
