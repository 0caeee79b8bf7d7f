// SentencePiece as the library itself works, which the reference's slow tokenizers and GGUF's "t5" call: its
// normalizer, its models, its way back to text. (tokenizer.json's parts differ from it in details.)
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "text/charsmap.h"
#include "text/decoder.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/prefix_tree.h"
#include "text/sentencepiece_file.h"
#include "text/spm_bpe.h"

namespace mynah::text {

struct SentencePieceSpaces {
  bool add_dummy_prefix = true;  // a space in front
  bool remove_extra = true;      // no space at the ends, no two together
  bool keep_leading = false;     // but those at the beginning stay
  bool leading_code = false;     // ">>...<<" at the beginning is left as it is
};

// The size of a language code such as ">>fra<<" that the text begins with, or 0.
size_t leading_code(std::string_view text);

// Replaces by the table's longest match, then treats spaces and writes them as U+2581.
class SentencePieceNormalizer : public Normalizer {
 public:
  SentencePieceNormalizer(const SentencePieceFile& file, SentencePieceSpaces spaces);
  void apply(Pieces& pieces) const override;

 private:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const;

  CharsMap map_;
  PrefixTree user_defined_;  // left as they are
  SentencePieceSpaces spaces_;
};

// What classes do around the library.
struct SentencePieceHabits {
  bool leading_code = false;  // a language code at the beginning of a word is a token, or unknown
  std::string prefix = {};    // put before each word; its tokens are taken off again
};

// Unigram, BPE, word or character model of a file, whose bytes must outlive it. Tokens are looked up by their text in
// `vocabulary`, which may number them otherwise than the file does.
class SentencePieceModel : public Model {
 public:
  SentencePieceModel(const SentencePieceFile& file, Vocabulary vocabulary, int32_t unk_id,
                     SentencePieceHabits habits = {});

  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Node {
    float score = 0;
    int32_t piece = -1;
    uint32_t begin = 0;
    bool reached = false;
  };
  void encode(std::string_view text, Workspace& work, std::vector<Token>& tokens) const;
  void unigram(std::string_view text, std::vector<Token>& out) const;
  void bpe(std::string_view text, Workspace& work, std::vector<Token>& out) const;
  void words(std::string_view text, std::vector<Token>& out) const;
  void characters(std::string_view text, std::vector<Token>& out) const;
  void emit(std::string_view text, const std::vector<Token>& pieces, std::vector<Token>& tokens) const;

  SentencePieceFile::Model kind_;
  bool byte_fallback_;
  SentencePieceHabits habits_;
  size_t prefix_tokens_ = 0;
  Vocabulary vocabulary_;
  Vocabulary pieces_;          // those that text can contain, under the file's ids
  std::vector<float> scores_;  // by the file's ids
  std::vector<bool> user_;     // by the file's ids
  std::vector<int32_t> ids_;   // the file's id -> the vocabulary's
  std::array<int32_t, 256> byte_ids_;
  int32_t unk_id_;
  float unk_score_ = 0, most_score_ = 0;
  PrefixTree tree_, user_defined_;
  std::unique_ptr<SpmBpe> bpe_;
};

// Pieces to text as the library joins them. A copy of what it needs of the file is kept.
class SentencePieceText {
 public:
  explicit SentencePieceText(const SentencePieceFile& file);
  std::string decode(const std::vector<std::string>& pieces) const;

 private:
  StringTable kinds_;  // piece -> its id
  TextArena arena_;
  std::vector<PieceType> types_;
  bool strips_first_, strips_all_;
};

}  // namespace mynah::text
