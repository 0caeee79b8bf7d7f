// Classes that exist in the reference only in their older, slower form: they call the SentencePiece library (Marian,
// M2M-100, SpeechT5, Speech2Text, SigLIP, BertGeneration) or spell characters (wav2vec 2.0, VITS) or bytes (ByT5).
#include <algorithm>
#include <unordered_set>

#include "base/require.h"
#include "text/bpe_files.h"
#include "text/json_cursor.h"
#include "text/json_fields.h"
#include "text/language_codes.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_classes.h"

namespace mynah::text {
namespace {

using Texts = std::unordered_set<std::string>;

// Tokens to text as these classes do it: runs of tokens are joined, tokens that were added to the vocabulary stand
// apart.
class RunDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    bool first = true;
    const auto part = [&](const std::string& text) {
      if (!first) all.push_back(' ');
      first = false;
      all += text;
    };
    std::vector<std::string> run;
    const auto flush = [&](bool last) {
      if (run.empty()) return;
      const std::string text = joined(run);
      if (last || !text.empty()) part(text);
      run.clear();
    };
    for (std::string& token : tokens) {
      if (apart.contains(token)) {
        flush(false);
        part(token);
      } else {
        run.push_back(std::move(token));
      }
    }
    flush(true);
    tokens.assign(1, std::move(all));
  }

  Texts special, apart;

 protected:
  virtual std::string joined(const std::vector<std::string>& tokens) const = 0;
};

// Special tokens stand between pieces that the SentencePiece library joins.
class PieceDecoder : public RunDecoder {
 public:
  struct Style {
    const char *before_run = "", *behind = "";  // what surrounds special tokens
    bool marks_are_spaces = false;              // also in what is no piece
  };
  PieceDecoder(const SentencePieceFile& file, Style style) : pieces_(file), style_(style) {}

 protected:
  std::string joined(const std::vector<std::string>& tokens) const override {
    std::string text;
    std::vector<std::string> run;
    bool after_special = false;
    for (const std::string& token : tokens) {
      if (!special.contains(token)) {
        run.push_back(token);
        after_special = false;
        continue;
      }
      if (!after_special) text += style_.before_run;
      text += pieces_.decode(run);
      text += token;
      text += style_.behind;
      run.clear();
      after_special = true;
    }
    text += pieces_.decode(run);
    std::string spaced;
    each_character(text, 0, text.size(), [&](char32_t code, size_t, uint32_t) {
      unicode::append(spaced, code == 0x2581 && style_.marks_are_spaces ? U' ' : code);
    });
    return std::string(unicode::stripped(spaced));
  }

 private:
  SentencePieceText pieces_;
  Style style_;
};

// Characters below U+0100 are bytes; bytes that are no UTF-8 vanish.
class ByteText : public RunDecoder {
 protected:
  std::string joined(const std::vector<std::string>& tokens) const override {
    std::string bytes, text;
    for (const std::string& token : tokens) {
      uint32_t size = 0;
      const char32_t code = token.empty() ? 256 : unicode::decode_valid(token.data(), size);
      if (code < 256 && size == token.size())
        bytes.push_back(static_cast<char>(code));
      else
        bytes += token;
    }
    for (size_t at = 0; at < bytes.size();) {
      const unicode::Decoded d = unicode::decode_any(bytes, at);
      if (d.valid) text.append(bytes, at, d.size);
      at += d.size;
    }
    return text;
  }
};

// Adds the tokens that the decoder must know by their text.
void finish_decoder(const TokenizerFolder& folder, Description& d, size_t vocabulary_size) {
  auto* decoder = static_cast<RunDecoder*>(d.impl->decoder.get());
  const auto add_special = [&](const GivenToken& token) { decoder->special.insert(token.content); };
  for (const auto& token : folder.special.named)
    if (token) add_special(*token);
  for (const GivenToken& token : folder.special.additional) {
    add_special(token);
    const auto id = d.impl->token_id(token.content);
    if (id && static_cast<size_t>(*id) >= vocabulary_size) decoder->apart.insert(token.content);
  }
  for (const GivenToken& token : folder.special.added)
    if (!decoder->special.contains(token.content)) decoder->apart.insert(token.content);
}

