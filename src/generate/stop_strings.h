// Ends a sequence when its text ends with a stop string, or its last token goes beyond one: generate()'s rule, in which each
// token's text is taken by itself and the prompt counts as well.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::generation {

class StopStrings {
 public:
  // Throws failure if there are strings and no tokenizer.
  StopStrings(std::vector<std::string> strings, std::shared_ptr<const Tokenizer> tokenizer);
  bool ends(std::span<const int32_t> tokens) const;

 private:
  const std::string& text_of(int32_t token) const;

  std::vector<std::string> strings_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  size_t longest_ = 0;              // bytes of the longest string
  mutable std::unordered_map<int32_t, std::string> texts_;
};

}  // namespace mynah::generation
