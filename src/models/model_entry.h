// How a family makes itself known: every .cpp of this folder defines `extern const ModelEntry model_<family>{...}` and CMake
// collects them.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "nn/model.h"
#include "nn/weights.h"

namespace mynah {

// A weight's name in GGUF files. "{}" stands for the layer number in both names.
struct GgufRule {
  enum Layout { same, rope_q, rope_k, transposed };
  const char* name;           // the checkpoint's name, without ".weight" or ".bias"
  const char* gguf;           // GGUF's; empty: it has no place there and is left out
  Layout layout = same;       // rope_q, rope_k: rows of each head are paired for interleaved rotation; transposed: [out, in] there
};

struct GgufFamily {
  const char* architecture = nullptr;                   // general.architecture; null: the family has no GGUF form
  Json (*config)(const Json& metadata) = nullptr;       // scalar metadata -> config.json
  Json (*metadata)(const Json& config) = nullptr;       // the reverse, for writing; null: such files are only read
  std::span<const GgufRule> rules;
};

struct ModelEntry {
  const char* model_type;                               // config.json's model_type
  std::vector<std::string_view> architectures;          // values of architectures[0]; the first is the default
  std::unique_ptr<nn::Model> (*make)(const Json& config, const nn::Weights& weights);
  const char* base_prefix;                              // a prefix that names may lack or have ("transformer.", "model.")
  std::vector<std::string_view> ignored;                // suffixes of buffers that files may hold and the model does not read
  GgufFamily gguf;
};

std::span<const ModelEntry* const> models_entries();

}  // namespace mynah
