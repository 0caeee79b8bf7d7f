#include "text/tokenizer_folder.h"

#include <array>

#include "base/file.h"
#include "base/require.h"
#include "mynah/json.h"
#include "text/json_fields.h"
#include "text/tiktoken_file.h"
#include "text/tokenizer_classes.h"

namespace mynah::text {
namespace {

namespace fs = std::filesystem;

void read_chat_templates(const Json& config, const fs::path& folder, TokenizerImpl& out) {
  if (const Json* value = find_field(config, "chat_template")) {
    if (value->is_string()) out.chat_templates["default"] = value->get<std::string>();
    if (value->is_array())
      for (const Json& entry : *value)
        out.chat_templates[string_field(entry, "name", "default")] = string_field(entry, "template", "");
  }
  if (const fs::path file = folder / "chat_template.jinja"; fs::exists(file))
    out.chat_templates["default"] = read_text_file(file);
}

void read_defaults(const Json& config, TokenizerImpl& out) {
  out.clean_up_spaces = bool_field(config, "clean_up_tokenization_spaces", out.clean_up_spaces);
  for (const auto& [name, side] :
       {std::pair{"padding_side", &out.padding_side}, {"truncation_side", &out.truncation_side}})
    if (const std::string value = string_field(config, name, ""); value == "left" || value == "right") *side = value;
  out.pad_type_id = static_cast<int32_t>(integer_field(config, "pad_token_type_id", 0, 0, INT32_MAX));
  // "No limit" is written as 1e30.
  constexpr double kSensible = 1e9;
  const Json* length = find_field(config, "model_max_length");
  if (length && length->is_number() && length->get<double>() >= 1 && length->get<double>() < kSensible)
    out.model_max_length = static_cast<int64_t>(length->get<double>());
}

void suppose_special_tokens(const TokenizerClass& c, SpecialTokens& special) {
  for (size_t role = 0; role < kRoles; ++role) special.suppose(static_cast<Role>(role), c.named[role]);
  if (c.mask == MaskToken::as_given) return;
  for (size_t role = 0; role < kRoles; ++role) {
    auto& token = special.named[role];
    const bool mask = role == static_cast<size_t>(Role::mask);
    if (!token || !token->plain || !(mask || c.mask == MaskToken::takes_spaces_all_normalized)) continue;
    token->plain = false;
    token->lstrip = mask;
    token->normalized = c.mask != MaskToken::takes_spaces;
  }
}

// Whatever tokenizer.json says, the option of this name counts.
void adjust_prefix_space(const TokenizerFolder& folder, Description& d, bool fallback) {
  if (d.pre_tokenizer.is_object() && d.pre_tokenizer.contains("add_prefix_space"))
    d.pre_tokenizer["add_prefix_space"] = folder.flag("add_prefix_space", fallback);
}

Description describe(TokenizerFolder& folder, const fs::path& main_file, const TokenizerClass* c) {
  const std::string name = main_file.filename().string();
  if (fs::exists(main_file)) {
    if (name.ends_with(".tiktoken")) return describe_tiktoken(folder, name.c_str());
    return describe_tokenizer_json(folder.map(name.c_str()), main_file.string());
  }
  if (!c || !c->describe)
    fail(ErrorCode::not_found, "{}: no tokenizer: neither tokenizer.json nor the files of a known tokenizer class{}",
         folder.path.string(), c ? std::string(" (") + c->name + " needs tokenizer.json)" : "");
  if (c->file && !folder.has(c->file))
    fail(ErrorCode::not_found, "{}: no tokenizer: neither tokenizer.json nor {} for {} is there", folder.path.string(),
         c->file, c->name);
  if (c->file && c->file == std::string_view("tokenizer.model") && is_tiktoken(folder.map(c->file)))
    return describe_tiktoken(folder, c->file);
  return c->describe(folder);
}

}  // namespace

bool has_tokenizer_files(const fs::path& path) {
  const TokenizerFolder folder(path);
  if (folder.has("tokenizer.json")) return true;
  bool guessed;
  const TokenizerClass* c = find_tokenizer_class(folder, guessed);
  return c && c->describe && (!c->file || folder.has(c->file));
}

std::unique_ptr<TokenizerImpl> load_tokenizer_folder(const fs::path& path) {
  const bool is_file = fs::is_regular_file(path);
  TokenizerFolder folder(is_file ? path.parent_path() : path);
  const fs::path main_file = is_file ? path : path / "tokenizer.json";
  bool guessed = false;
  const TokenizerClass* c = find_tokenizer_class(folder, guessed);
  if (c) suppose_special_tokens(*c, folder.special);
  if (c && c->complete) c->complete(folder);
  Description d = describe(folder, main_file, c);
  d.impl->owner = folder.owner();
  read_defaults(folder.config, *d.impl);
  if (guessed) folder.special.forget_unknown(*d.impl);
  folder.special.add_to(*d.impl);
  if (c || !folder.config.empty())
    adjust_prefix_space(folder, d, c && c->name == std::string_view("LayoutLMv3Tokenizer"));
  if (c && c->adjust) c->adjust(folder, d);
  read_chat_templates(folder.config, folder.path, *d.impl);
  return make_tokenizer(std::move(d));
}

}  // namespace mynah::text
