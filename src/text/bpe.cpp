#include "text/bpe.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "base/require.h"
#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/space_mark.h"

namespace mynah::text {
namespace {


// Appends a token that begins where the last one ended: as in the reference, characters that were left out take no
// room.
void append_symbol(std::vector<Token>& symbols, int32_t id, uint32_t size) {
  const uint32_t begin = symbols.empty() ? 0 : symbols.back().end;
  symbols.push_back({id, begin, begin + size});
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, BpeOptions options, size_t merge_count)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), merges_(merge_count) {
  char name[8];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    byte_ids_[static_cast<size_t>(byte)] = vocabulary_.find(name);
  }
  cuts_before_mark_ = vocabulary_.find(kSpaceMark) >= 0 && options_.continuing_subword_prefix.empty() &&
                      options_.end_of_word_suffix.empty() && !options_.ignore_merges;
}

bool Bpe::add_merge(std::string_view left, std::string_view right) {
  const int32_t left_id = vocabulary_.find(left), right_id = vocabulary_.find(right);
  const size_t prefix = std::min(options_.continuing_subword_prefix.size(), right.size());
  const std::string_view tail = right.substr(prefix);
  std::array<char, 256> buffer;
  int32_t id = -1;
  if (left.size() + tail.size() <= buffer.size()) {
    std::copy(tail.begin(), tail.end(), std::copy(left.begin(), left.end(), buffer.begin()));
    id = vocabulary_.find({buffer.data(), left.size() + tail.size()});
  } else {
    id = vocabulary_.find(std::string(left).append(tail));
  }
  const uint32_t rank = merge_count_++;
  if (left_id < 0 || right_id < 0 || id < 0) return false;
  merges_.insert(left_id, right_id, {rank, id});
  if (right.starts_with(kSpaceMark) && !left.ends_with(kSpaceMark)) cuts_before_mark_ = false;
  return true;
}

void Bpe::finish() {
  if (!options_.unk_token.empty() && vocabulary_.find(options_.unk_token) < 0)
    fail(ErrorCode::integrity, "tokenizer: unk_token '{}' is not in the vocabulary", shown(options_.unk_token));
}

bool Bpe::read_bytes() {
  if (!options_.continuing_subword_prefix.empty() || !options_.end_of_word_suffix.empty()) return false;
  std::array<int32_t, 256> ids;
  std::string spelling;
  for (size_t byte = 0; byte < 256; ++byte) {
    spelling.clear();
    append_byte_spelling(spelling, std::string(1, static_cast<char>(byte)));
    ids[byte] = vocabulary_.find(spelling);
    if (ids[byte] < 0) return false;
  }
  byte_ids_ = ids;
  cuts_before_mark_ = false;
  return reads_bytes_ = true;
}

void Bpe::tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  if (!cuts_before_mark_ || word.size() <= WordCache::kLongestWord) return tokenize_word(word, work, tokens);
  const size_t before = tokens.size();
  size_t begin = 0;
  uint32_t shift = 0;  // where this part's tokens begin: behind the last one, as if the word were whole
  const auto part = [&](size_t end) {
    const size_t first = tokens.size();
    tokenize_word(word.substr(begin, end - begin), work, tokens);
    for (size_t i = first; i < tokens.size(); ++i) {
      tokens[i].begin += shift;
      tokens[i].end += shift;
    }
    if (tokens.size() > before) shift = tokens.back().end;
    begin = end;
  };
  for (size_t at = word.find(kSpaceMark, 1); at != std::string_view::npos;
       at = word.find(kSpaceMark, at + kSpaceMark.size()))
    if (!word.substr(0, at).ends_with(kSpaceMark)) part(at);
  part(word.size());
}

void Bpe::tokenize_word(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  if (word.empty()) return;
  if (work.cache.recall(word, 0, tokens)) return;
  std::vector<Token>& symbols = work.merge.symbols;
  symbols.clear();
  if (const int32_t whole = options_.ignore_merges ? whole_word(word, work) : -1; whole >= 0) {
    symbols.push_back({whole, 0, static_cast<uint32_t>(word.size())});
  } else {
    constexpr size_t kShort = 64;
    first_symbols(word, work.merge);
    symbols.size() <= kShort ? merge_short(work.merge) : merge_long(work.merge);
  }
  tokens.insert(tokens.end(), symbols.begin(), symbols.end());
  work.cache.remember(word, 0, symbols);
}

int32_t Bpe::whole_word(std::string_view word, Workspace& work) const {
  if (!reads_bytes_) return vocabulary_.find(word);
  work.spelling.clear();
  append_byte_spelling(work.spelling, word);
  return vocabulary_.find(work.spelling);
}