Vocabulary own_vocabulary(const SentencePieceFile& file) {
  Vocabulary vocabulary(file.pieces.size());
  for (size_t id = 0; id < file.pieces.size(); ++id) vocabulary.insert(file.pieces[id].text, static_cast<int64_t>(id));
  return vocabulary;
}

int32_t unknown_of(const TokenizerFolder& folder, const Vocabulary& vocabulary) {
  const int32_t id = vocabulary.find(folder.special.text(Role::unk));
  if (id < 0)
    fail(ErrorCode::integrity, "{}: the unknown token '{}' is not in the vocabulary", folder.path.string(),
         shown(folder.special.text(Role::unk)));
  return id;
}

std::string language_token(std::string_view code) { return "__" + std::string(code) + "__"; }

SentencePieceSpaces spaces_of(const SentencePieceFile& file) {
  return {.add_dummy_prefix = file.add_dummy_prefix, .remove_extra = file.remove_extra_whitespaces};
}

Description describe_own(TokenizerFolder& folder, const char* name, PieceDecoder::Style style) {
  Description out;
  const SentencePieceFile file = read_sentencepiece(folder.map(name), folder.where(name));
  if (file.unk_id < 0 || static_cast<size_t>(file.unk_id) >= file.pieces.size())
    fail(ErrorCode::integrity, "{}: unk_id {} of {} pieces", folder.where(name), file.unk_id, file.pieces.size());
  out.impl->normalizer = std::make_unique<SentencePieceNormalizer>(file, spaces_of(file));
  out.impl->model = std::make_unique<SentencePieceModel>(file, own_vocabulary(file), file.unk_id);
  out.impl->decoder = std::make_unique<PieceDecoder>(file, style);
  out.impl->shows_vocabulary = true;
  return out;
}

// Pieces of a SentencePiece model under the ids of vocab.json.
Description describe_renumbered(TokenizerFolder& folder, const char* name, const char* target,
                                PieceDecoder::Style style, bool leading_code = false,
                                std::span<const std::string_view> languages = {}) {
  Description out;
  const SentencePieceFile file = read_sentencepiece(folder.map(name), folder.where(name));
  Vocabulary vocabulary = read_vocabulary(folder.map("vocab.json"), folder.where("vocab.json"), out.impl->arena);
  for (int64_t id = static_cast<int64_t>(vocabulary.limit()); const std::string_view code : languages)
    vocabulary.insert(out.impl->arena.keep(language_token(code)), id++);
  const int32_t unknown = unknown_of(folder, vocabulary);
  SentencePieceSpaces spaces = spaces_of(file);
  spaces.leading_code = leading_code;
  out.impl->normalizer = std::make_unique<SentencePieceNormalizer>(file, spaces);
  out.impl->model = std::make_unique<SentencePieceModel>(file, std::move(vocabulary), unknown,
                                                         SentencePieceHabits{.leading_code = leading_code});
  out.impl->decoder =
      target && folder.has(target)
          ? std::make_unique<PieceDecoder>(read_sentencepiece(folder.map(target), folder.where(target)), style)
          : std::make_unique<PieceDecoder>(file, style);
  out.impl->shows_vocabulary = true;
  return out;
}

Description describe_speecht5(TokenizerFolder& folder) {
  return describe_own(folder, "spm_char.model", {.before_run = " "});
}
Description describe_bert_generation(TokenizerFolder& folder) { return describe_own(folder, "spiece.model", {}); }

