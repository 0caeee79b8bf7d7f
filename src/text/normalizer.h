// The normalizers of tokenizer.json: each rewrites the text before it is cut.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/pieces.h"

namespace mynah::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites every text piece.
  virtual void apply(Pieces& pieces) const = 0;

  // The normalized form of a text that stands alone.
  std::string normalized(std::string_view text) const;
};

// The "normalizer" member of tokenizer.json; null for null. Throws integrity or failure (a type that is not known).
std::unique_ptr<Normalizer> make_normalizer(const Json& json);

// One after the other; either may be null.
std::unique_ptr<Normalizer> make_chain(std::unique_ptr<Normalizer> first, std::unique_ptr<Normalizer> second);

// SentencePiece's treatment of spaces as GGUF files mean it: a space in front of each piece, then "\u2581" for each
// space.
std::unique_ptr<Normalizer> make_space_escape(bool space_prefix);

}  // namespace mynah::text
