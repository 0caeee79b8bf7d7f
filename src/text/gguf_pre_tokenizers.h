// What the names under tokenizer.ggml.pre mean: how byte-level BPE cuts a text in each family of models.
#pragma once
#include <string>
#include <vector>

namespace mynah::text {

struct GgufPreTokenizer {
  std::vector<std::string> expressions;  // each cuts what the ones before left; all matches and gaps are words
  bool ignore_merges = false;            // a word that is a token is that token
  bool add_bos = false;                  // when the file does not say
  bool add_sep = false;
  bool escapes_spaces = false;  // SentencePiece's spelling of spaces, characters instead of bytes
};

// For a name that is not known, logs a warning and gives the meaning of "default".
GgufPreTokenizer gguf_pre_tokenizer(const std::string& name);

}  // namespace mynah::text
