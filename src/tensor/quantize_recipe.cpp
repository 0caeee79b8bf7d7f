#include "tensor/quantize_recipe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "base/require.h"
#include "tensor/quantize.h"

namespace mynah {
namespace {

struct Recipe {
  std::string_view name;
  DType base;
  int file_type;
};
constexpr std::array<Recipe, 18> kRecipes = {{{"q2_k", DType::q2_k, 10},
                                              {"q3_k_s", DType::q3_k, 11},
                                              {"q3_k_m", DType::q3_k, 12},
                                              {"q3_k_l", DType::q3_k, 13},
                                              {"q4_0", DType::q4_0, 2},
                                              {"iq4_nl", DType::iq4_nl, 25},
                                              {"q4_k_s", DType::q4_k, 14},
                                              {"q4_k_m", DType::q4_k, 15},
                                              {"q4_1", DType::q4_1, 3},
                                              {"q5_0", DType::q5_0, 8},
                                              {"q5_k_s", DType::q5_k, 16},
                                              {"q5_k_m", DType::q5_k, 17},
                                              {"q5_1", DType::q5_1, 9},
                                              {"q6_k", DType::q6_k, 18},
                                              {"q8_0", DType::q8_0, 7},
                                              {"f16", DType::f16, 1},
                                              {"bf16", DType::bf16, 32},
                                              {"f32", DType::f32, 0}}};

constexpr auto kNames = [] {
  std::array<std::string_view, kRecipes.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kRecipes[i].name;
  return names;
}();

const Recipe& recipe_of(std::string_view name) {
  const std::string_view full = find_recipe(name);
  return *std::find_if(kRecipes.begin(), kRecipes.end(), [&](const Recipe& r) { return r.name == full; });
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The layer in "blk.12.attn_v.weight"; 0 for tensors of no layer.
int layer_of(std::string_view tensor) {
  int layer = 0;
  if (tensor.starts_with("blk.")) std::from_chars(tensor.data() + 4, tensor.data() + tensor.size(), layer);
  return layer;
}

// Matrices (and stacks of them) named *.weight, but for those that are small and decide much.
bool may_change(std::string_view tensor, const Shape& shape) {
  int rank = shape.rank();
  for (int i = 0; i < shape.rank() && shape[i] == 1; ++i) --rank;  // leading ones do not count
  if (rank < 2 || !tensor.ends_with("weight")) return false;
  static constexpr std::array<std::string_view, 5> kKept = {"_norm.weight", "ffn_gate_inp.weight", "attn_rel_b.weight",
                                                            ".position_embd", ".patch_embd"};
  if (tensor == "position_embd.weight" || tensor == "token_types.weight") return false;
  return std::none_of(kKept.begin(), kKept.end(), [&](std::string_view part) { return contains(tensor, part); });
}

// Layers whose errors cost most: the first and last eighth and every third between.
bool is_sensitive(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

DType head_type(DType base, bool falcon, int64_t k) {
  if (falcon || k % static_cast<int64_t>(block_elements(base)) != 0) return DType::q8_0;
  return base == DType::q8_0 ? base : DType::q6_k;
}

// Values, alone or joined with queries and keys.
DType value_type(const Recipe& r, int layer, const RecipeModel& m) {
  DType type = r.base;
  if (r.name == "q2_k") type = m.heads_per_kv >= 4 ? DType::q4_k : DType::q3_k;
  if (r.name == "q3_k_m") type = layer < 2 ? DType::q5_k : DType::q4_k;
  if (r.name == "q3_k_l") type = DType::q5_k;
  if (r.name == "iq4_nl" && m.heads_per_kv >= 4) type = DType::q5_k;
  if ((r.name == "q4_k_m" || r.name == "q5_k_m") && is_sensitive(layer, m.layers)) type = DType::q6_k;
  if (r.name == "q4_k_s" && layer < 4) type = DType::q5_k;
  const bool is_70b = m.architecture == "llama" && m.layers == 80 && m.heads_per_kv > 1;  // values are small there
  if (is_70b && (type == DType::q3_k || type == DType::q4_k)) type = DType::q5_k;
  return m.experts == 8 ? DType::q8_0 : type;
}

DType down_type(const Recipe& r, int layer, const RecipeModel& m, bool falcon) {
  const bool early = layer < m.layers / 8, very_early = layer < m.layers / 16,
             sensitive = is_sensitive(layer, m.layers);
  if (r.name == "q2_k") return DType::q3_k;
  if (r.name == "q3_k_m") return very_early ? DType::q5_k : !falcon || sensitive ? DType::q4_k : DType::q3_k;
  if (r.name == "q3_k_l") return falcon ? DType::q4_k : DType::q5_k;
  if (r.name == "q4_k_m" && falcon) return very_early ? DType::q6_k : sensitive ? DType::q5_k : DType::q4_k;
  if ((r.name == "q4_k_m" || r.name == "q5_k_m") && sensitive) return DType::q6_k;
  if (early && (r.name == "iq4_nl" || (r.name == "q4_k_s" && !falcon))) return DType::q5_k;
  return r.base;
}

DType attention_output_type(const Recipe& r, const RecipeModel& m, bool falcon) {
  if (falcon) return r.name == "q3_k_l" ? DType::q4_k : r.base;
  if (m.experts == 8) {
    const bool small = r.base == DType::q2_k || r.base == DType::q4_k || r.base == DType::iq4_nl ||
                       (r.base == DType::q3_k && r.name != "q3_k_l");
    return small ? DType::q5_k : r.base;
  }
  if (r.name == "q2_k") return DType::q3_k;
  if (r.name == "q3_k_m") return DType::q4_k;
  return r.name == "q3_k_l" ? DType::q5_k : r.base;
}

DType mixed_type(const Recipe& r, std::string_view tensor, int64_t k, const RecipeModel& m) {
  const bool falcon = m.architecture == "falcon";
  const int layer = layer_of(tensor);
  const bool embedding = tensor == "token_embd.weight" || tensor == "per_layer_token_embd.weight";
  if (tensor == "output.weight" || (m.tied_head && embedding)) return head_type(r.base, falcon, k);
  if (embedding) return r.base;
  if (contains(tensor, "attn_qkv.weight") || contains(tensor, "attn_kv_b.weight") || contains(tensor, "attn_v.weight"))
    return value_type(r, layer, m);
  if (contains(tensor, "attn_k.weight") && m.experts == 8) return DType::q8_0;
  if (contains(tensor, "ffn_down")) return down_type(r, layer, m, falcon);
  if (contains(tensor, "attn_output.weight")) return attention_output_type(r, m, falcon);
  return r.base;
}

}  // namespace

std::span<const std::string_view> recipe_names() { return kNames; }

std::string_view find_recipe(std::string_view name) {
  std::string lower(name);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (lower == "q3_k" || lower == "q4_k" || lower == "q5_k") lower += "_m";
  const auto found = std::find(kNames.begin(), kNames.end(), lower);
  if (found == kNames.end()) {
    std::string choices;
    for (const std::string_view n : kNames) choices += (choices.empty() ? "" : ", ") + std::string(n);
    fail(ErrorCode::usage, "quantize: there is no type '{}'; choose one of {}", name, choices);
  }
  return *found;
}

int recipe_file_type(std::string_view recipe) { return recipe_of(recipe).file_type; }

DType recipe_type(std::string_view recipe, std::string_view tensor, const Shape& shape, DType stored,
                  const RecipeModel& model) {
  const Recipe& r = recipe_of(recipe);
  if (!may_change(tensor, shape)) return stored;
  if (!is_quantized(r.base)) return r.base;
  const int64_t k = shape[shape.rank() - 1];
  return fallback_type(mixed_type(r, tensor, k, model), k);
}

}  // namespace mynah
