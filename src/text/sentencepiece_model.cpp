#include "text/sentencepiece_model.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "base/require.h"
#include "base/unicode.h"
#include "text/space_mark.h"

namespace mynah::text {
namespace {

constexpr char32_t kMarkCode = 0x2581;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::array<int32_t, 256> byte_ids_of(const Vocabulary& vocabulary) {
  std::array<int32_t, 256> ids;
  char name[8];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    ids[static_cast<size_t>(byte)] = vocabulary.find(name);
  }
  return ids;
}

PrefixTree user_defined_tree(const SentencePieceFile& file) {
  std::vector<std::pair<std::string_view, int64_t>> entries;
  for (size_t id = 0; id < file.pieces.size(); ++id)
    if (file.pieces[id].type == PieceType::user_defined)
      entries.emplace_back(file.pieces[id].text, static_cast<int64_t>(id));
  return PrefixTree(std::move(entries));
}

// The longest entry at text[at]: its end, or `at`.
size_t longest(const PrefixTree& tree, std::string_view text, size_t at, int64_t* value = nullptr) {
  size_t found = at;
  tree.each(text, at, [&](size_t end, int64_t id) {
    found = end;
    if (value) *value = id;
  });
  return found;
}

}  // namespace

size_t leading_code(std::string_view text) {
  const size_t end = text.starts_with(">>") ? text.find("<<") : std::string_view::npos;
  return end == std::string_view::npos ? 0 : end + 2;
}

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceFile& file, SentencePieceSpaces spaces)
    : map_(file.charsmap), user_defined_(user_defined_tree(file)), spaces_(spaces) {}

void SentencePieceNormalizer::apply(Pieces& pieces) const {
  pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces, piece, out); });
}

void SentencePieceNormalizer::edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const {
  const std::string_view text = pieces.text(piece);
  // A space is held back until something follows it, so that trailing ones vanish.
  std::vector<size_t> held;
  bool previous_space = spaces_.remove_extra && !spaces_.keep_leading, begun = false;
  const auto put = [&](char32_t code, size_t at) {
    if (spaces_.remove_extra && (code == ' ' || code == kMarkCode)) {
      held.push_back(at);
      return;
    }
    if (!begun && spaces_.add_dummy_prefix) out.put_text(kSpaceMark, piece.begin + at);
    begun = true;
    if (code == ' ') code = kMarkCode;
    for (const size_t space : held) out.put(kMarkCode, piece.begin + space);
    held.clear();
    out.put(code, piece.begin + at);
  };
  const size_t code_end = spaces_.leading_code ? leading_code(text) : 0;
  out.copy(piece.begin, piece.begin + code_end);
  for (size_t at = code_end; at < text.size();) {
    std::string_view replacement;
    size_t end = longest(user_defined_, text, at);
    if (end > at) {
      replacement = text.substr(at, end - at);
    } else {
      map_.each(text.substr(at), [&](size_t size, std::string_view found) {
        end = at + size;
        replacement = found;
        return true;
      });
      if (end == at || !unicode::is_valid(replacement) || (end < text.size() && unicode::is_continuation(text[end]))) {
        uint32_t size;
        unicode::decode_valid(text.data() + at, size);
        end = at + size;
        replacement = text.substr(at, size);
      }
    }
    while (previous_space && replacement.starts_with(' ')) replacement.remove_prefix(1);
    each_character(replacement, 0, replacement.size(), [&](char32_t code, size_t, uint32_t) { put(code, at); });
    if (!replacement.empty()) previous_space = spaces_.remove_extra && replacement.ends_with(' ');
    at = end;
  }
}

SentencePieceModel::SentencePieceModel(const SentencePieceFile& file, Vocabulary vocabulary, int32_t unk_id,
                                       SentencePieceHabits habits)
    : kind_(file.model),
      byte_fallback_(file.byte_fallback),
      habits_(std::move(habits)),
      vocabulary_(std::move(vocabulary)),
      byte_ids_(byte_ids_of(vocabulary_)),
      unk_id_(unk_id) {
  if (!vocabulary_.has(unk_id)) fail(ErrorCode::integrity, "tokenizer: the unknown token is not in the vocabulary");
  float least = std::numeric_limits<float>::max();
  most_score_ = std::numeric_limits<float>::lowest();
  std::vector<std::pair<std::string_view, int64_t>> entries;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const SentencePiece& piece = file.pieces[id];
    scores_.push_back(piece.score);
    user_.push_back(piece.type == PieceType::user_defined);
    const int32_t known = vocabulary_.find(piece.text);
    ids_.push_back(known >= 0 ? known : unk_id);
    if (piece.type == PieceType::normal) {
      least = std::min(least, piece.score);
      most_score_ = std::max(most_score_, piece.score);
    }
    if (piece.type != PieceType::normal && piece.type != PieceType::user_defined) continue;
    if (pieces_.find(piece.text) >= 0) continue;
    pieces_.insert(piece.text, static_cast<int64_t>(id));
    entries.emplace_back(piece.text, static_cast<int64_t>(id));
  }
  constexpr float kUnknownPenalty = 10;
  unk_score_ = least - kUnknownPenalty;
  tree_ = PrefixTree(std::move(entries));
  user_defined_ = user_defined_tree(file);
  if (kind_ == SentencePieceFile::Model::bpe) bpe_ = std::make_unique<SpmBpe>(pieces_, scores_, -1);
  if (habits_.prefix.empty()) return;
  Workspace work;
  std::vector<Token> tokens;
  encode(habits_.prefix, work, tokens);
  prefix_tokens_ = tokens.size();
}

