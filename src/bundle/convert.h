// Writing models in the other open form: Hugging Face folder <-> GGUF, and GGUF with other weight types.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

namespace mynah::bundle {

// Called with the bytes (of the source) done so far and in all.
using ConvertProgress = std::function<void(uint64_t done, uint64_t total)>;

// Hugging Face folder or GGUF -> GGUF file, weights stored as `recipe` says ("q4_k_m", "q8_0", "f16", ...; "" keeps the types).
// The tokenizer and chat template come along. Throws usage for an unknown recipe, failure for what GGUF cannot hold.
void write_gguf(const std::filesystem::path& in, const std::filesystem::path& out, const std::string& recipe, const ConvertProgress& progress = {});

// GGUF file -> Hugging Face folder (config.json, model.safetensors, tokenizer.json, generation_config.json); quantised weights become
// f32, others keep their type.
void write_folder(const std::filesystem::path& in, const std::filesystem::path& out, const ConvertProgress& progress = {});

}  // namespace mynah::bundle
