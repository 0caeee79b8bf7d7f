// Which type each tensor of a model gets when a file is quantised "as q4_k_m": the mixtures of llama.cpp
// (llama-quant.cpp), so that files have the sizes and the quality people know. Names and shapes are those of GGUF.
#pragma once
#include <span>
#include <string_view>

#include "mynah/tensor.h"

namespace mynah {

// What the mixtures depend on.
struct RecipeModel {
  std::string_view architecture;  // general.architecture: "llama", "gpt2", "falcon" ...
  int layers = 0;
  int heads_per_kv = 1;    // query heads that share one key and value head
  int experts = 0;         // 0 for models without
  bool tied_head = false;  // the file has no output.weight
};

// "q4_0", ..., "q4_k_m", ..., "f16", "bf16", "f32", in order of file size within each kind.
std::span<const std::string_view> recipe_names();
// The full name of a recipe ("q4_k" is "q4_k_m", any case); throws usage, naming the choices, if there is none.
std::string_view find_recipe(std::string_view name);
// GGUF's general.file_type for a recipe.
int recipe_file_type(std::string_view recipe);

// The type for one tensor, fallbacks for its row length included. `shape` is [rows, K] (experts [n, rows, K]); `stored`
// is the tensor's type in the source, kept for vectors, norms, routers, position embeddings and whatever is no weight.
// Throws usage for an unknown recipe.
DType recipe_type(std::string_view recipe, std::string_view tensor_name, const Shape& shape, DType stored,
                  const RecipeModel& model);

}  // namespace mynah