void SentencePieceModel::tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const {
  const auto code = static_cast<uint32_t>(habits_.leading_code ? leading_code(word) : 0);
  if (code > 0) {
    const int32_t id = vocabulary_.find(word.substr(0, code));
    tokens.push_back({id >= 0 ? id : unk_id_, 0, code});
    word.remove_prefix(code);
  }
  const std::string& prefix = habits_.prefix;
  std::vector<Token> made;
  encode(prefix.empty() ? word : prefix + std::string(word), work, made);
  const auto size = static_cast<uint32_t>(prefix.size());
  const auto shifted = [&](uint32_t at) { return std::max(at, size) - size + code; };
  for (size_t i = made.size() >= prefix_tokens_ ? prefix_tokens_ : 0; i < made.size(); ++i)
    tokens.push_back({made[i].id, shifted(made[i].begin), shifted(made[i].end)});
}

void SentencePieceModel::encode(std::string_view text, Workspace& work, std::vector<Token>& tokens) const {
  std::vector<Token> pieces;  // under the file's ids, -1 for unknown
  switch (kind_) {
    case SentencePieceFile::Model::unigram:
      unigram(text, pieces);
      break;
    case SentencePieceFile::Model::bpe:
      bpe(text, work, pieces);
      break;
    case SentencePieceFile::Model::word:
      words(text, pieces);
      break;
    case SentencePieceFile::Model::character:
      characters(text, pieces);
      break;
  }
  emit(text, pieces, tokens);
}

// Scores are added as the library adds them: a double of each piece's score and the float so far, kept as a float.
void SentencePieceModel::unigram(std::string_view text, std::vector<Token>& out) const {
  std::vector<Node> nodes(text.size() + 1);
  uint32_t size;
  for (uint32_t begin = 0; begin < text.size(); begin += size) {
    unicode::decode_valid(text.data() + begin, size);
    const float so_far = nodes[begin].score;
    const auto offer = [&](size_t end, int32_t piece, double score) {
      Node& node = nodes[end];
      if (!node.reached || score > static_cast<double>(node.score))
        node = {static_cast<float>(score), piece, begin, true};
    };
    bool has_character = false;
    tree_.each(text, begin, [&](size_t end, int64_t id) {
      const auto i = static_cast<size_t>(id);
      const double score = user_[i] ? static_cast<double>(static_cast<float>(end - begin) * most_score_) - 0.1
                                    : static_cast<double>(scores_[i]);
      offer(end, static_cast<int32_t>(id), score + static_cast<double>(so_far));
      has_character |= end - begin == size;
    });
    if (!has_character) offer(begin + size, -1, static_cast<double>(unk_score_ + so_far));
  }
  const size_t first = out.size();
  for (auto end = static_cast<uint32_t>(text.size()); end > 0; end = nodes[end].begin)
    out.push_back({nodes[end].piece, nodes[end].begin, end});
  std::reverse(out.begin() + static_cast<ptrdiff_t>(first), out.end());
}

