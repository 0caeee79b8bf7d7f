#include "store/selection.h"

#include <algorithm>
#include <array>
#include <regex>
#include <set>

#include "base/require.h"
#include "store/names.h"

namespace mynah::store {
namespace {

bool ends(const std::string& name, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](const char* e) { return name.ends_with(e); });
}

// Folders of sentence-transformers modules: 1_Pooling, 2_Dense.
bool is_module_folder(const std::string& folder) {
  return folder.size() > 2 && folder[0] >= '0' && folder[0] <= '9' && folder[1] == '_';
}

bool is_weights(const std::string& name) {
  return ends(name, {".safetensors",
                     ".bin",
                     ".gguf",
                     ".h5",
                     ".msgpack",
                     ".onnx",
                     ".pt",
                     ".pth",
                     ".ckpt",
                     ".ot",
                     ".tflite",
                     ".npz",
                     ".pkl",
                     ".mlmodel",
                     ".pb",
                     ".onnx_data",
                     ".safetensors.index.json",
                     ".bin.index.json",
                     ".msgpack.index.json",
                     ".h5.index.json"});
}

// Configuration, tokenizer and licence files.
bool is_companion(const std::string& path) {
  const auto slash = path.find('/');
  if (slash != std::string::npos && !is_module_folder(path.substr(0, slash))) return false;
  const std::string name = lower(slash == std::string::npos ? path : path.substr(slash + 1));
  if (is_weights(name) || name.find('/') != std::string::npos || name.starts_with(".")) return false;
  if (ends(name, {"results.json", "trainer_state.json", "training_args.json"}) ||
      name.find("requirements") != std::string::npos)
    return false;
  return ends(name, {".json", ".txt", ".model", ".jinja", ".spm", ".tiktoken", ".vocab", ".bpe"}) ||
         name == "license" || name == "vocab";
}

// The shard of a set (model-00001-of-00003.safetensors) or the whole file, without an infix that names a variant
// (model.fp16.safetensors).
bool is_plain_weight(const std::string& name, const char* stem, const char* ending) {
  static const std::regex shard("-[0-9]{5}-of-[0-9]{5}");
  if (!name.starts_with(stem) || !name.ends_with(ending)) return false;
  const std::string middle = name.substr(std::string_view(stem).size(),
                                         name.size() - std::string_view(stem).size() - std::string_view(ending).size());
  return middle.empty() || std::regex_match(middle, shard);
}

using Names = std::vector<std::string>;

// Weights of one format: the whole file if it is there, else the shards and their index, else any file of the format at
// the top.
Names weights_of(const Names& names, const char* stem, const char* ending) {
  const std::string whole = std::string(stem) + ending;
  Names out;
  if (std::find(names.begin(), names.end(), whole) != names.end()) return {whole};
  for (const auto& name : names)
    if (is_plain_weight(name, stem, ending) || name == whole + ".index.json") out.push_back(name);
  if (!out.empty()) return out;
  static const std::set<std::string> kNotModels{"training_args.bin", "optimizer.bin", "scheduler.bin", "rng_state.bin"};
  for (const auto& name : names)
    if (name.ends_with(ending) && name.find('/') == std::string::npos && !kNotModels.count(name) &&
        !name.starts_with("adapter_model"))
      out.push_back(name);
  return out;
}

// "model-q4_k_m-00001-of-00002.gguf" -> "model-q4_k_m": shards of one file have one key.
std::string gguf_key(const std::string& name) {
  static const std::regex shard("-[0-9]{5}-of-[0-9]{5}$");
  return std::regex_replace(name.substr(0, name.size() - 5), shard, "");
}

// Whether the quantisation stands in the name as a word of its own, so that Q4_K does not match Q4_K_M.
bool names_quantisation(const std::string& key, const std::string& quantisation) {
  const std::string name = lower(key), wanted = lower(quantisation);
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  for (size_t at = name.find(wanted); at != std::string::npos; at = name.find(wanted, at + 1)) {
    const size_t after = at + wanted.size();
    if ((at == 0 || !is_word(name[at - 1])) && (after == name.size() || !is_word(name[after]))) return true;
  }
  return name == wanted;
}

