// A trained model as a folder in Hugging Face layout.

#include "base/file.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/convert_tokenizer.h"
#include "formats/safetensors.h"
#include "mynah/json.h"
#include "mynah/ops.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

void write_json(const fs::path& path, const Json& json) {
  AtomicFile file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

void copy_text_file(const fs::path& from, const fs::path& to) {
  const auto bytes = MappedFile::open(from);
  AtomicFile file(to);
  file.write(bytes->bytes().data(), bytes->bytes().size());
  file.commit();
}

// The settings a model generates with: its own file, else the special tokens of its config.
Json generation_settings(const Bundle& b) {
  if (fs::exists(b.path / "generation_config.json")) return read_json_file(b.path / "generation_config.json");
  if (b.gguf) return b.generation_config;
  Json out = {{"_from_model_config", true}};
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"})
    if (b.config.contains(key) && !b.config[key].is_null()) out[key] = b.config[key];
  return out;
}

}  // namespace

void save_text(const Bundle& b, const fs::path& folder) {
  if (b.gguf) {
    tokenizer_to_folder(*b.gguf, folder);
    return;
  }
  // Models without a text have processors beside their weights.
  const fs::path from = b.text_path.empty() ? b.path : b.text_path;
  if (from.empty() || !fs::is_directory(from)) return;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
                           "spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "source.spm", "target.spm", "chat_template.jinja",
                           "preprocessor_config.json", "processor_config.json"})
    if (fs::exists(from / name) && !(fs::exists(folder) && fs::equivalent(from, folder))) copy_text_file(from / name, folder / name);
}

namespace {

// What makes vectors of an encoder's tokens (sentence-transformers): modules.json, what it names, and settings beside it.
void save_modules(const Bundle& b, const fs::path& folder) {
  if (!fs::exists(b.path / "modules.json") || b.network->kind() != nn::HeadKind::bare) return;
  for (const char* name : {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"})
    if (fs::exists(b.path / name)) copy_text_file(b.path / name, folder / name);
  for (const Json& module : read_json_file(b.path / "modules.json")) {
    const std::string path = module.is_object() ? module.value("path", "") : "";
    if (path.empty() || path.find("..") != std::string::npos || fs::path(path).is_absolute() || !fs::is_directory(b.path / path)) continue;
    fs::create_directories(folder / path);
    for (const auto& file : fs::directory_iterator(b.path / path))
      if (file.is_regular_file()) copy_text_file(file.path(), folder / path / file.path().filename());
  }
}

}  // namespace

void save(const Bundle& b, const fs::path& folder) {
  require(b.weights.trainable && !b.weights.trains, "save: the model was not opened as trainable; copy its files instead");
  fs::create_directories(folder);
  std::vector<formats::OutputTensor> tensors;
  for (const nn::Parameter& p : b.weights.parameters) tensors.emplace_back(p.name, p.value.detach());
  for (const nn::Parameter& p : b.weights.buffers) tensors.emplace_back(p.name, p.value);
  formats::write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  Json config = b.config;
  config["architectures"] = {b.architecture()};
  config.erase("torch_dtype");
  config["dtype"] = "float32";
  if (b.network->causal_lm()) write_json(folder / "generation_config.json", generation_settings(b));
  save_text(b, folder);
  save_modules(b, folder);
  write_json(folder / "config.json", config);
}

}  // namespace mynah::bundle
