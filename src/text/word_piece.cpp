#include "text/word_piece.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"
#include "text/json_fields.h"

namespace mynah::text {

WordPiece::WordPiece(Vocabulary vocabulary, WordPieceOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), unk_id_(vocabulary_.find(options_.unk_token)) {
  if (unk_id_ < 0)
    fail(ErrorCode::integrity, "tokenizer: unk_token '{}' is not in the vocabulary", shown(options_.unk_token));
  for (size_t id = 0; id < vocabulary_.limit(); ++id)
    longest_ = std::max(longest_, vocabulary_.text(static_cast<int32_t>(id)).size());
}

void WordPiece::tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  if (work.cache.recall(word, 0, tokens)) return;
  const size_t before = tokens.size();
  if (!cut(word, work.spelling, tokens)) {
    tokens.resize(before);
    tokens.push_back({unk_id_, 0, static_cast<uint32_t>(word.size())});
  }
  work.cache.remember(word, 0, std::span(tokens).subspan(before));
}

bool WordPiece::cut(std::string_view word, std::string& candidate, std::vector<Token>& tokens) const {
  if (unicode::count_characters(word) > options_.max_word_characters) return false;
  for (size_t begin = 0; begin < word.size();) {
    const std::string& prefix = begin == 0 ? options_.first_prefix : options_.continuing_prefix;
    candidate.assign(prefix).append(word.substr(begin, longest_));
    // A cut in the middle of a character matches no token, since tokens are valid UTF-8.
    int32_t id = vocabulary_.find(candidate);
    while (id < 0 && candidate.size() > prefix.size()) {
      candidate.pop_back();
      id = candidate.size() > prefix.size() ? vocabulary_.find(candidate) : -1;
    }
    if (id < 0) return false;
    const size_t size = candidate.size() - prefix.size();
    tokens.push_back({id, static_cast<uint32_t>(begin), static_cast<uint32_t>(begin + size)});
    begin += size;
  }
  return true;
}

WordLevel::WordLevel(Vocabulary vocabulary, std::string_view unk_token)
    : vocabulary_(std::move(vocabulary)), unk_id_(vocabulary_.find(unk_token)) {}

void WordLevel::tokenize(std::string_view word, Workspace&, std::vector<Token>& tokens) const {
  int32_t id = vocabulary_.find(word);
  if (id < 0) id = unk_id_;
  require(id >= 0, "tokenizer: the word '{}' is not in the vocabulary, which has no unknown token", shown(word));
  tokens.push_back({id, 0, static_cast<uint32_t>(word.size())});
}

}  // namespace mynah::text
