// SentencePiece's own normalizer: a compiled table from short character sequences to their replacements.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "text/normalizer.h"

namespace mynah::text {

// `base64` holds the table as tokenizer.json stores it. Throws integrity when it is damaged.
std::unique_ptr<Normalizer> make_precompiled(std::string_view base64);
// The table itself, as SentencePiece models and GGUF files hold it.
std::unique_ptr<Normalizer> make_precompiled_table(std::string_view table);

}  // namespace mynah::text
