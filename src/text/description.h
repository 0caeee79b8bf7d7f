// A tokenizer on its way from files to parts.
#pragma once
#include <memory>
#include <string_view>

#include "base/json.h"
#include "text/tokenizer_impl.h"

namespace mynah::text {

// A tokenizer whose parts are still as tokenizer.json spells them, so that its class can change them.
struct Description {
  std::unique_ptr<TokenizerImpl> impl = std::make_unique<TokenizerImpl>();  // with model and added tokens
  Json normalizer, pre_tokenizer, post_processor, decoder;
};

// tokenizer.json's text must stay valid as long as the result (put its owner in `owner`); `where` names it.
Description describe_tokenizer_json(std::string_view json, std::string_view where);
// Makes the parts; finish() is left to the caller, who may add tokens first.
std::unique_ptr<TokenizerImpl> make_tokenizer(Description description);

}  // namespace mynah::text
