#include "text/tokenizer_impl.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"
#include "text/byte_level.h"

namespace mynah::text {
namespace {

// Offsets in characters from offsets in bytes of one input.
class CharacterOffsets {
 public:
  explicit CharacterOffsets(std::string_view input) : input_(input) {
    ascii_ = std::all_of(input.begin(), input.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
  int64_t at(size_t byte) {
    if (ascii_) return static_cast<int64_t>(byte);
    if (byte < byte_) {  // backwards: rare, for tokens that share a character
      if (byte_ - byte > byte) byte_ = characters_ = 0;
      while (byte_ > byte)
        if (!unicode::is_continuation(input_[--byte_])) --characters_;
    }
    while (byte_ < byte && byte_ < input_.size())
      if (!unicode::is_continuation(input_[byte_++])) ++characters_;
    return static_cast<int64_t>(characters_);
  }

 private:
  std::string_view input_;
  bool ascii_;
  size_t byte_ = 0, characters_ = 0;  // so many characters begin before byte_
};

// Gives a workspace back on every way out.
struct Loan {
  explicit Loan(WorkspacePool& pool) : pool_(pool), work(pool.borrow()) {}
  ~Loan() { pool_.give_back(std::move(work)); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  WorkspacePool& pool_;
  std::unique_ptr<Workspace> work;
};

}  // namespace

std::unique_ptr<Workspace> WorkspacePool::borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!resting_.empty()) {
      auto work = std::move(resting_.back());
      resting_.pop_back();
      return work;
    }
  }
  return std::make_unique<Workspace>();
}

void WorkspacePool::give_back(std::unique_ptr<Workspace> work) {
  constexpr size_t kMostKeptBytes = 1 << 20;
  if (work->tokens.capacity() * sizeof(Token) > kMostKeptBytes) work->tokens = {};
  if (work->merge.list.capacity() * sizeof(MergeScratch::Symbol) > kMostKeptBytes) work->merge = {};
  work->pieces.release();
  const std::lock_guard lock(mutex_);
  resting_.push_back(std::move(work));
}

void TokenizerImpl::finish() {
  if (pre_tokenizer) {
    needs_origins_ = normalizer && pre_tokenizer->needs_origins();
    if (pre_tokenizer->ends_with_spelling() && model->read_bytes()) pre_tokenizer->skip_spelling();
  }
  added.finish(normalizer.get());
}

Encoding TokenizerImpl::encode(std::initializer_list<std::string_view> texts, bool add_special_tokens,
                               bool parse_special, bool ids_only) const {
  const Loan loan(pool_);
  Parts parts;
  parts.ids_only = ids_only;
  for (const std::string_view text : texts) {
    const auto type_id = static_cast<int32_t>(parts.list.size());
    parts.list.push_back(encode_one(text, type_id, parse_special, ids_only, *loan.work));
  }
  if (post_processor) post_processor->apply(parts, add_special_tokens);
  return joined(std::move(parts));
}

std::vector<Encoding> TokenizerImpl::encode_windows(std::span<const std::span<const std::string_view>> texts,
                                                    bool words, const EncodeOptions& options) const {
  std::vector<Encoding> encoded;
  {
    const Loan loan(pool_);
    for (const auto& text : texts) {
      Encoding whole;
      const auto type_id = static_cast<int32_t>(encoded.size());
      for (size_t i = 0; i < text.size(); ++i) {
        Encoding part = encode_one(text[i], type_id, options.parse_special, false, *loan.work);
        if (words) std::fill(part.word_ids.begin(), part.word_ids.end(), static_cast<int32_t>(i));
        append(whole, part);
      }
      encoded.push_back(std::move(whole));
    }
  }
  std::vector<Encoding> out;
  for (Windows& window : cut_to_length(std::move(encoded), options)) {
    Parts parts{std::move(window.list), std::move(window.overflow), false};
    if (post_processor) post_processor->apply(parts, options.add_special_tokens);
    out.push_back(joined(std::move(parts)));
  }
  return out;
}

std::vector<Windows> TokenizerImpl::cut_to_length(std::vector<Encoding> texts, const EncodeOptions& options) const {
  const auto most = options.max_length ? options.max_length : model_max_length;
  if (options.truncation == Truncation::none || !most) {
    const size_t count = texts.size();
    return {{std::move(texts), std::vector<bool>(count)}};
  }
  const int64_t added_tokens = options.add_special_tokens ? added_token_count(texts.size() > 1) : 0;
  if (*most < added_tokens || options.stride < 0)
    fail(ErrorCode::usage, "tokenizer: max_length {} with stride {}; the tokenizer adds {} tokens to each text", *most,
         options.stride, added_tokens);
  const Side side = options.truncation_side.value_or(truncation_side == "left" ? Side::left : Side::right);
  return truncated(std::move(texts), options.truncation, *most - added_tokens, options.stride, side, options.overflow);
}

int64_t TokenizerImpl::added_token_count(bool pair) const {
  Parts parts{std::vector<Encoding>(pair ? 2 : 1), {}, true};
  if (post_processor) post_processor->apply(parts, true);
  return static_cast<int64_t>(joined(std::move(parts)).ids.size());
}

void TokenizerImpl::pad(std::span<Encoding> encodings, const PaddingOptions& options) const {
  size_t length = static_cast<size_t>(std::max<int64_t>(options.length, 0));
  if (options.length <= 0)
    for (const Encoding& e : encodings) length = std::max(length, e.ids.size());
  if (options.multiple_of > 1) {
    const auto unit = static_cast<size_t>(options.multiple_of);
    length = (length + unit - 1) / unit * unit;
  }
  const Side side = options.side.value_or(padding_side == "left" ? Side::left : Side::right);
  PadToken token{options.id.value_or(ids.pad.value_or(0)), pad_type_id, {}};
  token.token = token_text(token.id).value_or("");
  for (Encoding& e : encodings) text::pad(e, length, token, side);
}

Encoding TokenizerImpl::encode_one(std::string_view text, int32_t type_id, bool parse_special, bool ids_only,
                                   Workspace& work) const {
  std::string repaired;
  if (!unicode::is_valid(text)) text = repaired = unicode::to_valid(text);
  Encoding out;
  if (text.empty()) return out;
  work.pieces.reset(text, !ids_only || needs_origins_);
  cut(work.pieces, parse_special);
  if (ids_only)
    add_ids(work, out);
  else
    add_tokens(work, text, out);
  if (ids_only) return out;
  out.type_ids.assign(out.ids.size(), type_id);
  out.sequence_ids.assign(out.ids.size(), type_id);
  out.special_tokens_mask.assign(out.ids.size(), 0);
  out.attention_mask.assign(out.ids.size(), 1);
  return out;
}

void TokenizerImpl::cut(Pieces& pieces, bool parse_special) const {
  added.cut(pieces, false, parse_special);
  if (normalizer) normalizer->apply(pieces);
  // Pieces begin where their first normalized character comes from.
  if (normalizer) pieces.cut([](std::string_view piece, auto&& emit) { emit(0, piece.size()); });
  added.cut(pieces, true, parse_special);
  if (pre_tokenizer) pre_tokenizer->apply(pieces);
}

void TokenizerImpl::add_ids(Workspace& work, Encoding& out) const {
  work.tokens.clear();
  for (const Piece& piece : work.pieces.list()) {
    if (piece.id >= 0)
      work.tokens.push_back({piece.id, 0, 0});
    else
      model->tokenize(work.pieces.text(piece), work, work.tokens);
  }
  out.ids.reserve(work.tokens.size());
  for (const Token& token : work.tokens) out.ids.push_back(token.id);
}

void TokenizerImpl::add_tokens(Workspace& work, std::string_view input, Encoding& out) const {
  CharacterOffsets characters(input);
  const auto add_offsets = [&](Span span) {
    out.offsets.emplace_back(characters.at(span.begin), characters.at(span.end));
  };
  int32_t word = -1;
  for (const Piece& piece : work.pieces.list()) {
    if (piece.begin == piece.end) continue;
    ++word;
    if (piece.id >= 0) {
      out.ids.push_back(piece.id);
      out.word_ids.push_back(word);
      out.tokens.emplace_back(shows_vocabulary ? *token_text(piece.id) : work.pieces.text(piece));
      add_offsets(work.pieces.span(piece.begin, piece.end));
      continue;
    }
    work.tokens.clear();
    model->tokenize(work.pieces.text(piece), work, work.tokens);
    for (const Token& token : work.tokens) {
      out.ids.push_back(token.id);
      out.word_ids.push_back(word);
      out.tokens.emplace_back(model->token_text(work.pieces.text(piece), token));
      const size_t begin = std::min(piece.begin + token.begin, piece.end - 1);
      add_offsets(work.pieces.span(begin, std::clamp<size_t>(piece.begin + token.end, begin + 1, piece.end)));
    }
  }
}

std::optional<std::string_view> TokenizerImpl::token_text(int32_t id) const {
  if (const AddedToken* token = added.find(id)) return token->content;
  const std::string_view text = model->vocabulary().text(id);
  return text.data() ? std::optional(text) : std::nullopt;
}

std::string_view TokenizerImpl::decoded_token(int32_t id, bool skip_special_tokens) const {
  if (skip_special_tokens && is_special(id)) return {};
  return token_text(id).value_or(std::string_view());
}

std::optional<int32_t> TokenizerImpl::token_id(std::string_view token) const {
  if (const AddedToken* known = added.find(token)) return known->id;
  const int32_t id = model->vocabulary().find(token);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

int32_t TokenizerImpl::vocab_size() const {
  return std::max(static_cast<int32_t>(model->vocabulary().limit()), added.limit());
}

bool TokenizerImpl::is_special(int32_t id) const {
  const AddedToken* token = added.find(id);
  return token && token->special;
}

// A decoder may treat the first token of a text differently, so others are decoded behind one that is harmless.
std::string TokenizerImpl::token_bytes(int32_t id) const {
  const std::string_view text = decoded_token(id, false);
  if (text.data() == nullptr) return {};
  std::string bytes;
  if (decoder && decoder->is_byte_level()) {
    append_spelled_bytes(bytes, text);
    return bytes;
  }
  if (text.size() == 6 && text.starts_with("<0x") && text.ends_with(">"))
    return std::string(1, static_cast<char>(std::stoi(std::string(text.substr(3, 2)), nullptr, 16)));
  const auto before = token_id("a").value_or(id);
  const int32_t pair[] = {before, id};
  const std::string first = decode(std::span(pair).first(1), false, false), both = decode(pair, false, false);
  return both.starts_with(first) ? both.substr(first.size()) : both;
}

std::string TokenizerImpl::decode(std::span<const int32_t> token_ids, bool skip_special_tokens, bool clean_up) const {
  std::string text;
  if (decoder && decoder->is_byte_level()) {
    for (const int32_t id : token_ids) append_spelled_bytes(text, decoded_token(id, skip_special_tokens));
    if (!unicode::is_valid(text)) text = unicode::to_valid(text);
  } else {
    std::vector<std::string> tokens;
    for (const int32_t id : token_ids) {
      const std::string_view token = decoded_token(id, skip_special_tokens);
      if (token.data()) tokens.emplace_back(token);
    }
    if (decoder) decoder->apply(tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (!decoder && i > 0) text.push_back(' ');
      text += tokens[i];
    }
  }
  return clean_up ? text::clean_up_spaces(std::move(text)) : text;
}

}  // namespace mynah::text
