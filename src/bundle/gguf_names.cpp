#include "bundle/gguf_names.h"

#include <cstring>

#include "base/require.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

// Matches text against a pattern whose "{}" stand for digits; gives the digits.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view text) {
  std::vector<std::string> found;
  for (;;) {
    const size_t hole = std::min(pattern.find("{}"), pattern.size());
    if (text.substr(0, hole) != pattern.substr(0, hole)) return {};
    text.remove_prefix(hole);
    if (hole == pattern.size()) return text.empty() ? std::optional(found) : std::nullopt;
    pattern.remove_prefix(hole + 2);
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > 9) return {};
    found.emplace_back(text.substr(0, digits));
    text.remove_prefix(digits);
  }
}

// Fills the first holes; later ones stay.
std::string fill(std::string_view pattern, const std::vector<std::string>& digits) {
  std::string out(pattern);
  for (const std::string& d : digits)
    if (const size_t hole = out.find("{}"); hole != std::string::npos) out.replace(hole, 2, d);
  return out;
}

std::optional<GgufWeight> translate(std::span<const GgufRule> rules, const std::string& name, const char* GgufRule::*from, const char* GgufRule::*to) {
  for (const std::string ending : {".weight", ".bias", ""}) {
    if (!name.ends_with(ending)) continue;
    const std::string stem = name.substr(0, name.size() - ending.size());
    for (const GgufRule& rule : rules) {
      if (rule.bare != ending.empty()) continue;
      const auto digits = match(rule.*from, stem);
      if (!digits) continue;
      GgufWeight weight{fill(rule.*to, *digits) + ending, rule.layout};
      if (rule.layout == GgufRule::stacked && digits->size() == 2) weight.part = std::stoll(digits->back());
      return weight;
    }
  }
  return {};
}

// Moves rows of x [rows, ...] of any dtype: row i of the result is row from(i).
template <class From>
Tensor move_rows(const Tensor& x, const From& from) {
  MYNAH_CHECK(x.is_contiguous() && x.rank() >= 1);
  const int64_t rows = x.size(0);
  const size_t row_bytes = x.nbytes() / static_cast<size_t>(rows);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(static_cast<char*>(y.raw()) + static_cast<size_t>(i) * row_bytes, static_cast<const char*>(x.raw()) + static_cast<size_t>(from(i)) * row_bytes, row_bytes);
  return y;
}

// Between halves of a head that turn together and neighbours that do: place (half, i) of a head is place 2 i + half there.
Tensor reorder_rope_rows(const Tensor& x, int64_t heads, bool to_gguf) {
  const int64_t rows = x.size(0);
  require(heads > 0 && rows % (2 * heads) == 0, "weights: {} rows do not divide into {} heads", rows, heads);
  const int64_t d = rows / heads, half = d / 2;
  return move_rows(x, [=](int64_t i) {
    const int64_t first = i / d * d, at = i % d;
    return to_gguf ? first + at % 2 * half + at / 2 : first + at % half * 2 + at / half;
  });
}

// Between groups of queries, their key and their value, and all queries, all keys, all values.
Tensor regroup_rows(const Tensor& x, const GgufHeads& heads, bool to_gguf) {
  const int64_t rows = x.size(0), all = heads.query + 2 * heads.key;
  require(heads.key > 0 && heads.query % heads.key == 0 && rows % all == 0, "weights: {} rows do not divide into {} and {} heads", rows, heads.query, heads.key);
  const int64_t d = rows / all, group = heads.query / heads.key;
  const auto to_group = [=](int64_t head) {  // of queries, keys, values in order -> in groups
    if (head < heads.query) return head / group * (group + 2) + head % group;
    const int64_t k = (head - heads.query) % heads.key;
    return k * (group + 2) + group + (head - heads.query) / heads.key;
  };
  std::vector<int64_t> back(static_cast<size_t>(all));
  for (int64_t head = 0; head < all; ++head) back[static_cast<size_t>(to_group(head))] = head;
  return move_rows(x, [&](int64_t i) { return (to_gguf ? to_group(i / d) : back[static_cast<size_t>(i / d)]) * d + i % d; });
}

}  // namespace

std::optional<GgufWeight> to_gguf_name(std::span<const GgufRule> rules, const std::string& name) {
  return translate(rules, name, &GgufRule::name, &GgufRule::gguf);
}
std::optional<GgufWeight> from_gguf_name(std::span<const GgufRule> rules, const std::string& gguf_name) {
  return translate(rules, gguf_name, &GgufRule::gguf, &GgufRule::name);
}
std::string part_name(const std::string& name, int64_t part) { return fill(name, {std::to_string(part)}); }

GgufHeads gguf_heads(const Json& m) {
  const int64_t heads = nn::config_int(m, "attention.head_count", 1, 0);
  return {heads, nn::config_int(m, "attention.head_count_kv", heads, 0)};
}

Shape gguf_shape(GgufRule::Layout layout, const Shape& shape) {
  return layout == GgufRule::transposed && shape.rank() == 2 ? Shape{shape[1], shape[0]} : shape;
}

Tensor change_layout(GgufRule::Layout layout, const Tensor& x, const GgufHeads& heads, bool to_gguf) {
  switch (layout) {
    case GgufRule::transposed: return x.rank() == 2 ? contiguous(transpose(x, 0, 1)) : x;
    case GgufRule::rope_q: return reorder_rope_rows(x, heads.query, to_gguf);
    case GgufRule::rope_k: return reorder_rope_rows(x, heads.key, to_gguf);
    case GgufRule::grouped: return regroup_rows(x, heads, to_gguf);
    case GgufRule::plus_one: return add(to(x, DType::f32), to_gguf ? 1.0f : -1.0f);
    case GgufRule::stacked:
    case GgufRule::same: break;
  }
  return x;
}

Tensor part_of(const Tensor& stacked, int64_t part) {
  const Shape& all = stacked.shape();
  require(all.rank() >= 2 && part < all[0], "weights: part {} of a tensor {}", part, all.str());
  const Shape shape(std::vector<int64_t>(all.dims().begin() + 1, all.dims().end()));
  const auto owner = std::make_shared<Tensor>(stacked);
  const size_t bytes = stacked.nbytes() / static_cast<size_t>(all[0]);
  return Tensor::borrow(static_cast<const char*>(stacked.raw()) + static_cast<size_t>(part) * bytes, shape, stacked.dtype(), owner);
}

Tensor stack(const std::vector<Tensor>& parts) {
  std::vector<int64_t> dims(parts[0].shape().dims().begin(), parts[0].shape().dims().end());
  dims.insert(dims.begin(), static_cast<int64_t>(parts.size()));
  Tensor all = Tensor::empty(Shape(dims), parts[0].dtype());
  for (size_t i = 0; i < parts.size(); ++i) {
    require(parts[i].shape() == parts[0].shape() && parts[i].dtype() == parts[0].dtype(), "weights: parts of one stack are {} and {}", parts[0].shape().str(),
            parts[i].shape().str());
    const Tensor part = contiguous(parts[i]);
    std::memcpy(static_cast<char*>(all.raw()) + i * part.nbytes(), part.raw(), part.nbytes());
  }
  return all;
}

}  // namespace mynah::bundle
