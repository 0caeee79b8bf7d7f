// The parts of a loaded tokenizer and how a text goes through them: added tokens are cut out, the rest is normalized,
// cut into words, tokenized by the model, and special tokens are put around it.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mynah/tokenizer.h"
#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/encodings.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"

namespace mynah::text {

// Workspaces at rest. An encoding borrows one, so threads share nothing while they work.
class WorkspacePool {
 public:
  std::unique_ptr<Workspace> borrow();
  void give_back(std::unique_ptr<Workspace> work);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> resting_;
};

struct NamedIds {
  std::optional<int32_t> bos, eos, pad, unk, sep, cls, mask;
};

class TokenizerImpl {
 public:
  // One text, or two; ids alone, or with tokens and offsets.
  Encoding encode(std::initializer_list<std::string_view> texts, bool add_special_tokens, bool parse_special,
                  bool ids_only) const;
  // With truncation; each text is a list of words that are encoded by themselves.
  std::vector<Encoding> encode_windows(std::span<const std::span<const std::string_view>> texts, bool words,
                                       const EncodeOptions& options) const;
  int64_t added_token_count(bool pair) const;
  void pad(std::span<Encoding> encodings, const PaddingOptions& options) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens, bool clean_up) const;

  // The text of a token that counts in decoding; null data for ids that do not exist or are skipped.
  std::string_view decoded_token(int32_t id, bool skip_special_tokens) const;
  std::string token_bytes(int32_t id) const;
  std::optional<std::string_view> token_text(int32_t id) const;
  std::optional<int32_t> token_id(std::string_view token) const;
  int32_t vocab_size() const;
  bool is_special(int32_t id) const;

  // Call once when every part is in place.
  void finish();

  std::shared_ptr<const void> owner;  // keeps the bytes alive that the vocabulary's views point into
  TextArena arena;                    // and the texts that no file holds
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;
  std::unique_ptr<Decoder> decoder;

  NamedIds ids;
  std::map<std::string, std::string, std::less<>> chat_templates;
  std::optional<int64_t> model_max_length;
  std::string padding_side, truncation_side;
  int32_t pad_type_id = 0;
  bool clean_up_spaces = false;
  bool shows_vocabulary = false;  // tokens are shown as the vocabulary spells them even where they took spaces along

 private:
  Encoding encode_one(std::string_view text, int32_t type_id, bool parse_special, bool ids_only, Workspace& work) const;
  void cut(Pieces& pieces, bool parse_special) const;
  void add_ids(Workspace& work, Encoding& out) const;
  std::vector<Windows> cut_to_length(std::vector<Encoding> texts, const EncodeOptions& options) const;
  void add_tokens(Workspace& work, std::string_view input, Encoding& out) const;

  bool needs_origins_ = false;
  mutable WorkspacePool pool_;
};

std::unique_ptr<TokenizerImpl> load_gguf_vocabulary(const GgufVocabulary& vocabulary);

}  // namespace mynah::text
