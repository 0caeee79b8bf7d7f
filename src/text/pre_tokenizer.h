// The pre-tokenizers of tokenizer.json: they cut a text into the words that the model sees.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pattern.h"
#include "text/pieces.h"

namespace mynah::text {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
  // Whether the last step spells bytes as characters (byte_level.h). A model that reads raw bytes calls skip_spelling()
  // once, after which the words stay raw.
  virtual bool ends_with_spelling() const { return false; }
  virtual void skip_spelling() {}
  // Whether it asks where in the input a piece begins, which needs the origins of rewritten text.
  virtual bool needs_origins() const { return false; }
};

// The "pre_tokenizer" member of tokenizer.json; null for null. Throws integrity or failure (a type that is not known).
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json);

// Cuts at every match of each pattern in turn; matches and what lies between them are words. Bytes are then spelled as
// characters if `byte_level`.
std::unique_ptr<PreTokenizer> make_splits(std::vector<Pattern> patterns, bool byte_level);

}  // namespace mynah::text
