// Models that other tools have fetched already, used where they lie.
#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/selection.h"
#include "store/sources.h"

namespace mynah::store {
namespace fs = std::filesystem;
namespace {

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);  // follows links: a link to a missing blob does not count
}

std::string first_line(const fs::path& path) {
  try {
    std::string text = read_text_file(path, 4096);
    return text.substr(0, text.find_first_of("\r\n"));
  } catch (const Error&) {
    return {};
  }
}

// Every shard that an index names must be there: a download may have been cut.
bool shards_complete(const fs::path& folder, const std::string& index) {
  try {
    const Json json = read_json_file(folder / index);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) return false;
    for (const auto& [weight, file] : json["weight_map"].items())
      if (!file.is_string() || !valid_file_name(file.get<std::string>()) || !is_there(folder / file.get<std::string>()))
        return false;
    return true;
  } catch (const Error&) {
    return false;
  }
}

// What of a snapshot folder is to be opened, if it holds a whole model.
std::optional<fs::path> usable(const fs::path& folder, const std::string& quantisation) {
  std::vector<Candidate> files;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code broken;
    if (it->is_regular_file(broken))
      files.push_back({fs::relative(it->path(), folder, broken).string(), it->file_size(broken)});
  }
  std::vector<size_t> chosen;
  try {
    chosen = choose_files(files, quantisation);
  } catch (const Error&) {
    return std::nullopt;  // this quantisation was not fetched
  }
  bool weights = false;
  std::string gguf;
  for (const size_t i : chosen) {
    const auto& name = files[i].name;
    if (name.ends_with(".index.json") && !shards_complete(folder, name)) return std::nullopt;
    if (name.ends_with(".gguf") && (gguf.empty() || name < gguf)) gguf = name;
    weights |= name.ends_with(".safetensors") || name.ends_with(".bin") || name.ends_with(".gguf") ||
               name.ends_with(".pt") || name.ends_with(".pth");
  }
  if (!weights) return std::nullopt;
  return gguf.empty() ? folder : folder / gguf;
}

}  // namespace

std::optional<fs::path> find_in_hub_cache(const Settings& settings, const Name& name) {
  std::string folder_name = "models--" + name.repository;
  if (const auto slash = folder_name.find('/'); slash != std::string::npos) folder_name.replace(slash, 1, "--");
  for (const auto& cache : settings.hub_cache) {
    const fs::path repository = cache / folder_name;
    std::string commit = first_line(repository / "refs" / name.revision);
    if (commit.empty()) commit = name.revision;  // a commit may be given itself
    if (!valid_file_name(commit) || commit.find('/') != std::string::npos) continue;
    const fs::path snapshot = repository / "snapshots" / commit;
    if (is_there(snapshot))
      if (auto path = usable(snapshot, name.quantisation)) return path;
  }
  return std::nullopt;
}

fs::path ollama_blob(const Settings& settings, const Digest& digest) {
  return settings.ollama_models / "blobs" / ("sha256-" + digest.hex());
}

std::optional<OllamaModel> find_in_ollama(const Settings& settings, const Name& name) {
  const fs::path manifest = settings.ollama_models / "manifests" / name.host / name.name_space / name.model / name.tag;
  if (settings.ollama_models.empty() || !is_there(manifest)) return std::nullopt;
  try {
    const std::string text = read_text_file(manifest, 4u << 20);
    OllamaModel model{digest_of_text(text), {}};
    for (const auto& layer : layers_of_manifest(text, manifest.string())) {
      std::error_code error;
      const auto size = fs::file_size(ollama_blob(settings, *layer.digest), error);
      if (error || size != *layer.size_bytes) return std::nullopt;
      model.files.push_back({layer.name, *layer.digest, *layer.size_bytes, layer.role, ""});
    }
    return model;
  } catch (const Error& e) {
    warn("{}", e.what());
    return std::nullopt;
  }
}

}  // namespace mynah::store
