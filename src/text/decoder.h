// The decoders of tokenizer.json: token texts to text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::text {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Rewrites the list of texts; joined, they are the decoded text.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
  // Whether each token stands for bytes in the spelling of byte_level.h and nothing else happens.
  virtual bool is_byte_level() const { return false; }
};

// The "decoder" member of tokenizer.json; null for null. Throws integrity or failure (a type that is not known).
std::unique_ptr<Decoder> make_decoder(const Json& json);

std::unique_ptr<Decoder> make_byte_level_decoder();
// SentencePiece: U+2581 is a space, "<0xNN>" is a byte; without the first space if the tokenizer puts one there.
std::unique_ptr<Decoder> make_spm_decoder(bool strips_space);

// What `inner` gives, with a space for each `mark`, without white space at the ends.
std::unique_ptr<Decoder> make_stripped_decoder(std::unique_ptr<Decoder> inner, std::string mark);

// English conventions: no space before . , ? ! and contractions.
std::string clean_up_spaces(std::string text);

}  // namespace mynah::text
