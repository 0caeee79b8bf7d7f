// The small files next to a tokenizer: names of special tokens, chat templates, defaults.
#pragma once
#include <filesystem>

#include "base/json.h"
#include "text/tokenizer_impl.h"

namespace mynah::text {

// Reads a tokenizer from a folder in Hugging Face layout; finish() is still to be called. Throws not_found when neither
// tokenizer.json nor the files of the folder's tokenizer class are there.
std::unique_ptr<TokenizerImpl> load_tokenizer_folder(const std::filesystem::path& folder);
bool has_tokenizer_files(const std::filesystem::path& folder);

}  // namespace mynah::text
