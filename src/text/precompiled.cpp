#include "text/precompiled.h"

#include <utf8proc.h>

#include <cstring>
#include <optional>
#include <vector>

#include "base/require.h"

namespace mynah::text {
namespace {

std::string decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (c == '=') break;
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) fail(ErrorCode::integrity, "tokenizer: precompiled_charsmap is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count & 0xFF));
    }
  }
  return out;
}

struct Change {
  char32_t code;
  int change;
};

// A double-array trie (Darts) over bytes, whose values are places in a block of zero-terminated replacements.
class Precompiled : public Normalizer {
 public:
  explicit Precompiled(const std::string& table) {
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

  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces.text(), piece, out); });
  }

 private:
  // The replacement for the shortest known sequence that `text` begins with.
  std::optional<std::string_view> find(std::string_view text) const {
    size_t node = 0;
    if (units_.empty()) return std::nullopt;
    node ^= offset(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) break;
      node ^= byte;
      if (node >= units_.size() || (units_[node] & (1u << 31 | 0xFF)) != byte) return std::nullopt;
      const bool leaf = units_[node] >> 8 & 1;
      node ^= offset(units_[node]);
      if (!leaf) continue;
      if (node >= units_.size()) return std::nullopt;
      const size_t begin = units_[node] & ~(1u << 31);
      if (begin > replacements_.size()) return std::nullopt;
      const size_t end = replacements_.find('\0', begin);
      const auto found = std::string_view(replacements_).substr(begin, end == std::string::npos ? end : end - begin);
      return unicode::is_valid(found) ? std::optional(found) : std::nullopt;
    }
    return std::nullopt;
  }
  static size_t offset(uint32_t unit) { return static_cast<size_t>(unit >> 10) << ((unit & 1u << 9) >> 6); }

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

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled(std::string_view base64) {
  return make_precompiled_table(decode_base64(base64));
}

std::unique_ptr<Normalizer> make_precompiled_table(const std::string& table) {
  return std::make_unique<Precompiled>(table);
}

}  // namespace mynah::text
