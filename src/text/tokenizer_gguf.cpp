// Tokenizers from the tokenizer.ggml.* keys of GGUF files.
#include <algorithm>

#include "base/require.h"
#include "mynah/json.h"
#include "text/bpe.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/json_fields.h"
#include "text/sentencepiece_model.h"
#include "text/spm_bpe.h"
#include "text/tokenizer_impl.h"
#include "text/word_piece.h"

namespace mynah::text {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

Vocabulary read_vocabulary(const GgufVocabulary& file, TextArena& arena) {
  Vocabulary vocabulary(file.tokens.size());
  for (size_t id = 0; id < file.tokens.size(); ++id) {
    const std::string_view token = file.tokens[id];
    vocabulary.insert(unicode::is_valid(token) ? token : arena.keep(unicode::to_valid(token)),
                      static_cast<int64_t>(id));
  }
  return vocabulary;
}

std::unique_ptr<Model> make_bpe(const GgufVocabulary& file, Vocabulary vocabulary, const GgufPreTokenizer& pre) {
  BpeOptions options;
  options.ignore_merges = pre.ignore_merges;
  options.byte_fallback = pre.escapes_spaces;
  auto bpe = std::make_unique<Bpe>(std::move(vocabulary), options, file.merges.size());
  size_t skipped = 0;
  for (const std::string_view merge : file.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || !bpe->add_merge(merge.substr(0, space), merge.substr(space + 1))) ++skipped;
  }
  // A file whose merges do not belong to its tokens would silently spell everything in bytes.
  if (skipped > file.merges.size() / 2)
    fail(ErrorCode::integrity, "GGUF: tokenizer.ggml.merges: {} of {} merges need tokens that are not there", skipped,
         file.merges.size());
  bpe->finish();
  return bpe;
}

std::optional<int32_t> valid_id(int32_t id, const Vocabulary& vocabulary) {
  return vocabulary.has(id) ? std::optional(id) : std::nullopt;
}

void read_named_ids(const GgufVocabulary& file, TokenizerImpl& out) {
  const Vocabulary& vocabulary = out.model->vocabulary();
  out.ids = {valid_id(file.bos_id, vocabulary), valid_id(file.eos_id, vocabulary), valid_id(file.pad_id, vocabulary),
             valid_id(file.unk_id, vocabulary), valid_id(file.sep_id, vocabulary), valid_id(file.cls_id, vocabulary),
             valid_id(file.mask_id, vocabulary)};
}

void read_special_tokens(const GgufVocabulary& file, TokenizerImpl& out) {
  for (size_t id = 0; id < std::min(file.types.size(), file.tokens.size()); ++id) {
    const int32_t type = file.types[id];
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    AddedToken token;
    token.content = out.model->vocabulary().text(static_cast<int32_t>(id));
    token.special = type != kUserDefined;
    out.added.add(std::move(token), out.model->vocabulary());
  }
}

// BERT: words begin with U+2581 in the file's vocabulary, where they begin with nothing in vocab.txt; the others
// continue.
void make_bert(const GgufVocabulary& file, TokenizerImpl& out, bool& add_bos, bool& add_sep) {
  Vocabulary vocabulary = read_vocabulary(file, out.arena);
  WordPieceOptions options;
  options.unk_token = vocabulary.text(file.unk_id);
  options.first_prefix = "\xE2\x96\x81";
  options.continuing_prefix = "";
  options.max_word_characters = 4096;
  out.model = std::make_unique<WordPiece>(std::move(vocabulary), std::move(options));
  out.normalizer = make_normalizer({{"type", "BertNormalizer"}});
  out.pre_tokenizer = make_pre_tokenizer({{"type", "BertPreTokenizer"}});
  out.decoder = make_spm_decoder(true);
  add_bos = add_sep = true;
}

