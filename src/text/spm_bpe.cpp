#include "text/spm_bpe.h"

#include <algorithm>
#include <cstdio>

#include "base/unicode.h"
#include "text/space_mark.h"

namespace mynah::text {
namespace {


// Whether a mark stands behind something that is not a mark.
bool has_inner_mark(std::string_view text) {
  for (size_t at = text.find(kSpaceMark, 1); at != std::string_view::npos; at = text.find(kSpaceMark, at + 1))
    if (!text.substr(0, at).ends_with(kSpaceMark)) return true;
  return false;
}

}  // namespace

// A possible merge of two neighbours; stale when their sizes no longer add up to `size`.
struct SpmBpe::Candidate {
  float score;
  int32_t left;
  uint32_t size;
  bool operator<(const Candidate& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

SpmBpe::SpmBpe(Vocabulary vocabulary, std::vector<float> scores, int32_t unk_id)
    : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)), unk_id_(unk_id) {
  char name[8];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    byte_ids_[static_cast<size_t>(byte)] = vocabulary_.find(name);
  }
  scores_.resize(vocabulary_.limit(), 0.0f);
  cuts_before_mark_ = true;
  for (size_t id = 0; id < vocabulary_.limit() && cuts_before_mark_; ++id)
    cuts_before_mark_ = !has_inner_mark(vocabulary_.text(static_cast<int32_t>(id)));
}

void SpmBpe::tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  size_t begin = 0;
  if (cuts_before_mark_)
    for (size_t at = word.find(kSpaceMark, 1); at != std::string_view::npos;
         at = word.find(kSpaceMark, at + kSpaceMark.size())) {
      if (word.substr(0, at).ends_with(kSpaceMark)) continue;
      tokenize_part(word.substr(begin, at - begin), static_cast<uint32_t>(begin), work, tokens);
      begin = at;
    }
  tokenize_part(word.substr(begin), static_cast<uint32_t>(begin), work, tokens);
}

void SpmBpe::tokenize_part(std::string_view word, uint32_t shift, Workspace& work, std::vector<Token>& tokens) const {
  if (word.empty()) return;
  if (work.cache.recall(word, shift, tokens)) return;
  const size_t first = tokens.size();
  merge(word, work.merge.list);
  for (int32_t i = 0; i >= 0; i = work.merge.list[static_cast<size_t>(i)].next) {
    const auto& symbol = work.merge.list[static_cast<size_t>(i)];
    emit(word.substr(symbol.begin, symbol.end - symbol.begin), shift + symbol.begin, tokens);
  }
  work.cache.remember(word, shift, std::span(tokens).subspan(first));
}

void SpmBpe::merge(std::string_view word, std::vector<MergeScratch::Symbol>& list) const {
  list.clear();
  uint32_t size;
  for (size_t at = 0; at < word.size(); at += size) {
    unicode::decode_valid(word.data() + at, size);
    const auto index = static_cast<int32_t>(list.size());
    list.push_back({0, static_cast<uint32_t>(at), static_cast<uint32_t>(at + size), index - 1, index + 1});
  }
  list.back().next = -1;
  const auto at = [&list](int32_t i) -> MergeScratch::Symbol& { return list[static_cast<size_t>(i)]; };
  std::vector<Candidate> heap;
  const auto candidate = [&](int32_t left) {
    if (left < 0 || at(left).next < 0) return;
    const uint32_t begin = at(left).begin, end = at(at(left).next).end;
    const int32_t id = vocabulary_.find(word.substr(begin, end - begin));
    if (id < 0) return;
    heap.push_back({scores_[static_cast<size_t>(id)], left, end - begin});
    std::push_heap(heap.begin(), heap.end());
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(list.size()); ++i) candidate(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    MergeScratch::Symbol& left = at(best.left);
    if (left.id < 0 || left.next < 0 || at(left.next).end - left.begin != best.size) continue;
    MergeScratch::Symbol& right = at(left.next);
    left.end = right.end;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.left;
    candidate(left.previous);
    candidate(best.left);
  }
}

void SpmBpe::emit(std::string_view text, uint32_t begin, std::vector<Token>& tokens) const {
  const auto size = static_cast<uint32_t>(text.size());
  if (const int32_t id = vocabulary_.find(text); id >= 0) {
    tokens.push_back({id, begin, begin + size});
    return;
  }
  const auto id_of = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (uint32_t i = 0; i < size; ++i) tokens.push_back({id_of(text[i]), begin + i, begin + i + 1});
  } else if (unk_id_ >= 0) {
    tokens.push_back({unk_id_, begin, begin + size});
  }
}

}  // namespace mynah::text
