// A text on its way through a tokenizer: its present form, cut into pieces, and for every byte of that form the range
// of the input it came from. Normalizers and some pre-tokenizers rewrite the form; most pre-tokenizers only cut.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unicode.h"

namespace mynah::text {

// Bytes [begin, end) of the input.
struct Span {
  uint32_t begin = 0, end = 0;
};

struct Piece {
  uint32_t begin = 0, end = 0;  // bytes of the present form
  int32_t id = -1;              // an added token that is done; -1: text
  uint32_t origin = 0;          // where in the input the piece begins
};

class Pieces;

// Where the run of ASCII that begins at `at` ends, at most `end`.
inline size_t ascii_end(std::string_view text, size_t at, size_t end) {
  constexpr uint64_t kHighBits = 0x8080808080808080u;
  for (uint64_t eight; at + sizeof eight <= end; at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if (eight & kHighBits) break;
  }
  while (at < end && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

// Builds the new form of one piece. Every character it puts says which byte of the old form it came from.
class Rewriter {
 public:
  // A character in place of the one at old byte `at`.
  void put(char32_t code, size_t at) {
    if (code < 0x80)
      text_.push_back(static_cast<char>(code));
    else
      unicode::append(text_, code);
    note(at);
  }
  // A character inserted after old byte `consumed` - 1; it counts as coming from there.
  void insert(char32_t code, size_t consumed);
  void insert(std::string_view text, size_t consumed);
  // Old bytes as they are. Where the copy begins: until the next call it may be changed, byte for byte.
  char* copy(size_t begin, size_t end);
  // A text in front of the piece, which counts as coming from the piece's first character.
  void put_text(std::string_view text, size_t at);

 private:
  friend class Pieces;
  Rewriter(const Pieces& old, std::string& text, std::vector<Span>& spans) : old_(old), text_(text), spans_(spans) {}
  inline void note(size_t at);
  inline void fill(Span span);

  const Pieces& old_;
  std::string& text_;
  std::vector<Span>& spans_;
  Piece piece_;  // the piece that is being rewritten
};

class Pieces {
 public:
  // `input` is valid UTF-8, shorter than 2 GB, and outlives this object. `tracked`: keep the origin of every byte.
  void reset(std::string_view input, bool tracked);

  // Forgets the text; keeps memory for the next one if it is small.
  void release();

  bool tracked() const { return tracked_; }
  std::string_view text() const { return text_; }
  std::string_view text(const Piece& piece) const { return text_.substr(piece.begin, piece.end - piece.begin); }
  const std::vector<Piece>& list() const { return list_; }

  // The input range of one byte of the present form. Untracked texts answer as if nothing had been rewritten.
  Span span(size_t byte) const { return spans_.empty() ? character_around(byte) : spans_[byte]; }
  // The input range of bytes [begin, end) of the present form; begin < end.
  Span span(size_t begin, size_t end) const { return {span(begin).begin, span(end - 1).end}; }

  // Cuts every text piece: cut(text of the piece, emit) calls emit(begin, end[, id]) with bytes of that text, in order;
  // what it leaves out is dropped.
  template <class F>
  void cut(F&& cut_piece) {
    next_.clear();
    for (const Piece& piece : list_) {
      if (piece.id >= 0) {
        next_.push_back(piece);
        continue;
      }
      const bool whole_origin = spans_.empty() || piece.begin == piece.end;
      cut_piece(text(piece), [&](size_t begin, size_t end, int32_t id = -1) {
        if (begin >= end) return;
        const auto from = static_cast<uint32_t>(piece.begin + begin);
        next_.push_back({from, static_cast<uint32_t>(piece.begin + end), id, whole_origin ? from : spans_[from].begin});
      });
    }
    list_.swap(next_);
  }

  // Rewrites every text piece: edit(piece, rewriter) puts the new form of piece.begin..piece.end.
  template <class F>
  void rewrite(F&& edit) {
    std::string text;
    text.reserve(text_.size() + text_.size() / 8 + 16);
    std::vector<Span> spans;
    if (tracked_) spans.reserve(text.capacity());
    Rewriter out(*this, text, spans);
    for (Piece& piece : list_) {
      const auto begin = static_cast<uint32_t>(text.size());
      out.piece_ = piece;
      if (piece.id >= 0)
        out.copy(piece.begin, piece.end);
      else
        edit(std::as_const(piece), out);
      check_growth(text.size());
      next_begin_.push_back(begin);
    }
    finish_rewrite(std::move(text), std::move(spans));
  }

 private:
  friend class Rewriter;
  Span character_around(size_t byte) const;
  static void check_size(size_t size);
  void check_growth(size_t size) const;
  void finish_rewrite(std::string text, std::vector<Span> spans);

  std::string_view text_;
  std::string owned_;        // holds text_ once it was rewritten
  std::vector<Span> spans_;  // one per byte of text_ once it was rewritten, if tracked
  std::vector<Piece> list_, next_;
  std::vector<uint32_t> next_begin_;
  size_t most_ = 0;  // bytes that the present form may reach
  bool tracked_ = false;
};

// The bytes that were put since the last call come from `span`.
void Rewriter::fill(Span span) {
  while (spans_.size() < text_.size()) spans_.push_back(span);
}

void Rewriter::note(size_t at) {
  if (old_.tracked()) fill(old_.span(at));
}

// Calls visit(code, at, size) for every character of bytes [begin, end) of valid UTF-8 text.
template <class F>
void each_character(std::string_view text, size_t begin, size_t end, F&& visit) {
  uint32_t size;
  for (size_t at = begin; at < end; at += size) {
    const char32_t code = unicode::decode_valid(text.data() + at, size);
    visit(code, at, size);
  }
}

// Puts what old bytes [begin, end) became: a list of {char32_t code; int change;}. Change 0 stands in place of one old
// character, 1 was inserted after what was read so far, -n stands in place of 1 + n.
template <class List>
void put_changes(std::string_view text, const List& items, size_t begin, size_t end, Rewriter& out) {
  size_t consumed = begin;
  for (const auto& item : items) {
    if (item.change > 0) {
      out.insert(item.code, consumed);
      continue;
    }
    out.put(item.code, consumed < end ? consumed : end - 1);
    for (int n = item.change; n <= 0 && consumed < end; ++n) {
      uint32_t size;
      unicode::decode_valid(text.data() + consumed, size);
      consumed += size;
    }
  }
}

}  // namespace mynah::text
