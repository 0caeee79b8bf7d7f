// The two-way map between a family's weight names and layouts and those of its GGUF files.
#pragma once
#include <optional>
#include <string>

#include "models/model_entry.h"
#include "mynah/tensor.h"

namespace mynah::bundle {

struct GgufWeight {
  std::string name;
  GgufRule::Layout layout;
};

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight"; none for a name the family does not know.
std::optional<GgufWeight> to_gguf_name(const GgufFamily& family, const std::string& name);
// The reverse.
std::optional<GgufWeight> from_gguf_name(const GgufFamily& family, const std::string& gguf_name);

// Reorders rows between the checkpoint's rotate-half order and GGUF's paired order, for a matrix [heads * D, K] of any dtype or a
// bias [heads * D]. `to_gguf` says the direction.
Tensor reorder_rope_rows(const Tensor& x, int64_t heads, bool to_gguf);

// A weight between the two layouts, of a model with these numbers of heads.
struct GgufHeads {
  int64_t query = 0, key = 0;
};
Shape gguf_shape(GgufRule::Layout layout, const Shape& shape);  // swaps the dimensions of a transposed matrix; its own inverse
Tensor change_layout(GgufRule::Layout layout, const Tensor& x, const GgufHeads& heads, bool to_gguf);

}  // namespace mynah::bundle