// T5: SentencePiece's unigrams with its normalizer.
void make_unigram(const GgufVocabulary& file, TokenizerImpl& out) {
  if (file.scores.size() < file.tokens.size() || file.types.size() < file.tokens.size())
    fail(ErrorCode::integrity, "GGUF: tokenizer.ggml.scores and token_type have {} and {} numbers for {} tokens",
         file.scores.size(), file.types.size(), file.tokens.size());
  SentencePieceFile pieces;
  for (size_t id = 0; id < file.tokens.size(); ++id) {
    const std::string_view text = file.tokens[id];
    pieces.pieces.push_back({unicode::is_valid(text) ? text : out.arena.keep(unicode::to_valid(text)), file.scores[id],
                             static_cast<PieceType>(file.types[id])});
  }
  pieces.charsmap = file.charsmap;
  const SentencePieceSpaces spaces{.add_dummy_prefix = file.add_space_prefix.value_or(true),
                                   .remove_extra = file.remove_extra_whitespaces.value_or(true)};
  out.normalizer = std::make_unique<SentencePieceNormalizer>(pieces, spaces);
  out.model = std::make_unique<SentencePieceModel>(pieces, read_vocabulary(file, out.arena), file.unk_id);
  out.decoder = make_spm_decoder(spaces.add_dummy_prefix);
}

void make_model(const GgufVocabulary& file, TokenizerImpl& out, bool& add_bos, bool& add_sep) {
  if (file.model == "llama") {
    const bool space_prefix = file.add_space_prefix.value_or(true);
    if (file.scores.size() < file.tokens.size())
      fail(ErrorCode::integrity, "GGUF: tokenizer.ggml.scores has {} numbers for {} tokens", file.scores.size(),
           file.tokens.size());
    out.model = std::make_unique<SpmBpe>(read_vocabulary(file, out.arena), file.scores, file.unk_id);
    out.normalizer = make_space_escape(space_prefix);
    out.decoder = make_spm_decoder(space_prefix);
    add_bos = true;
    return;
  }
  if (file.model == "bert") return make_bert(file, out, add_bos, add_sep);
  if (file.model == "t5") return make_unigram(file, out);
  if (file.model != "gpt2" && file.model != "gemma4")
    fail(ErrorCode::failure, "GGUF: tokenizer.ggml.model '{}' is not known; gpt2, llama, bert and t5 are",
         shown(file.model));
  const GgufPreTokenizer pre = gguf_pre_tokenizer(file.model == "gemma4" ? "gemma4" : file.pre);
  out.model = make_bpe(file, read_vocabulary(file, out.arena), pre);
  std::vector<Pattern> patterns;
  for (const std::string& expression : pre.expressions) patterns.push_back(Pattern::regex(expression));
  out.pre_tokenizer = make_splits(std::move(patterns), !pre.escapes_spaces);
  if (pre.escapes_spaces) {
    out.normalizer = make_space_escape(file.add_space_prefix.value_or(false));
    out.decoder = make_spm_decoder(file.add_space_prefix.value_or(false));
  } else {
    out.decoder = make_byte_level_decoder();
  }
  add_bos = pre.add_bos;
  add_sep = pre.add_sep;
}

}  // namespace

std::unique_ptr<TokenizerImpl> load_gguf_vocabulary(const GgufVocabulary& file) {
  require(!file.tokens.empty(), "GGUF: tokenizer.ggml.tokens is missing; the file has no tokenizer");
  auto out = std::make_unique<TokenizerImpl>();
  out->owner = file.owner;
  bool add_bos = false, add_sep = false;
  make_model(file, *out, add_bos, add_sep);
  read_named_ids(file, *out);
  read_special_tokens(file, *out);
  const auto edge = [&](bool wanted, std::optional<int32_t> id) {
    return wanted && id ? Edge{*id, std::string(out->model->vocabulary().text(*id))} : Edge{};
  };
  const bool ends_with_sep = file.add_sep.value_or(add_sep);
  const Edge begin = edge(file.add_bos.value_or(add_bos), out->ids.bos ? out->ids.bos : out->ids.cls);
  const Edge end = edge(ends_with_sep || file.add_eos.value_or(file.model == "t5"),
                        ends_with_sep && out->ids.sep ? out->ids.sep : out->ids.eos);
  if (begin.id >= 0 || end.id >= 0) out->post_processor = make_edges(begin, end);
  if (!file.chat_template.empty()) out->chat_templates.emplace("default", file.chat_template);
  return out;
}

}  // namespace mynah::text
