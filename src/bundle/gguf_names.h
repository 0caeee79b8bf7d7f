// The two-way map between a family's weight names and layouts and those of its GGUF files.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "models/model_entry.h"
#include "mynah/tensor.h"

namespace mynah::bundle {

struct GgufWeight {
  std::string name;          // of a stacked tensor's parts: with a "{}" for their number
  GgufRule::Layout layout;
  int64_t part = -1;         // the part that a checkpoint's weight is of a stacked tensor
};

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight"; none for a name the family does not know.
std::optional<GgufWeight> to_gguf_name(std::span<const GgufRule> rules, const std::string& name);
// The reverse.
std::optional<GgufWeight> from_gguf_name(std::span<const GgufRule> rules, const std::string& gguf_name);
// The name of one part.
std::string part_name(const std::string& name, int64_t part);

// Heads of a model, from its GGUF metadata.
struct GgufHeads {
  int64_t query = 0, key = 0;
};
GgufHeads gguf_heads(const Json& metadata);

// A weight between the two layouts, of any dtype but where numbers change (plus_one).
Shape gguf_shape(GgufRule::Layout layout, const Shape& shape);  // swaps the dimensions of a transposed matrix; its own inverse
Tensor change_layout(GgufRule::Layout layout, const Tensor& x, const GgufHeads& heads, bool to_gguf);
// Part i of a contiguous stacked tensor [N, ...] of any dtype, and the reverse.
Tensor part_of(const Tensor& stacked, int64_t part);
Tensor stack(const std::vector<Tensor>& parts);

}  // namespace mynah::bundle
