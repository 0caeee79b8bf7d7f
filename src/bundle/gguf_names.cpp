#include "bundle/gguf_names.h"

#include <cstring>

#include "base/require.h"
#include "mynah/ops.h"

namespace mynah::bundle {
namespace {

// Matches text against a pattern with at most one "{}" standing for digits; gives the digits.
std::optional<std::string> match(std::string_view pattern, std::string_view text) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return pattern == text ? std::optional<std::string>("") : std::nullopt;
  const std::string_view head = pattern.substr(0, hole), tail = pattern.substr(hole + 2);
  if (text.size() < head.size() + tail.size() + 1 || text.substr(0, head.size()) != head || text.substr(text.size() - tail.size()) != tail) return {};
  const std::string_view digits = text.substr(head.size(), text.size() - head.size() - tail.size());
  for (const char c : digits)
    if (c < '0' || c > '9') return {};
  return std::string(digits);
}

std::string fill(std::string_view pattern, const std::string& digits) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return std::string(pattern);
  return std::string(pattern.substr(0, hole)) + digits + std::string(pattern.substr(hole + 2));
}

std::optional<GgufWeight> translate(const GgufFamily& family, const std::string& name, const char* GgufRule::*from, const char* GgufRule::*to) {
  for (const char* ending : {".weight", ".bias"}) {
    const size_t length = std::strlen(ending);
    if (name.size() <= length || name.compare(name.size() - length, length, ending) != 0) continue;
    const std::string_view stem = std::string_view(name).substr(0, name.size() - length);
    for (const GgufRule& rule : family.rules)
      if (const auto digits = match(rule.*from, stem)) return GgufWeight{fill(rule.*to, *digits) + ending, rule.layout};
  }
  return {};
}

}  // namespace

std::optional<GgufWeight> to_gguf_name(const GgufFamily& family, const std::string& name) {
  return translate(family, name, &GgufRule::name, &GgufRule::gguf);
}
std::optional<GgufWeight> from_gguf_name(const GgufFamily& family, const std::string& gguf_name) {
  return translate(family, gguf_name, &GgufRule::gguf, &GgufRule::name);
}

Tensor reorder_rope_rows(const Tensor& x, int64_t heads, bool to_gguf) {
  MYNAH_CHECK(x.is_contiguous() && x.rank() >= 1);
  const int64_t rows = x.size(0);
  require(heads > 0 && rows % (2 * heads) == 0, "weights: {} rows do not divide into {} heads", rows, heads);
  const int64_t d = rows / heads, half = d / 2;
  const size_t row_bytes = x.nbytes() / static_cast<size_t>(rows);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < half; ++i)
      for (int64_t j = 0; j < 2; ++j) {
        const int64_t halves = h * d + j * half + i, pairs = h * d + 2 * i + j;
        std::memcpy(static_cast<char*>(y.raw()) + static_cast<size_t>(to_gguf ? pairs : halves) * row_bytes,
                    static_cast<const char*>(x.raw()) + static_cast<size_t>(to_gguf ? halves : pairs) * row_bytes, row_bytes);
      }
  return y;
}

Shape gguf_shape(GgufRule::Layout layout, const Shape& shape) {
  return layout == GgufRule::transposed && shape.rank() == 2 ? Shape{shape[1], shape[0]} : shape;
}

Tensor change_layout(GgufRule::Layout layout, const Tensor& x, const GgufHeads& heads, bool to_gguf) {
  switch (layout) {
    case GgufRule::transposed: return x.rank() == 2 ? contiguous(transpose(x, 0, 1)) : x;
    case GgufRule::rope_q: return reorder_rope_rows(x, heads.query, to_gguf);
    case GgufRule::rope_k: return reorder_rope_rows(x, heads.key, to_gguf);
    case GgufRule::same: break;
  }
  return x;
}

}  // namespace mynah::bundle
