#include "text/tokenizer_folder.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/require.h"
#include "text/json_fields.h"

namespace mynah::text {
namespace {

namespace fs = std::filesystem;

struct SpecialName {
  const char* name;
  std::optional<int32_t> NamedIds::* id;
};
constexpr std::array<SpecialName, 7> kSpecialNames = {{{"bos_token", &NamedIds::bos},
                                                       {"eos_token", &NamedIds::eos},
                                                       {"pad_token", &NamedIds::pad},
                                                       {"unk_token", &NamedIds::unk},
                                                       {"sep_token", &NamedIds::sep},
                                                       {"cls_token", &NamedIds::cls},
                                                       {"mask_token", &NamedIds::mask}}};

std::string_view as_text(const MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Json read_optional_json(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json::object(); }

// A token is given as a text or as an object with its flags.
AddedToken read_token(const Json& json) {
  AddedToken token;
  token.special = true;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    return token;
  }
  token.content = string_field(json, "content", "");
  token.special = bool_field(json, "special", true);
  token.single_word = bool_field(json, "single_word", false);
  token.lstrip = bool_field(json, "lstrip", false);
  token.rstrip = bool_field(json, "rstrip", false);
  token.normalized = bool_field(json, "normalized", !token.special);
  return token;
}

void add_missing(AddedToken token, TokenizerImpl& out) {
  if (!token.content.empty() && !out.added.find(token.content))
    out.added.add(std::move(token), out.model->vocabulary());
}

// Special tokens that the tokenizer itself does not list are added, as the reference does on loading.
void read_special_tokens(const Json& config, TokenizerImpl& out) {
  if (const Json* decoder = find_field(config, "added_tokens_decoder"); decoder && decoder->is_object())
    for (const auto& entry : *decoder) add_missing(read_token(entry), out);
  for (const SpecialName& special : kSpecialNames) {
    const Json* value = find_field(config, special.name);
    if (!value || !(value->is_string() || value->is_object())) continue;
    AddedToken token = read_token(*value);
    token.special = true;
    const std::string content = token.content;
    add_missing(std::move(token), out);
    if (const auto id = out.token_id(content)) out.ids.*special.id = *id;
  }
  if (const Json* more = find_field(config, "additional_special_tokens"); more && more->is_array())
    for (const Json& entry : *more) add_missing(read_token(entry), out);
}

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
  out.clean_up_spaces = bool_field(config, "clean_up_tokenization_spaces", false);
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

std::unique_ptr<TokenizerImpl> load_pair(const fs::path& folder, const Json& config) {
  const auto vocabulary = MappedFile::open(folder / "vocab.json"), merges = MappedFile::open(folder / "merges.txt");
  auto out =
      load_vocab_and_merges(as_text(*vocabulary), as_text(*merges), bool_field(config, "add_prefix_space", false));
  out->owner = std::make_shared<std::array<std::shared_ptr<const MappedFile>, 2>>(std::array{vocabulary, merges});
  return out;
}

}  // namespace

std::unique_ptr<TokenizerImpl> load_tokenizer_folder(const fs::path& path) {
  const bool is_file = fs::is_regular_file(path);
  const fs::path folder = is_file ? path.parent_path() : path;
  const fs::path main_file = is_file ? path : path / "tokenizer.json";
  const Json config = read_optional_json(folder / "tokenizer_config.json");
  std::unique_ptr<TokenizerImpl> out;
  if (fs::exists(main_file)) {
    const auto file = MappedFile::open(main_file);
    out = load_tokenizer_json(as_text(*file), main_file.string());
    out->owner = file;
  } else if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
    out = load_pair(folder, config);
  } else {
    fail(ErrorCode::not_found, "{}: no tokenizer: neither tokenizer.json nor vocab.json with merges.txt is there",
         folder.string());
  }
  read_special_tokens(config, *out);
  read_special_tokens(read_optional_json(folder / "special_tokens_map.json"), *out);
  read_chat_templates(config, folder, *out);
  read_defaults(config, *out);
  return out;
}

}  // namespace mynah::text
