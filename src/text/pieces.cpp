#include "text/pieces.h"

#include "base/require.h"

namespace mynah::text {

void Rewriter::insert(char32_t code, size_t consumed) {
  unicode::append(text_, code);
  if (old_.tracked_) fill(consumed > piece_.begin ? old_.span(consumed - 1) : Span{piece_.origin, piece_.origin});
}

void Rewriter::put_text(std::string_view text, size_t at) {
  text_.append(text);
  old_.check_growth(text_.size());
  note(at);
}

void Rewriter::insert(std::string_view text, size_t consumed) {
  text_.append(text);
  old_.check_growth(text_.size());
  if (old_.tracked_) fill(consumed > piece_.begin ? old_.span(consumed - 1) : Span{piece_.origin, piece_.origin});
}

char* Rewriter::copy(size_t begin, size_t end) {
  const size_t before = text_.size();
  text_.append(old_.text_.substr(begin, end - begin));
  if (old_.tracked_ && !old_.spans_.empty()) {
    spans_.insert(spans_.end(), old_.spans_.begin() + static_cast<ptrdiff_t>(begin),
                  old_.spans_.begin() + static_cast<ptrdiff_t>(end));
  } else if (old_.tracked_) {
    each_character(old_.text_, begin, end, [&](char32_t, size_t at, uint32_t size) {
      for (uint32_t i = 0; i < size; ++i)
        spans_.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + size)});
    });
  }
  return text_.data() + before;
}

void Pieces::reset(std::string_view input, bool tracked) {
  // A hostile normalizer may not blow a short text up without end; honest ones at most double it.
  constexpr size_t kMostGrowth = 32, kAlwaysAllowed = 1 << 16;
  check_size(input.size());
  most_ = input.size() * kMostGrowth + kAlwaysAllowed;
  text_ = input;
  tracked_ = tracked;
  spans_.clear();
  list_.assign(1, Piece{0, static_cast<uint32_t>(input.size()), -1, 0});
}

void Pieces::release() {
  constexpr size_t kMostKept = 1 << 16;
  text_ = {};
  owned_ = {};
  spans_ = {};
  list_.clear();
  if (list_.capacity() > kMostKept) list_ = {};
  if (next_.capacity() > kMostKept) next_ = {};
}

Span Pieces::character_around(size_t byte) const {
  size_t begin = byte, end = byte + 1;
  while (begin > 0 && unicode::is_continuation(text_[begin])) --begin;
  while (end < text_.size() && unicode::is_continuation(text_[end])) ++end;
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
}

void Pieces::check_size(size_t size) {
  require(size < INT32_MAX, "tokenizer: a text of {} bytes; at most 2 GB can be encoded at once", size);
}

void Pieces::check_growth(size_t size) const {
  check_size(size);
  require(size <= most_, "tokenizer: normalization makes a text larger than {} bytes; the tokenizer file is not sound",
          most_);
}

void Pieces::finish_rewrite(std::string text, std::vector<Span> spans) {
  for (size_t i = 0; i < list_.size(); ++i) {
    list_[i].begin = next_begin_[i];
    list_[i].end = i + 1 < list_.size() ? next_begin_[i + 1] : static_cast<uint32_t>(text.size());
  }
  next_begin_.clear();
  owned_ = std::move(text);
  text_ = owned_;
  spans_ = std::move(spans);
}

}  // namespace mynah::text