// Languages have ids behind the vocabulary; they are not looked for in the text.
Description describe_m2m100(TokenizerFolder& folder) {
  const bool wmt = folder.text("language_codes", "m2m100") == "wmt21";
  return describe_renumbered(folder, "sentencepiece.bpe.model", nullptr, {}, false,
                             wmt ? wmt21_codes() : m2m100_codes());
}
Description describe_speech_to_text(TokenizerFolder& folder) {
  return describe_renumbered(folder, "sentencepiece.bpe.model", nullptr, {.behind = " "});
}
Description describe_marian(TokenizerFolder& folder) {
  return describe_renumbered(folder, "source.spm", "target.spm", {.behind = " ", .marks_are_spaces = true}, true);
}

// ASCII punctuation goes, white space is one space and none at the ends, letters are small.
class Canonical : public Normalizer {
 public:
  Canonical(const SentencePieceFile& file, bool lower)
      : pieces_(file, {.add_dummy_prefix = false, .remove_extra = file.remove_extra_whitespaces, .keep_leading = true}),
        lower_(lower) {}
  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces, piece, out); });
    pieces_.apply(pieces);
  }

 private:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const {
    constexpr size_t kNone = SIZE_MAX;
    size_t space = kNone;
    bool any = false;
    if (piece.origin == 0 && piece.begin < piece.end) {
      out.put_text("\xE2\x96\x81", piece.begin);
      any = true;
    }
    std::array<char32_t, 2> lower;
    each_character(pieces.text(), piece.begin, piece.end, [&](char32_t code, size_t at, uint32_t size) {
      if (code == 0x2581) code = ' ';
      if (unicode::is_python_space(code)) {
        if (space == kNone) space = at;
        return;
      }
      if (code < 0x80 && code > ' ' && !std::isalnum(static_cast<int>(code)) && code != 0x7F) return;
      if (space != kNone && any) out.put(' ', space);
      space = kNone;
      any = true;
      const int count = lower_ ? unicode::to_lower(code, lower) : 1;
      out.put(lower_ ? lower[0] : code, at);
      if (count > 1) out.insert(lower[1], at + size);
    });
  }

  SentencePieceNormalizer pieces_;
  bool lower_;
};

Description describe_siglip(TokenizerFolder& folder) {
  Description out = describe_own(folder, "spiece.model", {.before_run = " "});
  const SentencePieceFile file = read_sentencepiece(folder.map("spiece.model"), folder.where("spiece.model"));
  out.impl->normalizer = std::make_unique<Canonical>(file, folder.flag("do_lower_case", true));
  out.impl->model = std::make_unique<SentencePieceModel>(file, own_vocabulary(file), file.unk_id,
                                                         SentencePieceHabits{.prefix = folder.special.text(Role::unk)});
  return out;
}

// Every character is a token or unknown; with `blank`, token 0 stands around each.
class Characters : public Model {
 public:
  Characters(Vocabulary vocabulary, int32_t unk_id, bool blank)
      : vocabulary_(std::move(vocabulary)), unk_id_(unk_id), blank_(blank) {}
  void tokenize(std::string_view word, Workspace&, std::vector<Token>& tokens) const override {
    each_character(word, 0, word.size(), [&](char32_t, size_t at, uint32_t size) {
      const auto begin = static_cast<uint32_t>(at);
      if (blank_) tokens.push_back({0, begin, begin + size});
      const int32_t id = vocabulary_.find(word.substr(at, size));
      tokens.push_back({id >= 0 ? id : unk_id_, begin, begin + size});
    });
    if (blank_ && !word.empty()) {
      const auto end = static_cast<uint32_t>(word.size());
      tokens.push_back({0, end - 1, end});
    }
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  int32_t unk_id_;
  bool blank_;
};

// Bytes as tokens behind three special ones.
class Bytes : public Model {
 public:
  Bytes(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  void tokenize(std::string_view word, Workspace&, std::vector<Token>& tokens) const override {
    for (uint32_t at = 0; at < word.size(); ++at)
      tokens.push_back({3 + static_cast<int32_t>(static_cast<unsigned char>(word[at])), at, at + 1});
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
};

class Upper : public Normalizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) {
      each_character(pieces.text(), piece.begin, piece.end, [&](char32_t code, size_t at, uint32_t size) {
        std::array<char32_t, 2> lower;
        const int count = unicode::to_lower(code, lower);
        if (lower[0] == 0xDF) lower = {U's', U's'};
        out.put(unicode::to_upper(lower[0]), at);
        if (count > 1 || code == 0xDF) out.insert(unicode::to_upper(lower[1]), at + size);
      });
    });
  }
};

