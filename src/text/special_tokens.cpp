#include "text/special_tokens.h"

#include <algorithm>
#include <map>

#include "base/file.h"
#include "text/json_fields.h"

namespace mynah::text {
namespace {

constexpr std::array<const char*, kRoles> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                    "pad_token", "cls_token", "mask_token"};
constexpr std::array<std::optional<int32_t> NamedIds::*, kRoles> kIds = {
    &NamedIds::bos, &NamedIds::eos, &NamedIds::unk, &NamedIds::sep, &NamedIds::pad, &NamedIds::cls, &NamedIds::mask};

GivenToken read_token(const Json& json) {
  GivenToken token;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    return token;
  }
  token.plain = false;
  token.content = string_field(json, "content", "");
  token.special = bool_field(json, "special", false);
  token.single_word = bool_field(json, "single_word", false);
  token.lstrip = bool_field(json, "lstrip", false);
  token.rstrip = bool_field(json, "rstrip", false);
  if (find_field(json, "normalized")) token.normalized = bool_field(json, "normalized", false);
  return token;
}

bool is_token(const Json& json) { return json.is_string() || json.is_object(); }

void read_named(const Json& file, SpecialTokens& out) {
  for (size_t role = 0; role < kRoles; ++role) {
    const auto at = file.find(kNames[role]);
    if (at == file.end()) continue;
    out.given[role] = true;
    out.named[role].reset();
    if (is_token(*at)) out.named[role] = read_token(*at);
  }
  const Json* more = find_field(file, "additional_special_tokens");
  if (!more || !more->is_array()) return;
  out.has_additional = true;
  for (const Json& entry : *more) {
    if (!is_token(entry)) continue;
    const GivenToken token = read_token(entry);
    const auto same = [&](const GivenToken& other) { return other.content == token.content; };
    if (std::none_of(out.additional.begin(), out.additional.end(), same)) out.additional.push_back(token);
  }
}

Json optional_object(const std::filesystem::path& path) {
  Json json = std::filesystem::exists(path) ? read_json_file(path) : Json::object();
  return json.is_object() ? json : Json::object();
}

// added_tokens.json: text to id.
void read_added_file(const std::filesystem::path& path, SpecialTokens& out) {
  std::map<int64_t, GivenToken> by_id;
  const Json file = optional_object(path);
  for (const auto& [content, id] : file.items()) {
    GivenToken token;
    token.content = content;
    token.plain = false;
    const auto same = [&](const GivenToken& other) { return other.content == content; };
    token.special = std::any_of(out.named.begin(), out.named.end(), [&](const auto& t) { return t && same(*t); }) ||
                    std::any_of(out.additional.begin(), out.additional.end(), same);
    by_id.emplace(integer_value(id, "added_tokens", 0, INT32_MAX), std::move(token));
  }
  for (auto& [id, token] : by_id) out.added.push_back(std::move(token));
}

// tokenizer_config.json's added_tokens_decoder: id to token.
void read_added(const Json& decoder, SpecialTokens& out) {
  std::map<int64_t, GivenToken> by_id;
  for (const auto& [id, token] : decoder.items())
    if (token.is_object()) by_id.emplace(std::strtoll(id.c_str(), nullptr, 10), read_token(token));
  for (auto& [id, token] : by_id) out.added.push_back(std::move(token));
}

// A token with flags changes those of a known one; a plain text does not.
void add_token(const GivenToken& token, bool special, TokenizerImpl& out) {
  if (!token.content.empty() && (!token.plain || !out.added.find(token.content)))
    out.added.add(token.made(special), out.model->vocabulary());
}

}  // namespace

AddedToken GivenToken::made(bool is_special) const {
  AddedToken token;
  token.content = content;
  token.special = is_special;
  token.single_word = single_word;
  token.lstrip = lstrip;
  token.rstrip = rstrip;
  // The reference settles this where the token is made, before it is known to be special.
  token.normalized = normalized.value_or(plain ? !is_special : !special);
  return token;
}

const std::string& SpecialTokens::text(Role role) const {
  static const std::string none;
  const auto& token = named[static_cast<size_t>(role)];
  return token ? token->content : none;
}

void SpecialTokens::suppose(Role role, const char* content) {
  const auto i = static_cast<size_t>(role);
  if (!content || given[i]) return;
  named[i] = GivenToken{};
  named[i]->content = content;
}

void SpecialTokens::forget_unknown(const TokenizerImpl& tokenizer) {
  for (size_t role = 0; role < kRoles; ++role)
    if (!given[role] && named[role] && !tokenizer.token_id(named[role]->content)) named[role].reset();
}

void SpecialTokens::add_to(TokenizerImpl& out) const {
  const auto is_special = [&](const GivenToken& token) {
    const auto same = [&](const GivenToken& other) { return other.content == token.content; };
    return token.special || std::any_of(additional.begin(), additional.end(), same) ||
           std::any_of(named.begin(), named.end(), [&](const auto& t) { return t && same(*t); });
  };
  for (const GivenToken& token : added) add_token(token, is_special(token), out);
  for (const auto& token : named)
    if (token) add_token(*token, true, out);
  for (const GivenToken& token : additional) add_token(token, true, out);
  for (size_t role = 0; role < kRoles; ++role)
    if (named[role])
      if (const auto id = out.token_id(named[role]->content)) out.ids.*kIds[role] = *id;
}

SpecialTokens read_special_tokens(const Json& config, const std::filesystem::path& folder) {
  SpecialTokens out;
  read_named(config, out);
  if (const Json* decoder = find_field(config, "added_tokens_decoder"); decoder && decoder->is_object()) {
    read_added(*decoder, out);
  } else {
    read_named(optional_object(folder / "special_tokens_map.json"), out);
    read_added_file(folder / "added_tokens.json", out);
  }
  // What the list of added tokens says of a named one counts.
  for (auto& token : out.named)
    if (token)
      for (const GivenToken& known : out.added)
        if (known.content == token->content) token = known;
  return out;
}

}  // namespace mynah::text