void Bpe::first_symbols(std::string_view word, MergeScratch& scratch) const {
  std::vector<Token>& symbols = scratch.symbols;
  if (reads_bytes_) {
    symbols.resize(word.size());
    for (uint32_t i = 0; i < word.size(); ++i) symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i, i + 1};
    return;
  }
  std::optional<Token> unknown;  // not yet appended, since its neighbours may join it; begin 0, end its size
  uint32_t size;
  for (size_t at = 0; at < word.size(); at += size) {
    unicode::decode_valid(word.data() + at, size);
    add_character(word.substr(at, size), at == 0, at + size == word.size(), symbols, unknown);
  }
  if (unknown) append_symbol(symbols, unknown->id, unknown->end);
}

void Bpe::add_character(std::string_view character, bool first, bool last, std::vector<Token>& symbols,
                        std::optional<Token>& unknown) const {
  const auto size = static_cast<uint32_t>(character.size());
  std::string decorated;
  if ((!first && !options_.continuing_subword_prefix.empty()) || (last && !options_.end_of_word_suffix.empty())) {
    if (!first) decorated = options_.continuing_subword_prefix;
    decorated += character;
    if (last) decorated += options_.end_of_word_suffix;
    character = decorated;
  }
  if (const int32_t id = vocabulary_.find(character); id >= 0) {
    if (unknown) append_symbol(symbols, unknown->id, unknown->end);
    unknown.reset();
    return append_symbol(symbols, id, size);
  }
  if (options_.byte_fallback && add_fallback_bytes(character, symbols)) return;
  if (options_.unk_token.empty()) return;
  if (unknown && options_.fuse_unk) {
    unknown->end += size;
    return;
  }
  if (unknown) append_symbol(symbols, unknown->id, unknown->end);
  unknown = Token{vocabulary_.find(options_.unk_token), 0, size};
}

bool Bpe::add_fallback_bytes(std::string_view text, std::vector<Token>& symbols) const {
  const auto id_of = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(text.begin(), text.end(), [&](char c) { return id_of(c) < 0; })) return false;
  for (const char c : text) append_symbol(symbols, id_of(c), 1);
  return true;
}

// Looks for the best pair again after each merge: quadratic, and the fastest way for a word of usual length.
void Bpe::merge_short(MergeScratch& scratch) const {
  std::vector<Token>& symbols = scratch.symbols;
  std::vector<uint64_t>& ranks = scratch.ranks;  // of the pair that begins at each symbol: rank, then the merged id
  const auto pair = [&](size_t i) {
    const Merge merge = merges_.find(symbols[i].id, symbols[i + 1].id);
    return static_cast<uint64_t>(merge.rank) << 32 | static_cast<uint32_t>(merge.id);
  };
  size_t count = symbols.size();
  if (count < 2) return;
  ranks.resize(count - 1);
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = pair(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] >> 32 == MergeTable::kNone) break;
    symbols[best].id = static_cast<int32_t>(ranks[best] & UINT32_MAX);
    symbols[best].end = symbols[best + 1].end;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    ranks.erase(ranks.begin() + static_cast<ptrdiff_t>(best));
    --count;
    if (best + 1 < count) ranks[best] = pair(best);
    if (best > 0) ranks[best - 1] = pair(best - 1);
  }
}

// With a heap of candidates, rank above position: n log n for a word of any length. A candidate is stale when the pair
// at its place has another rank by now.
void Bpe::merge_long(MergeScratch& scratch) const {
  std::vector<MergeScratch::Symbol>& list = scratch.list;
  std::vector<uint64_t>& heap = scratch.heap;
  list.clear();
  heap.clear();
  const auto count = static_cast<int32_t>(scratch.symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    const Token& t = scratch.symbols[static_cast<size_t>(i)];
    list.push_back({t.id, t.begin, t.end, i - 1, i + 1 < count ? i + 1 : -1});
  }
  const auto at = [&list](int32_t i) -> MergeScratch::Symbol& { return list[static_cast<size_t>(i)]; };
  const auto find = [&](int32_t i) {
    return i < 0 || at(i).next < 0 ? Merge{MergeTable::kNone, -1} : merges_.find(at(i).id, at(at(i).next).id);
  };
  const auto candidate = [&](int32_t i, bool sift) {
    const Merge merge = find(i);
    if (merge.rank == MergeTable::kNone) return;
    heap.push_back(static_cast<uint64_t>(merge.rank) << 32 | static_cast<uint32_t>(i));
    if (sift) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (int32_t i = 0; i < count; ++i) candidate(i, false);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto i = static_cast<int32_t>(top & UINT32_MAX);
    if (at(i).id < 0) continue;  // was merged into the symbol before it
    const Merge merge = find(i);
    if (merge.rank != top >> 32) continue;
    MergeScratch::Symbol &left = at(i), &right = at(left.next);
    left.id = merge.id;
    left.end = right.end;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = i;
    candidate(left.previous, true);
    candidate(i, true);
  }
  scratch.symbols.clear();
  for (int32_t i = 0; i >= 0; i = at(i).next) scratch.symbols.push_back({at(i).id, at(i).begin, at(i).end});
}

}  // namespace mynah::text