// Repetitions are one character, pads separate them, the delimiter is a space.
class CtcText : public Decoder {
 public:
  CtcText(std::string pad, std::string delimiter, std::string space, bool lower)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), space_(std::move(space)), lower_(lower) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    std::string text;
    for (const std::string& token : tokens)
      if (token != pad_) text += token == delimiter_ ? space_ : token;
    text = std::string(unicode::stripped(text));
    tokens.assign(1, lower_ ? unicode::to_lower(text) : text);
  }

 private:
  std::string pad_, delimiter_, space_;
  bool lower_;
};

Description describe_ctc(TokenizerFolder& folder) {
  Description out;
  std::string_view source = folder.map("vocab.json");
  if (const std::string language = folder.text("target_lang", ""); !language.empty()) {
    JsonCursor cursor(source, folder.where("vocab.json"));
    std::string_view found;
    cursor.each_member(out.impl->arena, [&](std::string_view key) {
      const std::string_view value = cursor.skip_value();
      if (key == language) found = value;
    });
    if (found.empty())
      fail(ErrorCode::integrity, "{}: no vocabulary for the language '{}'", folder.where("vocab.json"),
           shown(language));
    source = found;
  }
  Vocabulary vocabulary = read_vocabulary(source, folder.where("vocab.json"), out.impl->arena);
  const int32_t unknown = unknown_of(folder, vocabulary);
  const std::string delimiter = folder.text("word_delimiter_token", "|");
  const bool lower = folder.flag("do_lower_case", false);
  out.impl->model = std::make_unique<Characters>(std::move(vocabulary), unknown, false);
  out.normalizer = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", delimiter}};
  if (lower) out.impl->normalizer = make_chain(std::make_unique<Upper>(), make_normalizer(out.normalizer));
  out.impl->decoder = std::make_unique<CtcText>(folder.special.text(Role::pad), delimiter,
                                                folder.text("replace_word_delimiter_char", " "), lower);
  out.impl->shows_vocabulary = true;
  return out;
}

// Tokens of several characters are not spelled.
void adjust_ctc(const TokenizerFolder& folder, Description& d) {
  const Vocabulary& vocabulary = d.impl->model->vocabulary();
  const auto is_special = [&](std::string_view text) {
    const auto& named = folder.special.named;
    return std::any_of(named.begin(), named.end(), [&](const auto& t) { return t && t->content == text; });
  };
  for (size_t id = 0; id < vocabulary.limit(); ++id) {
    const std::string_view text = vocabulary.text(static_cast<int32_t>(id));
    if (!text.data() || unicode::count_characters(text) < 2) continue;
    AddedToken token;
    token.content = text;
    token.special = is_special(text);
    token.lstrip = token.rstrip = true;
    d.impl->added.add(std::move(token), vocabulary);
  }
}

