#include "text/precompiled.h"

#include <utf8proc.h>

#include <array>
#include <optional>
#include <vector>

#include "base/require.h"
#include "text/base64.h"
#include "text/charsmap.h"

namespace mynah::text {
namespace {

// What the text becomes, with what each character stands for (put_changes()).
class Changes {
 public:
  void keep(std::string_view text, size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) put(static_cast<unsigned char>(text[at]));
  }
  void put(char32_t code) { list_.push_back({code, 0}); }
  // New characters stand in place of old ones in order; surplus new ones were inserted, the last one also stands for
  // surplus old ones. (Old ones that vanish at the very beginning are not counted: the reference's offsets are so.)
  void replace(std::string_view old, std::string_view replacement) {
    int left = static_cast<int>(unicode::count_characters(old));
    each_character(replacement, 0, replacement.size(), [&](char32_t code, size_t, uint32_t) {
      list_.push_back({code, left > 0 ? 0 : 1});
      --left;
    });
    if (left > 0 && !list_.empty()) list_.back().change -= left;
  }
  struct Change {
    char32_t code;
    int change;
  };
  const std::vector<Change>& list() const { return list_; }

 private:
  std::vector<Change> list_;
};

// The same for a text whose origins nobody asks for.
struct PlainText {
  Rewriter& out;
  void keep(std::string_view, size_t begin, size_t end) { out.copy(begin, end); }
  void put(char32_t code) { out.put(code, 0); }
  void replace(std::string_view, std::string_view replacement) { out.insert(replacement, 0); }
};

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(std::string_view table) : map_(table) {
    for (size_t byte = 0; byte < keeps_.size(); ++byte) keeps_[byte] = !find(std::string(1, static_cast<char>(byte)));
  }

  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) {
      if (!pieces.tracked()) return replace_all(pieces.text(), piece, PlainText{out});
      Changes changes;
      replace_all(pieces.text(), piece, changes);
      put_changes(pieces.text(), changes.list(), piece.begin, piece.end, out);
    });
  }

 private:
  // The replacement for the shortest known sequence that `text` begins with.
  std::optional<std::string_view> find(std::string_view text) const {
    std::optional<std::string_view> found;
    map_.each(text, [&](size_t, std::string_view replacement) {
      found = replacement;
      return false;
    });
    return found && unicode::is_valid(*found) ? found : std::nullopt;
  }

  // Replaces grapheme by grapheme; a long one, or one without replacement, character by character.
  template <class Result>
  void replace_all(std::string_view text, const Piece& piece, Result&& result) const {
    constexpr size_t kShortGrapheme = 6;
    for (size_t at = piece.begin; at < piece.end;) {
      if (const size_t kept = kept_end(text, at, piece.end); kept > at) {
        result.keep(text, at, kept);
        at = kept;
        continue;
      }
      const size_t end = grapheme_end(text, at, piece.end);
      std::optional<std::string_view> found;
      if (end - at < kShortGrapheme) found = find(text.substr(at, end - at));
      if (found) {
        result.replace(text.substr(at, end - at), *found);
      } else {
        each_character(text, at, end, [&](char32_t code, size_t begin, uint32_t size) {
          if (const auto part = find(text.substr(begin, size)))
            result.replace(text.substr(begin, size), *part);
          else
            result.put(code);
        });
      }
      at = end;
    }
  }

  // Where the run of ASCII ends whose characters stay as they are and are graphemes of their own.
  size_t kept_end(std::string_view text, size_t at, size_t end) const {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    while (at < end && byte(at) < keeps_.size() && keeps_[byte(at)] &&
           (at + 1 == end || (byte(at + 1) < keeps_.size() && !(text[at] == '\r' && text[at + 1] == '\n'))))
      ++at;
    return at;
  }

  static size_t grapheme_end(std::string_view text, size_t at, size_t end) {
    uint32_t size;
    utf8proc_int32_t state = 0;
    auto before = static_cast<utf8proc_int32_t>(unicode::decode_valid(text.data() + at, size));
    for (at += size; at < end; at += size) {
      const auto code = static_cast<utf8proc_int32_t>(unicode::decode_valid(text.data() + at, size));
      // Marks newer than the library's tables extend what they follow, too.
      const bool newer_mark = utf8proc_category(code) == UTF8PROC_CATEGORY_CN && before >= ' ' &&
                              unicode::is_mark(static_cast<char32_t>(code));
      if (utf8proc_grapheme_break_stateful(before, code, &state) && !newer_mark) break;
      before = code;
    }
    return at;
  }

  CharsMap map_;
  std::array<bool, 128> keeps_;  // ASCII that is not replaced when it stands alone
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled(std::string_view base64) {
  const auto table = decode_base64(base64);
  if (!table) fail(ErrorCode::integrity, "tokenizer: precompiled_charsmap is not base64");
  return make_precompiled_table(*table);
}

std::unique_ptr<Normalizer> make_precompiled_table(std::string_view table) {
  if (table.empty()) fail(ErrorCode::integrity, "tokenizer: precompiled_charsmap is truncated");
  return std::make_unique<Precompiled>(table);
}

}  // namespace mynah::text
