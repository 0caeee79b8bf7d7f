// The special and added tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json name.
#pragma once
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer_impl.h"

namespace mynah::text {

enum class Role { bos, eos, unk, sep, pad, cls, mask };
constexpr size_t kRoles = 7;

// A token as a file gives it: a plain text, or with flags.
struct GivenToken {
  std::string content;
  bool plain = true, special = false, single_word = false, lstrip = false, rstrip = false;
  std::optional<bool> normalized = {};

  AddedToken made(bool is_special) const;
};

struct SpecialTokens {
  std::array<std::optional<GivenToken>, kRoles> named;
  std::vector<GivenToken> additional;
  bool has_additional = false;    // a file lists them, perhaps none
  std::vector<GivenToken> added;  // by id

  const std::string& text(Role role) const;  // empty for none
  bool has(Role role) const { return named[static_cast<size_t>(role)].has_value(); }
  // A default: what no file says.
  void suppose(Role role, const char* content);
  // Drops defaults that the tokenizer does not know.
  void forget_unknown(const TokenizerImpl& tokenizer);
  // Adds what the tokenizer does not know, as the reference does on loading, and remembers the ids of the named ones.
  void add_to(TokenizerImpl& out) const;

  std::array<bool, kRoles> given = {};  // a file names it, perhaps as null
};

// `config` is tokenizer_config.json.
SpecialTokens read_special_tokens(const Json& config, const std::filesystem::path& folder);

}  // namespace mynah::text