Names choose_gguf(const Names& names, const std::string& quantisation) {
  std::vector<std::string> keys;
  for (const auto& name : names) {
    if (!lower(name).ends_with(".gguf") || lower(name).find("mmproj") != std::string::npos) continue;
    const auto key = gguf_key(name);
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  if (keys.empty()) return {};
  std::string chosen;
  const auto take = [&](const std::string& wanted) {
    for (const auto& key : keys)
      if (chosen.empty() && names_quantisation(key, wanted)) chosen = key;
  };
  if (!quantisation.empty()) {
    take(quantisation);
    if (chosen.empty()) {
      std::string all;
      for (const auto& key : keys) all += (all.empty() ? "" : ", ") + key;
      fail(ErrorCode::not_found, "no .gguf file of quantisation {}; there are: {}", quantisation, all.substr(0, 400));
    }
  } else {
    // Good quality for the size first.
    for (const char* wanted :
         {"Q4_K_M", "Q4_0", "Q4_1", "Q4_K_S", "Q5_K_M", "Q8_0", "Q6_K", "Q5_K_S", "Q5_0", "F16", "BF16"})
      take(wanted);
    if (chosen.empty()) chosen = keys.front();
  }
  Names out;
  for (const auto& name : names)
    if (lower(name).ends_with(".gguf") && gguf_key(name) == chosen) out.push_back(name);
  return out;
}

}  // namespace

std::vector<size_t> choose_files(const std::vector<Candidate>& files, const std::string& quantisation) {
  Names names;
  for (const auto& file : files) names.push_back(file.name);
  Names weights;
  bool with_companions = true;
  if (quantisation.empty()) {
    weights = weights_of(names, "model", ".safetensors");
    if (weights.empty()) weights = weights_of(names, "pytorch_model", ".bin");
  }
  if (weights.empty()) {
    weights = choose_gguf(names, quantisation);
    with_companions = weights.empty();  // a .gguf file carries its own configuration and tokenizer
    if (weights.empty() && !quantisation.empty())
      fail(ErrorCode::not_found, "quantisation {}: there are no .gguf files", quantisation);
  }
  for (const auto& [stem, ending] :
       {std::pair("pytorch_model", ".pth"), std::pair("pytorch_model", ".pt"), std::pair("model", ".onnx")})
    if (weights.empty()) weights = weights_of(names, stem, ending);
  // Graphs for other runtimes lie in a folder below the configuration, in several precisions.
  for (const char* graph : {"onnx/model.onnx", "onnx/model_q4.onnx", "onnx/model_quantized.onnx"})
    if (weights.empty() && std::find(names.begin(), names.end(), graph) != names.end()) weights = {graph};
  // Adapters and modules keep the format of their own folder.
  const bool safe_adapter = std::find(names.begin(), names.end(), "adapter_model.safetensors") != names.end();
  std::set<std::string> chosen(weights.begin(), weights.end());
  std::vector<size_t> out;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto& name = names[i];
    const auto slash = name.find('/');
    const bool in_module = slash != std::string::npos && is_module_folder(name.substr(0, slash));
    bool take = chosen.count(name) > 0;
    if (with_companions) {
      take |=
          is_companion(name) || name == "adapter_model.safetensors" || (name == "adapter_model.bin" && !safe_adapter);
      if (in_module && name.ends_with("/model.safetensors")) take = true;
      if (in_module && name.ends_with("/pytorch_model.bin"))
        take |= std::find(names.begin(), names.end(), name.substr(0, slash) + "/model.safetensors") == names.end();
    }
    if (take) out.push_back(i);
  }
  return out;
}

}  // namespace mynah::store