void SentencePieceModel::bpe(std::string_view text, Workspace& work, std::vector<Token>& out) const {
  size_t begin = 0;
  // The model leaves what it does not know out, so every part tells by its offsets what is missing.
  const auto part = [&](size_t end) {
    if (end == begin) return;
    std::vector<Token> known;
    bpe_->tokenize(text.substr(begin, end - begin), work, known);
    size_t at = begin;
    const auto fill = [&](size_t to) {
      uint32_t size;
      for (; at < to; at += size) {
        unicode::decode_valid(text.data() + at, size);
        out.push_back({-1, static_cast<uint32_t>(at), static_cast<uint32_t>(at + size)});
      }
    };
    for (const Token& token : known) {
      fill(begin + token.begin);
      out.push_back({token.id, static_cast<uint32_t>(begin + token.begin), static_cast<uint32_t>(begin + token.end)});
      at = begin + token.end;
    }
    fill(end);
  };
  if (!user_defined_.empty())
    for (size_t at = 0; at < text.size();) {
      int64_t id = -1;
      const size_t end = longest(user_defined_, text, at, &id);
      if (end == at) {
        ++at;
        continue;
      }
      part(at);
      out.push_back({static_cast<int32_t>(id), static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
      begin = at = end;
    }
  part(text.size());
}

void SentencePieceModel::words(std::string_view text, std::vector<Token>& out) const {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(kSpaceMark, at + 1), text.size());
    out.push_back({pieces_.find(text.substr(at, end - at)), static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
    at = end;
  }
}

void SentencePieceModel::characters(std::string_view text, std::vector<Token>& out) const {
  for (size_t at = 0; at < text.size();) {
    int64_t id = -1;
    size_t end = longest(user_defined_, text, at, &id);
    if (end == at) {
      uint32_t size;
      unicode::decode_valid(text.data() + at, size);
      end = at + size;
      id = pieces_.find(text.substr(at, size));
    }
    out.push_back({static_cast<int32_t>(id), static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
    at = end;
  }
}

// Unknown pieces become bytes, or one token for each run of them.
void SentencePieceModel::emit(std::string_view text, const std::vector<Token>& pieces,
                              std::vector<Token>& tokens) const {
  for (size_t i = 0; i < pieces.size(); ++i) {
    Token piece = pieces[i];
    if (piece.id >= 0) {
      tokens.push_back({ids_[static_cast<size_t>(piece.id)], piece.begin, piece.end});
      continue;
    }
    if (byte_fallback_) {
      for (uint32_t at = piece.begin; at < piece.end; ++at) {
        const int32_t id = byte_ids_[static_cast<unsigned char>(text[at])];
        tokens.push_back({id >= 0 ? id : unk_id_, at, at + 1});
      }
      continue;
    }
    while (i + 1 < pieces.size() && pieces[i + 1].id < 0) piece.end = pieces[++i].end;
    const int32_t known = vocabulary_.find(text.substr(piece.begin, piece.end - piece.begin));
    tokens.push_back({known >= 0 ? known : unk_id_, piece.begin, piece.end});
  }
}

SentencePieceText::SentencePieceText(const SentencePieceFile& file)
    : strips_first_(file.add_dummy_prefix || file.remove_extra_whitespaces),
      strips_all_(file.remove_extra_whitespaces) {
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    types_.push_back(file.pieces[id].type);
    const std::string_view text = arena_.keep(std::string(file.pieces[id].text));
    if (kinds_.find(text) < 0) kinds_.insert(text, static_cast<int32_t>(id));
  }
}

std::string SentencePieceText::decode(const std::vector<std::string>& pieces) const {
  constexpr std::string_view kUnknown = " \xE2\x81\x87 ";  // U+2047
  std::string text, bytes;
  bool at_begin = true, seen_space = false;
  const auto flush = [&] {
    for (size_t at = 0; at < bytes.size();) {
      const unicode::Decoded d = unicode::decode_any(bytes, at);
      text += d.valid ? std::string_view(bytes).substr(at, d.size) : kReplacement;
      at += d.valid ? d.size : 1;
    }
    bytes.clear();
  };
  for (const std::string& piece : pieces) {
    const int32_t id = kinds_.find(piece);
    const PieceType type = id < 0 ? PieceType::unknown : types_[static_cast<size_t>(id)];
    if (type == PieceType::byte && piece.size() == 6) {
      bytes.push_back(static_cast<char>(std::strtol(piece.substr(3, 2).c_str(), nullptr, 16)));
      continue;
    }
    flush();
    if (seen_space || !text.empty()) at_begin = false;
    seen_space = false;
    if (type == PieceType::control) continue;
    if (type == PieceType::unknown) {
      text += id < 0 ? std::string_view(piece) : kUnknown;
      continue;
    }
    std::string_view rest = piece;
    if (at_begin && strips_first_ && rest.starts_with(kSpaceMark)) {
      rest.remove_prefix(kSpaceMark.size());
      seen_space = !strips_all_;
    }
    for (size_t at = rest.find(kSpaceMark); at != std::string_view::npos; at = rest.find(kSpaceMark)) {
      text.append(rest.substr(0, at)).push_back(' ');
      rest.remove_prefix(at + kSpaceMark.size());
    }
    text += rest;
  }
  flush();
  return text;
}

}  // namespace mynah::text
