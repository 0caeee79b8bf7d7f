// How a family makes itself known: every .cpp of this folder defines `extern const ModelEntry model_<family>{...}` and CMake
// collects them.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "nn/model.h"
#include "nn/weights.h"

namespace mynah {

// A weight's name in GGUF files. "{}" stands for the layer number in both names.
struct GgufRule {
  // rope_q, rope_k: rows of each head are paired for interleaved rotation; transposed: [out, in] there; plus_one: the factor 1 + weight
  // is stored; grouped: rows [K, H/K + 2, D] lie as all queries, all keys, all values there; stacked: a second "{}" in `name` numbers the
  // parts of one tensor.
  enum Layout { same, rope_q, rope_k, transposed, plus_one, grouped, stacked };
  const char* name;           // the checkpoint's name, without ".weight" or ".bias"
  const char* gguf;           // GGUF's; empty: it has no place there and is left out
  Layout layout = same;
  bool bare = false;          // neither name ends in ".weight" or ".bias"
};

using NamedLists = std::vector<std::pair<std::string, std::vector<float>>>;

struct GgufFamily {
  const char* architecture = nullptr;                   // general.architecture; null: the family has no GGUF form
  // Scalar metadata -> config.json. "tensors" holds the shape of every tensor, of lists that begin with "rope_" their numbers.
  Json (*config)(const Json& metadata) = nullptr;
  Json (*metadata)(const Json& config) = nullptr;       // the reverse, for writing; null: such files are only read
  std::span<const GgufRule> (*rules)(const Json& config) = nullptr;
  bool tied = false;                                    // the output matrix is the embedding where config.json says nothing about it
  NamedLists (*lists)(const Json& config) = nullptr;    // tensors that GGUF files have and checkpoints do not; null: none
};

// `rules` of a family that has one table.
template <const auto& table>
std::span<const GgufRule> always(const Json&) {
  return table;
}

// What a family asks of those who make its inputs of texts.
struct TextTraits {
  bool positions_from_zero = false;  // it has max_position_embeddings tokens; others begin behind the padding, or have no table
  bool beside_tables = false;        // each text comes with the cells of a table
};

struct ModelEntry {
  const char* model_type;                               // config.json's model_type
  std::vector<std::string_view> architectures;          // values of architectures[0]; the first is the default
  std::unique_ptr<nn::Model> (*make)(const Json& config, const nn::Weights& weights);
  const char* base_prefix;                              // a prefix that names may lack or have ("transformer.", "model.")
  std::vector<std::string_view> ignored;                // endings ("NAME*": beginnings) of what files may hold and models do not read
  GgufFamily gguf;
  // Beginnings of names, as the model asks for them, and what other files say instead.
  std::vector<std::pair<std::string_view, std::string_view>> renames = {};
  // Changes the settings that generation starts from, where the family has its own; null: it has not.
  void (*generation)(const Json& config, Json* settings) = nullptr;
  TextTraits text = {};
};

std::span<const ModelEntry* const> models_entries();

}  // namespace mynah
