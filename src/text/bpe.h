// Byte-pair encoding (arXiv:1508.07909): a word begins as characters, or as bytes; the pair of lowest rank, leftmost
// first, is merged until none is left. GPT-2, Llama 3 and Qwen over bytes, Llama 2 and Gemma over characters with a
// fallback to bytes.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "text/merge_table.h"
#include "text/model.h"

namespace mynah::text {

struct BpeOptions {
  std::string unk_token;  // empty: unknown characters are left out
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;
  bool fuse_unk = false;       // neighbouring unknown characters become one token
  bool byte_fallback = false;  // unknown characters become "<0xNN>" tokens
  bool ignore_merges = false;  // a word that is a token is that token
};

class Bpe : public Model {
 public:
  // Merges are added in order of rank. The vocabulary must be complete.
  Bpe(Vocabulary vocabulary, BpeOptions options, size_t merge_count);

  // False when a part or the whole is not in the vocabulary; the merge then takes a rank and has no effect.
  bool add_merge(std::string_view left, std::string_view right);
  // Call once, after the last merge.
  void finish();

  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string_view continuing_prefix() const override { return options_.continuing_subword_prefix; }
  bool reads_bytes() const override { return reads_bytes_; }
  // Only when every byte has a token and nothing depends on characters.
  bool read_bytes() override;

 private:
  void tokenize_word(std::string_view word, Workspace& work, std::vector<Token>& tokens) const;
  int32_t whole_word(std::string_view word, Workspace& work) const;
  void first_symbols(std::string_view word, MergeScratch& scratch) const;
  void add_character(std::string_view character, bool first, bool last, std::vector<Token>& symbols,
                     std::optional<Token>& unknown) const;
  bool add_fallback_bytes(std::string_view text, std::vector<Token>& symbols) const;
  void merge_short(MergeScratch& scratch) const;
  void merge_long(MergeScratch& scratch) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
  uint32_t merge_count_ = 0;
  bool reads_bytes_ = false;
  bool cuts_before_mark_ = false;      // no merge joins anything to a U+2581 behind it, so words end there
  std::array<int32_t, 256> byte_ids_;  // the token of each byte: of its spelling, or of "<0xNN>"
};

}  // namespace mynah::text