// Small letters, except where the vocabulary has a capital one; characters without a token vanish.
class VitsText : public Normalizer {
 public:
  VitsText(const Vocabulary& vocabulary, bool romanian) : romanian_(romanian) {
    std::vector<std::pair<std::string_view, int64_t>> entries;
    for (size_t id = 0; id < vocabulary.limit(); ++id) {
      const std::string_view text = vocabulary.text(static_cast<int32_t>(id));
      if (!text.data()) continue;
      entries.emplace_back(text, static_cast<int64_t>(id));
      known_.insert(std::string(text));
    }
    tree_ = PrefixTree(std::move(entries));
  }
  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces, piece, out); });
  }

 private:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const {
    const std::string_view text = pieces.text(piece);
    std::vector<std::pair<char32_t, size_t>> kept;
    std::array<char32_t, 2> lower;
    std::string spelled;
    const auto keep = [&](char32_t code, size_t at) {
      if (romanian_ && code == 0x21B) code = 0x163;
      spelled.clear();
      unicode::append(spelled, code);
      if (known_.contains(spelled)) kept.emplace_back(code, at);
    };
    for (size_t at = 0; at < text.size();) {
      int64_t first = -1;
      size_t end = at;
      tree_.each(text, at, [&](size_t to, int64_t id) {
        if (first < 0 || id < first) {
          first = id;
          end = to;
        }
      });
      if (end > at) {
        each_character(text, at, end, [&](char32_t code, size_t place, uint32_t) { keep(code, place); });
        at = end;
        continue;
      }
      uint32_t size;
      const int count = unicode::to_lower(unicode::decode_valid(text.data() + at, size), lower);
      for (int i = 0; i < count; ++i) keep(lower[static_cast<size_t>(i)], at);
      at += size;
    }
    while (!kept.empty() && unicode::is_python_space(kept.back().first)) kept.pop_back();
    bool begun = false;
    for (const auto& [code, at] : kept) {
      begun |= !unicode::is_python_space(code);
      if (begun) out.put(code, piece.begin + at);
    }
  }

  bool romanian_;
  Texts known_;
  PrefixTree tree_;
};

class VitsDecoder : public Decoder {
 public:
  explicit VitsDecoder(bool blank) : blank_(blank) {}
  void apply(std::vector<std::string>& tokens) const override {
    std::string text;
    const bool skips = blank_ && tokens.size() > 1;
    for (size_t i = skips ? 1 : 0; i < tokens.size(); i += skips ? 2 : 1) text += tokens[i];
    tokens.assign(1, std::move(text));
  }

 private:
  bool blank_;
};

// Stands where text would have to be turned into phonemes.
class NeedsPhonemes : public Normalizer {
 public:
  explicit NeedsPhonemes(std::string where) : where_(std::move(where)) {}
  void apply(Pieces&) const override {
    fail(ErrorCode::failure, "{}: this tokenizer spells phonemes, not text; mynah speak and the task text-to-audio make them with espeak-ng", where_);
  }

 private:
  std::string where_;
};

Description describe_vits(TokenizerFolder& folder) {
  Description out;
  Vocabulary vocabulary = read_vocabulary(folder.map("vocab.json"), folder.where("vocab.json"), out.impl->arena);
  const int32_t unknown = unknown_of(folder, vocabulary);
  const bool blank = folder.flag("add_blank", true);
  if (folder.flag("phonemize", true)) out.impl->normalizer = std::make_unique<NeedsPhonemes>(folder.path.string());
  else if (folder.flag("normalize", true))
    out.impl->normalizer = std::make_unique<VitsText>(vocabulary, folder.text("language", "") == "ron");
  out.impl->model = std::make_unique<Characters>(std::move(vocabulary), unknown, blank);
  out.impl->decoder = std::make_unique<VitsDecoder>(blank);
  out.impl->shows_vocabulary = true;
  return out;
}

Description describe_byt5(TokenizerFolder& folder) {
  Description out;
  Vocabulary vocabulary(259);
  int64_t id = 0;
  for (const Role role : {Role::pad, Role::eos, Role::unk})
    vocabulary.insert(out.impl->arena.keep(folder.special.text(role)), id++);
  for (char32_t byte = 0; byte < 256; ++byte) {
    std::string text;
    unicode::append(text, byte);
    vocabulary.insert(out.impl->arena.keep(std::move(text)), id++);
  }
  out.impl->model = std::make_unique<Bytes>(std::move(vocabulary));
  out.impl->decoder = std::make_unique<ByteText>();
  out.impl->shows_vocabulary = true;
  return out;
}

// Post-processors.

void adjust_closing(const TokenizerFolder& folder, Description& d) {
  const std::string& eos = folder.special.text(Role::eos);
  if (const auto id = d.impl->token_id(eos)) d.impl->post_processor = make_closing({*id, eos});
}

