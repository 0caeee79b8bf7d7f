#include "text/encodings.h"

#include <algorithm>
#include <iterator>

#include "base/require.h"

namespace mynah::text {
namespace {

// Calls visit(vector of `e`, the same vector of each of `others`) for every vector that has one element per token.
template <class E, class F, class... Others>
void each_vector(F&& visit, E&& e, Others&&... others) {
  visit(e.ids, others.ids...);
  visit(e.tokens, others.tokens...);
  visit(e.offsets, others.offsets...);
  visit(e.type_ids, others.type_ids...);
  visit(e.word_ids, others.word_ids...);
  visit(e.sequence_ids, others.sequence_ids...);
  visit(e.special_tokens_mask, others.special_tokens_mask...);
  visit(e.attention_mask, others.attention_mask...);
}

Encoding slice(const Encoding& e, int64_t begin, int64_t end) {
  Encoding part;
  each_vector([&](auto& to, const auto& from) { to.assign(from.begin() + begin, from.begin() + end); }, part, e);
  return part;
}

int64_t size(const Encoding& e) { return static_cast<int64_t>(e.ids.size()); }

// How many tokens of each of two texts stay.
std::pair<int64_t, int64_t> longest_first(int64_t first, int64_t second, int64_t most) {
  const bool swapped = first > second;
  int64_t shorter = std::min(first, second);
  int64_t longer = shorter > most ? shorter : std::max(shorter, most - shorter);
  if (shorter + longer > most) {
    shorter = most / 2;
    longer = shorter + most % 2;
  }
  return swapped ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

}  // namespace

void append(Encoding& e, const Encoding& next) {
  each_vector([](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); }, e, next);
}

void append(Encoding& e, Encoding&& next) {
  if (e.ids.empty()) {
    e = std::move(next);
    return;
  }
  each_vector(
      [](auto& to, auto& from) {
        to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
      },
      e, next);
}

std::vector<Encoding> windows(Encoding e, int64_t most, int64_t stride, Side side, bool overflow) {
  const int64_t count = size(e);
  std::vector<Encoding> out;
  if (most >= count) {
    out.push_back(std::move(e));
    return out;
  }
  if (most == 0) {
    out.emplace_back();
    if (overflow) out.push_back(std::move(e));
    return out;
  }
  if (stride >= most)
    fail(ErrorCode::usage, "tokenizer: stride {} in windows of {} tokens; it must be smaller", stride, most);
  for (int64_t moved = 0; moved < count; moved += most - stride) {
    const int64_t begin = side == Side::right ? moved : std::max<int64_t>(count - moved - most, 0);
    const int64_t end = side == Side::right ? std::min(moved + most, count) : count - moved;
    out.push_back(slice(e, begin, end));
    if (!overflow || (side == Side::right ? end == count : begin == 0)) break;
  }
  return out;
}

std::vector<Windows> truncated(std::vector<Encoding> texts, Truncation truncation, int64_t most, int64_t stride,
                               Side side, bool overflow) {
  const bool pair = texts.size() > 1;
  const int64_t first = size(texts[0]), second = pair ? size(texts[1]) : 0, surplus = first + second - most;
  if (surplus <= 0) return {{std::move(texts), std::vector<bool>(pair ? 2 : 1)}};
  int64_t keep_first = first, keep_second = second;
  if (truncation == Truncation::longest_first) {
    std::tie(keep_first, keep_second) = pair ? longest_first(first, second, most) : std::pair(most, int64_t{0});
  } else {
    const bool cuts_first = truncation == Truncation::only_first;
    if (!cuts_first && !pair)
      fail(ErrorCode::usage, "tokenizer: truncation only_second of a single text; use only_first or longest_first");
    int64_t& keep = cuts_first ? keep_first : keep_second;
    if (keep <= surplus && most > 0)
      fail(ErrorCode::usage,
           "tokenizer: {} tokens must go, the {} text has only {}; use a larger max_length or longest_first", surplus,
           cuts_first ? "first" : "second", keep);
    keep = std::max<int64_t>(keep - surplus, 0);
  }
  if (most == 0) keep_first = keep_second = 0;
  const std::vector<Encoding> a = windows(std::move(texts[0]), keep_first, stride, side, overflow);
  std::vector<Windows> out;
  if (!pair) {
    for (size_t i = 0; i < a.size(); ++i) out.push_back({{a[i]}, {i > 0}});
    return out;
  }
  const std::vector<Encoding> b = windows(std::move(texts[1]), keep_second, stride, side, overflow);
  const auto combine = [&](size_t i, size_t j) { out.push_back({{a[i], b[j]}, {i > 0, j > 0}}); };
  combine(0, 0);
  for (size_t i = 1; i < a.size(); ++i)
    for (size_t j = 0; j < b.size(); ++j) combine(i, j);
  for (size_t j = 1; j < b.size(); ++j) combine(0, j);
  return out;
}

void pad(Encoding& e, size_t length, const PadToken& token, Side side) {
  if (e.ids.size() >= length) return;
  const size_t count = length - e.ids.size();
  const Encoding padding{std::vector<int32_t>(count, token.id),
                         std::vector<std::string>(count, token.token),
                         std::vector<std::pair<int64_t, int64_t>>(count),
                         std::vector<int32_t>(count, token.type_id),
                         std::vector<int32_t>(count, -1),
                         std::vector<int32_t>(count, -1),
                         std::vector<int32_t>(count, 1),
                         std::vector<int32_t>(count, 0)};
  each_vector(
      [&](auto& to, const auto& from) {
        to.insert(side == Side::left ? to.begin() : to.end(), from.begin(), from.end());
      },
      e, padding);
}

}  // namespace mynah::text
