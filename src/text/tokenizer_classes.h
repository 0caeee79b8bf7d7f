// The tokenizer classes of the reference: which files a class reads when there is no tokenizer.json, what it supposes
// where the files are silent, and what it changes on loading.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "text/description.h"
#include "text/special_tokens.h"

namespace mynah::text {

// A folder with a tokenizer's files.
class TokenizerFolder {
 public:
  explicit TokenizerFolder(std::filesystem::path folder);

  bool has(const char* name) const { return std::filesystem::exists(path / name); }
  std::string where(const char* name) const { return (path / name).string(); }
  // The bytes of a file, mapped until the last tokenizer made from this folder goes. Throws not_found.
  std::string_view map(const char* name);
  std::shared_ptr<const void> owner() const { return files_; }
  // Options of tokenizer_config.json.
  bool flag(const char* name, bool fallback) const;
  std::string text(const char* name, const char* fallback) const;

  std::filesystem::path path;
  Json config;  // tokenizer_config.json, or an empty object
  SpecialTokens special;

 private:
  using Files = std::vector<std::shared_ptr<const MappedFile>>;
  std::shared_ptr<Files> files_ = std::make_shared<Files>();
};

// What a class makes of special tokens that are given as plain texts: the mask that fill-mask models predict takes the
// space before it, and some are looked for in the normalized text.
enum class MaskToken { as_given, takes_spaces, takes_spaces_normalized, takes_spaces_all_normalized };

struct TokenizerClass {
  const char* name;  // without "Fast"
  // bos, eos, unk, sep, pad, cls, mask; null for none
  std::array<const char*, kRoles> named;
  MaskToken mask = MaskToken::as_given;
  // The file without which describe() can do nothing.
  const char* file = nullptr;
  // Makes model, added tokens and parts from the class's own files.
  Description (*describe)(TokenizerFolder& folder) = nullptr;
  // Fills in additional special tokens.
  void (*complete)(TokenizerFolder& folder) = nullptr;
  // Changes parts after special tokens have been added.
  void (*adjust)(const TokenizerFolder& folder, Description& description) = nullptr;
};

// The class that the folder's files name, else the one that its files suit (`guessed`); null when it is not known.
const TokenizerClass* find_tokenizer_class(const TokenizerFolder& folder, bool& guessed);

std::vector<const TokenizerClass*> word_piece_classes();
std::vector<const TokenizerClass*> byte_level_classes();
std::vector<const TokenizerClass*> sentencepiece_classes();
std::vector<const TokenizerClass*> slow_classes();

// A TemplateProcessing of pieces such as "$A", "$B:1", "[SEP]:0". Special tokens must be known to the tokenizer.
Json template_json(const std::vector<std::string>& single, const std::vector<std::string>& pair,
                   const TokenizerImpl& tokenizer);
// `bos` text `eos` for each text, as flags add_bos_token and add_eos_token say; what Llama's and other classes do.
void adjust_edges(const TokenizerFolder& folder, Description& description, bool add_bos);

}  // namespace mynah::text
