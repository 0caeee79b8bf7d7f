// SentencePiece's byte-pair encoding as GGUF files hold it: no list of merges, any two neighbours whose joined text is
// a token may merge, the best score first, then the leftmost.
#pragma once
#include <array>
#include <vector>

#include "text/model.h"

namespace mynah::text {

class SpmBpe : public Model {
 public:
  // scores by id. `unk_id` stands for what has no token and no byte tokens either; -1: left out.
  SpmBpe(Vocabulary vocabulary, std::vector<float> scores, int32_t unk_id);

  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Candidate;
  void tokenize_part(std::string_view word, uint32_t shift, Workspace& work, std::vector<Token>& tokens) const;
  void merge(std::string_view word, std::vector<MergeScratch::Symbol>& list) const;
  void emit(std::string_view text, uint32_t begin, std::vector<Token>& tokens) const;

  Vocabulary vocabulary_;
  std::vector<float> scores_;
  int32_t unk_id_;
  bool cuts_before_mark_;  // no token has a U+2581 behind anything else, so words end there
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace mynah::text
