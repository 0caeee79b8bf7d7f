#include "text/precompiled.h"

#include <utf8proc.h>

#include <optional>
#include <vector>

#include "base/require.h"
#include "text/base64.h"
#include "text/charsmap.h"

namespace mynah::text {
namespace {

struct Change {
  char32_t code;
  int change;
};

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(std::string_view table) : map_(table) {}

  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces.text(), piece, out); });
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
  void edit(std::string_view text, const Piece& piece, Rewriter& out) const {
    constexpr size_t kShortGrapheme = 6;
    std::vector<Change> changes;
    for (size_t at = piece.begin; at < piece.end;) {
      const size_t end = grapheme_end(text, at, piece.end);
      std::optional<std::string_view> found;
      if (end - at < kShortGrapheme) found = find(text.substr(at, end - at));
      if (found) {
        replace(text.substr(at, end - at), *found, changes);
      } else {
        each_character(text, at, end, [&](char32_t code, size_t begin, uint32_t size) {
          if (const auto part = find(text.substr(begin, size)))
            replace(text.substr(begin, size), *part, changes);
          else
            changes.push_back({code, 0});
        });
      }
      at = end;
    }
    put_changes(text, changes, piece.begin, piece.end, out);
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

  // New characters stand in place of old ones in order; surplus new ones were inserted, the last one also stands for
  // surplus old ones. (Old ones that vanish at the very beginning are not counted: the reference's offsets are so.)
  static void replace(std::string_view old, std::string_view replacement, std::vector<Change>& changes) {
    int left = static_cast<int>(unicode::count_characters(old));
    each_character(replacement, 0, replacement.size(), [&](char32_t code, size_t, uint32_t) {
      changes.push_back({code, left > 0 ? 0 : 1});
      --left;
    });
    if (left > 0 && !changes.empty()) changes.back().change -= left;
  }

  CharsMap map_;
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
