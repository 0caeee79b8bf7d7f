#include "text/added_tokens.h"

#include <algorithm>

#include "base/unicode.h"

namespace mynah::text {
namespace {

bool word_before(std::string_view text, size_t at) {
  uint32_t size;
  return at > 0 && unicode::is_word(unicode::decode_valid(text.data() + unicode::previous(text, at), size));
}

bool word_behind(std::string_view text, size_t at) {
  uint32_t size;
  return at < text.size() && unicode::is_word(unicode::decode_valid(text.data() + at, size));
}

size_t spaces_begin(std::string_view text, size_t end, size_t least) {
  uint32_t size;
  while (end > least) {
    const size_t at = unicode::previous(text, end);
    if (!unicode::is_space(unicode::decode_valid(text.data() + at, size))) break;
    end = at;
  }
  return std::max(end, least);
}

size_t spaces_end(std::string_view text, size_t at) {
  uint32_t size;
  while (at < text.size() && unicode::is_space(unicode::decode_valid(text.data() + at, size))) at += size;
  return at;
}

}  // namespace

void TextSet::finish() {
  tree_ = PrefixTree({texts_.begin(), texts_.end()});
  if (texts_.empty() || texts_[0].first.empty()) return;
  const char first = texts_[0].first[0];
  if (std::all_of(texts_.begin(), texts_.end(), [first](const auto& t) { return t.first.starts_with(first); }))
    only_first_byte_ = first;
}

bool TextSet::find(std::string_view text, size_t from, Found& found) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!only_first_byte_.empty()) {
      at = text.find(only_first_byte_[0], at);
      if (at == std::string_view::npos) return false;
    } else if (!tree_.begins_with(text[at])) {
      continue;
    }
    found.end = 0;
    tree_.each(text, at, [&](size_t end, int64_t value) { found = {at, end, static_cast<size_t>(value)}; });
    if (found.end > 0) return true;
  }
  return false;
}

void AddedTokens::add(AddedToken token, const Vocabulary& vocabulary) {
  if (token.content.empty()) return;
  const auto known = by_content_.find(token.content);
  if (known != by_content_.end()) {
    AddedToken& first = tokens_[known->second];
    token.id = first.id;
    token.normalized = first.normalized && (first.special || token.normalized);
    first = std::move(token);
    return;
  }
  token.id = vocabulary.find(token.content);
  // A new token takes the next free id, whatever the file says: so does the reference.
  if (token.id < 0) token.id = std::max(limit_, static_cast<int32_t>(vocabulary.count()));
  limit_ = std::max(limit_, token.id + 1);
  by_content_.emplace(token.content, tokens_.size());
  by_id_[token.id] = tokens_.size();
  tokens_.push_back(std::move(token));
}

void AddedTokens::finish(const Normalizer* normalizer) {
  for (const bool special : {true, false})  // of equal contents after normalization, special tokens win
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special) continue;
      if (!token.normalized)
        plain_.add(token.content, i);
      else
        normalized_.add(normalizer ? normalizer->normalized(token.content) : token.content, i);
    }
  plain_.finish();
  normalized_.finish();
}

template <class Emit>
void AddedTokens::cut_text(std::string_view text, const TextSet& set, bool parse_special, Emit&& emit) const {
  size_t done = 0, from = 0, spaces_to = 0;  // spaces_to: how far white space was followed, so as not to do it again
  TextSet::Found found;
  while (set.find(text, from, found)) {
    from = found.end;
    const AddedToken& token = tokens_[found.value];
    if (token.special && !parse_special) continue;
    if (token.single_word && (word_before(text, found.begin) || word_behind(text, found.end))) continue;
    if (token.lstrip) found.begin = std::max(spaces_begin(text, found.begin, std::min(done, found.begin)), done);
    if (token.rstrip) spaces_to = found.end = found.end < spaces_to ? spaces_to : spaces_end(text, found.end);
    emit(done, found.begin, -1);
    emit(found.begin, found.end, token.id);
    done = found.end;
  }
  emit(done, text.size(), -1);
}

void AddedTokens::cut(Pieces& pieces, bool normalized, bool parse_special) const {
  const TextSet& set = normalized ? normalized_ : plain_;
  if (set.empty()) return;
  pieces.cut([&](std::string_view text, auto&& emit) { cut_text(text, set, parse_special, emit); });
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &tokens_[at->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto at = by_content_.find(std::string(content));
  return at == by_content_.end() ? nullptr : &tokens_[at->second];
}

}  // namespace mynah::text