void adjust_eos(const TokenizerFolder& folder, Description& d) {
  const std::string& eos = folder.special.text(Role::eos);
  d.post_processor = template_json({"$A", eos}, {"$A", "$B", eos}, *d.impl);
  finish_decoder(folder, d, d.impl->model->vocabulary().count());
}
void adjust_siglip(const TokenizerFolder& folder, Description& d) {
  adjust_closing(folder, d);
  finish_decoder(folder, d, d.impl->model->vocabulary().count());
}
void adjust_plain(const TokenizerFolder& folder, Description& d) {
  finish_decoder(folder, d, d.impl->model->vocabulary().count());
}

void adjust_m2m100(const TokenizerFolder& folder, Description& d) {
  const std::string language = language_token(folder.text("src_lang", "en")), eos = folder.special.text(Role::eos);
  d.post_processor = template_json({language, "$A", eos}, {language, "$A", "$B", eos}, *d.impl);
  finish_decoder(folder, d, d.impl->model->vocabulary().count());
}

void complete_byt5(TokenizerFolder& folder) {
  if (folder.special.has_additional) return;
  const int64_t count = integer_field(folder.config, "extra_ids", 125, 0, 100000);
  for (int64_t i = 0; i < (count > 0 ? count : 125); ++i)
    folder.special.additional.emplace_back().content = "<extra_id_" + std::to_string(i) + ">";
}
void complete_strips(TokenizerFolder& folder) {
  for (const Role role : {Role::pad, Role::eos, Role::unk}) {
    auto& token = folder.special.named[static_cast<size_t>(role)];
    if (!token || !token->plain) continue;
    token->plain = false;
    token->special = token->lstrip = token->rstrip = true;
    token->normalized = false;
  }
}
// Tokens of one character are found in the text as it is then spelled.
void complete_vits(TokenizerFolder& folder) {
  for (auto& token : folder.special.named) {
    if (!token || !token->plain || unicode::count_characters(token->content) != 1) continue;
    token->plain = false;
    token->normalized = true;
  }
}
void complete_byt5_all(TokenizerFolder& folder) {
  complete_byt5(folder);
  complete_strips(folder);
}

void adjust_byt5(const TokenizerFolder& folder, Description& d) {
  adjust_closing(folder, d);
  finish_decoder(folder, d, 256);
}

constexpr TokenizerClass kSlowClasses[] = {
    {"MarianTokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "source.spm",
     describe_marian,
     nullptr,
     adjust_eos},
    {"M2M100Tokenizer",
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "sentencepiece.bpe.model",
     describe_m2m100,
     nullptr,
     adjust_m2m100},
    {"Speech2TextTokenizer",
     {"<s>", "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "sentencepiece.bpe.model",
     describe_speech_to_text,
     nullptr,
     adjust_eos},
    {"SpeechT5Tokenizer",
     {"<s>", "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "spm_char.model",
     describe_speecht5,
     nullptr,
     adjust_eos},
    {"BertGenerationTokenizer",
     {"<s>", "</s>", "<unk>", "<::::>", "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "spiece.model",
     describe_bert_generation,
     nullptr,
     adjust_plain},
    {"SiglipTokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "</s>", nullptr, nullptr},
     MaskToken::as_given,
     "spiece.model",
     describe_siglip,
     complete_strips,
     adjust_siglip},
    {"Wav2Vec2CTCTokenizer",
     {"<s>", "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "vocab.json",
     describe_ctc,
     nullptr,
     adjust_ctc},
    {"VitsTokenizer",
     {nullptr, nullptr, "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "vocab.json",
     describe_vits,
     complete_vits},
    {"ByT5Tokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     nullptr,
     describe_byt5,
     complete_byt5_all,
     adjust_byt5},
};

}  // namespace

std::vector<const TokenizerClass*> slow_classes() {
  std::vector<const TokenizerClass*> all;
  for (const TokenizerClass& c : kSlowClasses) all.push_back(&c);
  return all;
}

}  // namespace mynah::text
