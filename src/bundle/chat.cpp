// The chat template of a model with its variables.

#include "base/require.h"
#include "bundle/bundle.h"
#include "mynah/json.h"

namespace mynah::bundle {

std::string render_chat(const Bundle& b, const Json& messages, const Json& tools, bool generation_prompt,
                        std::vector<std::pair<size_t, size_t>>* generated) {
  require(b.tokenizer != nullptr, "chat: {} comes without a tokenizer", b.name);
  require(b.chat_template != nullptr, "chat: {} has no chat template", b.name);
  const auto token = [&](std::optional<int32_t> id) { return id ? b.tokenizer->token_text(*id) : std::string(); };
  Json variables = {{"messages", messages},
                    {"add_generation_prompt", generation_prompt},
                    {"bos_token", token(b.tokenizer->bos_id())},
                    {"eos_token", token(b.tokenizer->eos_id())}};
  if (!tools.is_null()) variables["tools"] = tools;
  return b.chat_template->render(variables, std::nullopt, generated);
}

}  // namespace mynah::bundle
