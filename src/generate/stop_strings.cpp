#include "generate/stop_strings.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::generation {

StopStrings::StopStrings(std::vector<std::string> strings, std::shared_ptr<const Tokenizer> tokenizer)
    : strings_(std::move(strings)), tokenizer_(std::move(tokenizer)) {
  if (strings_.empty()) return;
  require(tokenizer_ != nullptr, "generation: stop_strings need a tokenizer, and the model comes without one");
  for (const std::string& s : strings_) longest_ = std::max(longest_, s.size());
}

const std::string& StopStrings::text_of(int32_t token) const {
  const auto [it, fresh] = texts_.try_emplace(token);
  if (fresh) it->second = tokenizer_->token_bytes(token);
  return it->second;
}

bool StopStrings::ends(std::span<const int32_t> tokens) const {
  if (strings_.empty() || tokens.empty()) return false;
  const size_t last = text_of(tokens.back()).size();
  std::string text;
  for (size_t i = tokens.size(); i > 0 && text.size() < longest_ + last; --i) text.insert(0, text_of(tokens[i - 1]));
  // A match must reach into the last token.
  for (const std::string& stop : strings_)
    for (size_t at = text.find(stop); at != std::string::npos; at = text.find(stop, at + 1))
      if (at + stop.size() > text.size() - last) return true;
  return false;
}

}  // namespace mynah::generation
