// tiktoken's files: a byte-pair vocabulary without merges, one token in base64 and its rank a line.
#pragma once
#include <string_view>

#include "text/tokenizer_classes.h"

namespace mynah::text {

bool is_tiktoken(std::string_view bytes);
// The vocabulary in a file of the folder. How words are cut and which special tokens there are follows from the name of
// a known encoding (cl100k_base, o200k_base, gpt2, ...); any other file is cut as Llama 3 cuts.
Description describe_tiktoken(TokenizerFolder& folder, const char* name);

}  // namespace mynah::text
