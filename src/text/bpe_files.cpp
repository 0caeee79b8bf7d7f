#include "text/bpe_files.h"

#include <algorithm>

#include "base/require.h"
#include "text/json_cursor.h"
#include "text/json_fields.h"

namespace mynah::text {

Vocabulary read_vocabulary(std::string_view source, std::string_view where, TextArena& arena) {
  // About 12 bytes of source make an entry; a wrong guess costs a rehash.
  constexpr size_t kBytesPerEntry = 14;
  Vocabulary vocabulary(source.size() / kBytesPerEntry);
  JsonCursor cursor(source, where);
  cursor.each_member(arena, [&](std::string_view token) { vocabulary.insert(token, cursor.integer()); });
  return vocabulary;
}

std::pair<std::string_view, std::string_view> split_merge(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
    fail(ErrorCode::integrity, "tokenizer: the merge '{}' is not two tokens", shown(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

MergeList read_merge_lines(std::string_view text, bool versioned) {
  MergeList list;
  for (size_t at = versioned ? std::min(text.find('\n'), text.size()) : 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version:")) list.push_back(split_merge(line));
    at = end + 1;
  }
  return list;
}

std::unique_ptr<Model> make_bpe(Vocabulary vocabulary, const MergeList& merges, BpeOptions options) {
  auto bpe = std::make_unique<Bpe>(std::move(vocabulary), std::move(options), merges.size());
  for (const auto& [left, right] : merges)
    if (!bpe->add_merge(left, right))
      fail(ErrorCode::integrity, "tokenizer: the merge '{} {}' needs a token that is not in the vocabulary",
           shown(left), shown(right));
  bpe->finish();
  return bpe;
}

}  // namespace mynah::text
