#include "text/trainer.h"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/require.h"
#include "base/unicode.h"
#include "mynah/json.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/pieces.h"
#include "text/pre_tokenizer.h"

namespace mynah::text {
namespace {

// Words of the text as the tokenizer will see them.
std::vector<WordCount> count_words(const Json& normalizer_json, const Json& pre_tokenizer_json, const TextFeed& feed) {
  const auto normalizer = make_normalizer(normalizer_json);
  const auto pre_tokenizer = make_pre_tokenizer(pre_tokenizer_json);
  std::unordered_map<std::string, int64_t> counts;
  Pieces pieces;
  feed([&](std::string_view text) {
    pieces.reset(text, pre_tokenizer && pre_tokenizer->needs_origins());
    if (normalizer) normalizer->apply(pieces);
    if (pre_tokenizer) pre_tokenizer->apply(pieces);
    for (const Piece& piece : pieces.list()) ++counts[std::string(pieces.text(piece))];
  });
  std::vector<WordCount> words;
  for (auto& [word, count] : counts)
    if (!word.empty()) words.push_back({word, count});
  std::sort(words.begin(), words.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  require(!words.empty(), "tokenizer train: the text has no words");
  return words;
}

Json added_tokens(const std::vector<std::string>& tokens) {
  Json all = Json::array();
  for (size_t i = 0; i < tokens.size(); ++i)
    all.push_back({{"id", i},
                   {"content", tokens[i]},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", true}});
  return all;
}

Json vocabulary_of(const std::vector<std::string>& tokens) {
  Json vocabulary = Json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary[tokens[i]] = i;
  return vocabulary;
}

Json bpe_model(const BpeTraining& trained, const Json& unk) {
  Json merges = Json::array();
  for (const auto& [left, right] : trained.merges) merges.push_back({left, right});
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unk},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", vocabulary_of(trained.vocabulary)},
          {"merges", merges}};
}

Json wordpiece_model(const BpeTraining& trained) {
  return {{"type", "WordPiece"},
          {"unk_token", "[UNK]"},
          {"continuing_subword_prefix", "##"},
          {"max_input_chars_per_word", 100},
          {"vocab", vocabulary_of(trained.vocabulary)}};
}

Json unigram_model(const std::vector<ScoredPiece>& pieces, size_t unk_id) {
  Json vocabulary = Json::array();
  for (const ScoredPiece& piece : pieces) vocabulary.push_back({piece.text, piece.score});
  return {{"type", "Unigram"}, {"unk_id", unk_id}, {"vocab", vocabulary}, {"byte_fallback", false}};
}

// Characters by code point; beyond the limit the rarest go.
BpeTraining characters(const TrainerOptions& o, const TextFeed& feed) {
  std::map<char32_t, int64_t> counts;
  feed([&](std::string_view text) { each_character(text, 0, text.size(), [&](char32_t code, size_t, uint32_t) { ++counts[code]; }); });
  require(!counts.empty(), "tokenizer train: the text has no characters");
  std::vector<std::pair<int64_t, char32_t>> by_count;
  for (const auto& [code, count] : counts) by_count.emplace_back(-count, code);
  std::sort(by_count.begin(), by_count.end());
  const auto room = static_cast<size_t>(std::max<int64_t>(0, o.vocab_size - static_cast<int64_t>(o.special_tokens.size())));
  by_count.resize(std::min(by_count.size(), room));
  std::vector<char32_t> kept;
  for (const auto& [count, code] : by_count) kept.push_back(code);
  std::sort(kept.begin(), kept.end());
  BpeTraining out;
  out.vocabulary = o.special_tokens;
  for (const char32_t code : kept) {
    std::string text;
    unicode::append(text, code);
    if (std::find(o.special_tokens.begin(), o.special_tokens.end(), text) == o.special_tokens.end()) out.vocabulary.push_back(text);
  }
  return out;
}

// The unknown token is among the special ones, the first unless it was named.
void ensure_token(std::vector<std::string>* tokens, const std::string& token) {
  if (std::find(tokens->begin(), tokens->end(), token) == tokens->end()) tokens->insert(tokens->begin(), token);
}

}  // namespace

Json train_tokenizer(const TrainerOptions& options, const TextFeed& feed) {
  TrainerOptions o = options;
  if (o.vocab_size <= 0) fail(ErrorCode::usage, "--vocab-size: {}, expected more than 0", o.vocab_size);
  if (o.min_frequency < 0) fail(ErrorCode::usage, "--min-frequency: {}, expected 0 or more", o.min_frequency);
  if (o.lowercase && o.type != "wordpiece") fail(ErrorCode::usage, "--lowercase: of --type wordpiece only, got {}", o.type);
  if (o.byte_level && o.type != "bpe") fail(ErrorCode::usage, "--byte-level: of --type bpe only, got {}", o.type);
  Json normalizer, pre_tokenizer, decoder, post_processor, model;
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}, {"split", true}};
  if (o.type == "char") {
    decoder = {{"type", "Fuse"}};
    model = bpe_model(characters(o, feed), nullptr);
  } else if (o.type == "bpe" && o.byte_level) {
    pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
    decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    const auto& bytes = byte_characters();
    model = bpe_model(train_bpe(count_words(normalizer, pre_tokenizer, feed), o, {bytes.begin(), bytes.end()}, ""), nullptr);
  } else if (o.type == "bpe") {
    ensure_token(&o.special_tokens, "<unk>");
    pre_tokenizer = decoder = metaspace;
    model = bpe_model(train_bpe(count_words(normalizer, pre_tokenizer, feed), o, {}, ""), "<unk>");
  } else if (o.type == "wordpiece") {
    if (o.special_tokens.empty()) o.special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    ensure_token(&o.special_tokens, "[UNK]");
    normalizer = {{"type", "BertNormalizer"}, {"clean_text", true}, {"handle_chinese_chars", true}, {"strip_accents", nullptr}, {"lowercase", o.lowercase}};
    pre_tokenizer = {{"type", "BertPreTokenizer"}};
    decoder = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
    const BpeTraining trained = train_bpe(count_words(normalizer, pre_tokenizer, feed), o, {}, "##");
    model = wordpiece_model(trained);
  } else if (o.type == "unigram") {
    ensure_token(&o.special_tokens, "<unk>");
    pre_tokenizer = decoder = metaspace;
    const auto unk = std::find(o.special_tokens.begin(), o.special_tokens.end(), "<unk>") - o.special_tokens.begin();
    model = unigram_model(train_unigram(count_words(normalizer, pre_tokenizer, feed), o), static_cast<size_t>(unk));
  } else {
    fail(ErrorCode::usage, "--type: \"{}\", expected bpe, wordpiece, unigram or char", o.type);
  }
  return {{"version", "1.0"},          {"truncation", nullptr},         {"padding", nullptr}, {"added_tokens", added_tokens(o.special_tokens)},
          {"normalizer", normalizer},  {"pre_tokenizer", pre_tokenizer}, {"post_processor", post_processor}, {"decoder", decoder},
          {"model", model}};
}

}  // namespace mynah::text
