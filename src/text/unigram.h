// Unigram (arXiv:1804.10959): the segmentation of a word whose pieces have the largest sum of log-probabilities, found
// by Viterbi's algorithm. T5, ALBERT, XLNet, XLM-R.
#pragma once
#include <array>
#include <optional>
#include <vector>

#include "text/model.h"
#include "text/prefix_tree.h"

namespace mynah::text {

class Unigram : public Model {
 public:
  // scores by id. Unknown characters are `unk_id`, neighbours together, or bytes if `byte_fallback` and the vocabulary
  // has them. Throws integrity when unk_id is not a token.
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<int32_t> unk_id, bool byte_fallback);
  // Throws failure for an unknown character when there is no unknown token.
  void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  // Unknown text is shown as itself.
  std::string_view token_text(std::string_view word, const Token& token) const override;

 private:
  void find_paths(std::string_view word, std::vector<PathNode>& nodes) const;
  // Appends what stands for a run of unknown characters.
  void emit_unknown(std::string_view word, const Token& unknown, std::vector<Token>& tokens) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::optional<int32_t> unk_id_;
  double unk_score_ = 0;
  PrefixTree tree_;
  bool byte_fallback_;
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace mynah::text
