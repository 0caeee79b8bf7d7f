// The post-processors of tokenizer.json: special tokens around the texts, and what offsets count.
#pragma once
#include <memory>
#include <vector>

#include "base/json.h"
#include "mynah/tokenizer.h"

namespace mynah::text {

// One encoding per text at first; afterwards any number, which are joined in order. In encodings of ids alone the other
// vectors are empty and stay so.
struct Parts {
  std::vector<Encoding> list;
  std::vector<bool> overflow = {};  // of each text, if given: a window over what truncation cut off; keeps its types
  bool ids_only = false;
};

// All parts one after the other.
Encoding joined(Parts parts);

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual void apply(Parts& parts, bool add_special_tokens) const = 0;
};

// The "post_processor" member of tokenizer.json; null for null. Throws integrity or failure (a type that is not known).
std::unique_ptr<PostProcessor> make_post_processor(const Json& json);

// A special token that goes around each text; id -1 for none.
struct Edge {
  int32_t id = -1;
  std::string token;
};
// Puts `end` behind each text that does not end with it.
std::unique_ptr<PostProcessor> make_closing(const Edge& end);
// `begin` text `end`, and the same again for a second text: what GGUF files mean.
std::unique_ptr<PostProcessor> make_edges(const Edge& begin, const Edge& end);

}  // namespace mynah::text
