// WordPiece (BERT): the longest token that a word begins with, then the longest continuation, and so on; a word that
// does not come out is unknown as a whole.
#pragma once
#include <string>

#include "text/model.h"

namespace mynah::text {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string first_prefix;              // how tokens that begin a word are marked in the vocabulary
  std::string continuing_prefix = "##";  // and those that continue one
  size_t max_word_characters = 100;      // a longer word is unknown
};

class WordPiece : public Model {
 public:
  // Throws integrity when the unknown token is not in the vocabulary.
  WordPiece(Vocabulary vocabulary, WordPieceOptions options);
  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string_view continuing_prefix() const override { return options_.continuing_prefix; }

 private:
  // Appends the tokens of a word; false, and perhaps some of them, when it does not come out. `candidate` is scratch.
  bool cut(std::string_view word, std::string& candidate, std::vector<Token>& tokens) const;

  Vocabulary vocabulary_;
  WordPieceOptions options_;
  int32_t unk_id_;
  size_t longest_ = 0;  // bytes of the longest token
};

// WordLevel: a word is a token or unknown.
class WordLevel : public Model {
 public:
  WordLevel(Vocabulary vocabulary, std::string_view unk_token);
  // Throws failure for an unknown word when the vocabulary has no unknown token.
  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  int32_t unk_id_;
};

}  // namespace mynah::text
