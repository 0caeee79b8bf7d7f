#include "text/unigram.h"

#include <algorithm>
#include <cstdio>

#include "base/require.h"
#include "base/unicode.h"

namespace mynah::text {

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<int32_t> unk_id, bool byte_fallback)
    : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)), unk_id_(unk_id), byte_fallback_(byte_fallback) {
  constexpr double kUnknownPenalty = 10;
  if (scores_.empty() || scores_.size() != vocabulary_.limit())
    fail(ErrorCode::integrity, "tokenizer: {} scores for {} tokens", scores_.size(), vocabulary_.limit());
  if (unk_id && !vocabulary_.has(*unk_id))
    fail(ErrorCode::integrity, "tokenizer: unk_id {} is not in the vocabulary", *unk_id);
  unk_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
  std::vector<std::pair<std::string_view, int64_t>> entries;
  for (size_t id = 0; id < scores_.size(); ++id) {
    const std::string_view text = vocabulary_.text(static_cast<int32_t>(id));
    entries.emplace_back(text, vocabulary_.find(text));  // of equal texts the last id counts
  }
  tree_ = PrefixTree(std::move(entries));
  char name[8];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    byte_ids_[static_cast<size_t>(byte)] = vocabulary_.find(name);
  }
}

std::string_view Unigram::token_text(std::string_view word, const Token& token) const {
  const std::string_view surface = word.substr(token.begin, token.end - token.begin);
  return token.id == unk_id_ ? surface : vocabulary_.text(token.id);
}

void Unigram::find_paths(std::string_view word, std::vector<PathNode>& nodes) const {
  nodes.assign(word.size() + 1, {});
  uint32_t size;
  for (uint32_t begin = 0; begin < word.size(); begin += size) {
    unicode::decode_valid(word.data() + begin, size);
    const double so_far = nodes[begin].score;
    const auto offer = [&](size_t end, int32_t id, double score) {
      PathNode& node = nodes[end];
      if (!node.reached || score > node.score) node = {score, id, begin, true};
    };
    bool has_character = false;
    tree_.each(word, begin, [&](size_t end, int64_t id) {
      offer(end, static_cast<int32_t>(id), scores_[static_cast<size_t>(id)] + so_far);
      has_character |= end - begin == size;
    });
    if (has_character) continue;
    require(unk_id_.has_value(), "tokenizer: a character is not in the vocabulary, which has no unknown token");
    offer(begin + size, *unk_id_, unk_score_ + so_far);
  }
}

void Unigram::tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  if (work.cache.recall(word, 0, tokens)) return;
  std::vector<PathNode>& nodes = work.path;
  find_paths(word, nodes);
  const auto first = static_cast<ptrdiff_t>(tokens.size());
  bool unknown_behind = false, any_unknown = false;
  for (auto end = static_cast<uint32_t>(word.size()); end > 0; end = nodes[end].begin) {  // from the last to the first
    const bool unknown = nodes[end].id == unk_id_;
    if (unknown && unknown_behind)
      tokens.back().begin = nodes[end].begin;
    else
      tokens.push_back({nodes[end].id, nodes[end].begin, end});
    unknown_behind = unknown;
    any_unknown |= unknown;
  }
  std::reverse(tokens.begin() + first, tokens.end());
  if (any_unknown) {
    const std::vector<Token> path(tokens.begin() + first, tokens.end());
    tokens.erase(tokens.begin() + first, tokens.end());
    for (const Token& token : path) token.id == unk_id_ ? emit_unknown(word, token, tokens) : tokens.push_back(token);
  }
  work.cache.remember(word, 0, std::span(tokens).subspan(static_cast<size_t>(first)));
}

void Unigram::emit_unknown(std::string_view word, const Token& unknown, std::vector<Token>& tokens) const {
  const uint32_t begin = unknown.begin, end = unknown.end;
  const std::string_view piece = word.substr(begin, end - begin);
  if (const int32_t id = vocabulary_.find(piece); id >= 0) return tokens.push_back({id, begin, end});
  const auto id_of = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (!byte_fallback_ || std::any_of(piece.begin(), piece.end(), [&](char c) { return id_of(c) < 0; }))
    return tokens.push_back(unknown);
  for (const char c : piece) tokens.push_back({id_of(c), begin, end});
}

}  // namespace mynah::text
