#include "text/unicode_normalizer.h"

#include <algorithm>

namespace mynah::text {
namespace {

using unicode::Form;

// A character on its way through normalisation.
struct Item {
  char32_t code;
  uint8_t combining_class;
  int change;  // 1: inserted; 0: in place of one; -n: in place of 1 + n characters
};

// The reference's tables are older than ours; these characters had no compatibility decomposition then.
bool is_later_compatibility(char32_t code) {
  return code == 0x32FF || (code >= 0xA7F2 && code <= 0xA7F4) || code == 0xAB69 ||
         (code >= 0x10781 && code <= 0x107BA) || (code >= 0x1E030 && code <= 0x1E06D) || code == 0x1F16C ||
         (code >= 0x1FBF0 && code <= 0x1FBF9);
}

void decompose_range(std::string_view text, size_t begin, size_t end, bool compatibility, std::vector<Item>& items) {
  std::vector<char32_t> parts;
  each_character(text, begin, end, [&](char32_t code, size_t, uint32_t) {
    parts.clear();
    if (compatibility && is_later_compatibility(code))
      parts.push_back(code);
    else
      unicode::decompose(code, compatibility, parts);
    for (size_t i = 0; i < parts.size(); ++i)
      items.push_back({parts[i], unicode::combining_class(parts[i]), i > 0 ? 1 : 0});
  });
}

// Canonical order: runs of marks are sorted by class, stably.
void reorder(std::vector<Item>& items) {
  for (size_t i = 0; i < items.size();) {
    if (items[i].combining_class == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < items.size() && items[end].combining_class != 0) ++end;
    std::stable_sort(items.begin() + static_cast<ptrdiff_t>(i), items.begin() + static_cast<ptrdiff_t>(end),
                     [](const Item& a, const Item& b) { return a.combining_class < b.combining_class; });
    i = end;
  }
}

// Canonical composition in place. A composite replaces its parts: its change counts what it swallowed.
void recompose(std::vector<Item>& items) {
  size_t out = 0;
  ptrdiff_t starter = -1;
  int last_class = -1;  // of the character before, while nothing but marks follows the starter
  for (size_t i = 0; i < items.size(); ++i) {
    Item item = items[i];
    if (starter >= 0 && last_class < static_cast<int>(item.combining_class)) {
      Item& first = items[static_cast<size_t>(starter)];
      if (const char32_t composite = unicode::compose(first.code, item.code)) {
        first.code = composite;
        first.change += item.change - 1;
        continue;
      }
    }
    if (item.combining_class == 0) {
      starter = static_cast<ptrdiff_t>(out);
      last_class = -1;
    } else {
      last_class = item.combining_class;
    }
    items[out++] = item;
  }
  items.resize(out);
}

}  // namespace

void normalize_piece(const Pieces& pieces, const Piece& piece, Form form, Rewriter& out) {
  const std::string_view text = pieces.text();
  const bool compatibility = form == Form::nfkc || form == Form::nfkd;
  const bool composed = form == Form::nfc || form == Form::nfkc;
  std::vector<Item> items;
  uint32_t size;
  size_t at = piece.begin, copied = piece.begin, last = piece.begin;  // `last`: the beginning of the character before
  while (at < piece.end) {
    if (const size_t end = ascii_end(text, at, piece.end); end > at) {
      last = end - 1;
      at = end;
      continue;
    }
    if (unicode::is_inert(unicode::decode_valid(text.data() + at, size), form)) {
      last = at;
      at += size;
      continue;
    }
    // A stretch with work to do: from the character before, which may join, to the next inert one.
    const size_t begin = std::max(copied, last);
    size_t end = at;
    do end += size;
    while (end < piece.end && !unicode::is_inert(unicode::decode_valid(text.data() + end, size), form));
    out.copy(copied, begin);
    items.clear();
    decompose_range(text, begin, end, compatibility, items);
    reorder(items);
    if (composed) recompose(items);
    put_changes(text, items, begin, end, out);
    at = copied = last = end;
  }
  out.copy(copied, piece.end);
}

}  // namespace mynah::text
