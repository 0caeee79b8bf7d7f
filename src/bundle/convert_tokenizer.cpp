#include "bundle/convert_tokenizer.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/gguf_pre_names.h"
#include "bundle/some_of.h"
#include "formats/quote.h"
#include "mynah/json.h"
#include "text/base64.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/json_cursor.h"
#include "text/json_fields.h"
#include "text/sentencepiece_file.h"
#include "text/space_mark.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

// What tokenizer.json, or vocab.json with merges.txt, or a SentencePiece model says. A vocabulary is too large for a tree of JSON values.
struct Source {
  std::vector<std::shared_ptr<const MappedFile>> files;  // the views lie in them and in `arena`
  text::TextArena arena;
  text::Vocabulary vocabulary;
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  Json normalizer, pre_tokenizer, added_tokens;
  bool ignore_merges = false, word_piece = false;
  // Of unigrams: scores by id, and what a SentencePiece model says of texts (tokenizer.json has it among the steps of its normalizer).
  bool unigram = false, add_dummy_prefix = false, remove_extra_whitespaces = false;
  std::vector<float> scores;
  int64_t unk_id = -1;
  std::string charsmap;

  std::string_view map(const fs::path& path) {
    files.push_back(MappedFile::open(path));
    const auto bytes = files.back()->bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

void add_merge(Source* s, std::string_view line) {
  const size_t space = line.find(' ');
  if (!line.empty() && !line.starts_with("#version") && space != std::string_view::npos)
    s->merges.emplace_back(line.substr(0, space), line.substr(space + 1));
}

void read_merges(Source* s, std::string_view json, std::string_view where) {
  text::JsonCursor cursor(json, where);
  cursor.each_element([&] {
    if (cursor.peek() != '[') return add_merge(s, cursor.string(s->arena));
    std::vector<std::string_view> pair;
    cursor.each_element([&] { pair.push_back(cursor.string(s->arena)); });
    if (pair.size() != 2) fail(ErrorCode::integrity, "{}: a merge has {} tokens, expected 2", where, pair.size());
    s->merges.emplace_back(pair[0], pair[1]);
  });
}

void read_vocabulary(Source* s, std::string_view json, std::string_view where) {
  constexpr size_t kBytesPerEntry = 14;
  s->vocabulary = text::Vocabulary(json.size() / kBytesPerEntry);
  text::JsonCursor cursor(json, where);
  cursor.each_member(s->arena, [&](std::string_view token) { s->vocabulary.insert(token, cursor.integer()); });
}

void read_unigrams(Source* s, std::string_view json, std::string_view where) {
  constexpr size_t kBytesPerEntry = 20;
  s->vocabulary = text::Vocabulary(json.size() / kBytesPerEntry);
  text::JsonCursor cursor(json, where);
  cursor.each_element([&] {
    cursor.expect('[');
    s->vocabulary.insert(cursor.string(s->arena), static_cast<int64_t>(s->scores.size()));
    cursor.expect(',');
    s->scores.push_back(static_cast<float>(cursor.number()));
    cursor.expect(']');
  });
}

void read_model(Source* s, std::string_view json, std::string_view where) {
  std::string_view vocabulary, merges;
  Json type;
  bool byte_fallback = false;
  text::JsonCursor cursor(json, where);
  cursor.each_member(s->arena, [&](std::string_view key) {
    const std::string_view value = cursor.skip_value();
    if (key == "vocab") vocabulary = value;
    if (key == "merges") merges = value;
    if (key == "type") type = parse_json(value, where);
    if (key == "ignore_merges") s->ignore_merges = value == "true";
    if (key == "unk_id" && value != "null") s->unk_id = text::JsonCursor(value, where).integer();
    if (key == "byte_fallback") byte_fallback = value == "true";
  });
  s->word_piece = type == "WordPiece";
  s->unigram = type == "Unigram";
  if (!type.is_null() && type != "BPE" && !s->word_piece && !s->unigram)
    fail(ErrorCode::failure, "{}: tokenizer model {}, only BPE, WordPiece and Unigram have a GGUF form here", where, type.dump());
  if (s->unigram && byte_fallback) fail(ErrorCode::failure, "{}: unigrams that fall back to bytes have no GGUF form", where);
  if (s->unigram && !vocabulary.empty()) return read_unigrams(s, vocabulary, where);
  if (s->word_piece && !vocabulary.empty()) return read_vocabulary(s, vocabulary, where);
  if (vocabulary.empty() || merges.empty())
    fail(ErrorCode::integrity, "{}: the tokenizer model has no vocab or no merges", where);
  read_vocabulary(s, vocabulary, where);
  read_merges(s, merges, where);
}

void read_tokenizer_json(Source* s, const fs::path& path) {
  const std::string where = path.string();
  text::JsonCursor cursor(s->map(path), where);
  std::string_view model;
  cursor.each_member(s->arena, [&](std::string_view key) {
    const std::string_view value = cursor.skip_value();
    if (key == "model") model = value;
    for (const auto& [name, part] : {std::pair{"normalizer", &s->normalizer},
                                     {"pre_tokenizer", &s->pre_tokenizer},
                                     {"added_tokens", &s->added_tokens}})
      if (key == name) *part = parse_json(value, where);
  });
  if (model.empty()) fail(ErrorCode::integrity, "{}: the field 'model' is missing", where);
  read_model(s, model, where);
}

void read_vocab_and_merges(Source* s, const fs::path& folder) {
  read_vocabulary(s, s->map(folder / "vocab.json"), (folder / "vocab.json").string());
  const std::string_view lines = s->map(folder / "merges.txt");
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    std::string_view line = lines.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    add_merge(s, line);
    at = end + 1;
  }
  s->pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
}

void read_sentencepiece_model(Source* s, const fs::path& path) {
  const text::SentencePieceFile file = text::read_sentencepiece(s->map(path), path.string());
  if (file.model != text::SentencePieceFile::Model::unigram || file.byte_fallback)
    fail(ErrorCode::failure, "{}: of SentencePiece models only unigrams without bytes have a GGUF form here; a tokenizer.json beside it is read first", path.string());
  s->unigram = true;
  s->vocabulary = text::Vocabulary(file.pieces.size());
  for (const text::SentencePiece& piece : file.pieces) {
    s->vocabulary.insert(piece.text, static_cast<int64_t>(s->scores.size()));
    s->scores.push_back(piece.score);
  }
  s->unk_id = file.unk_id;
  s->charsmap = file.charsmap;
  s->add_dummy_prefix = file.add_dummy_prefix;
  s->remove_extra_whitespaces = file.remove_extra_whitespaces;
}

// A part of tokenizer.json as a list of steps.
std::vector<Json> steps(const Json& part, const char* list) {
  if (text::find_field(part, "type") == nullptr) return {};
  if (part["type"] != "Sequence") return {part};
  std::vector<Json> all;
  for (const Json& step : text::array_field(part, list))
    for (Json& inner : steps(step, list)) all.push_back(std::move(inner));
  return all;
}

bool has_step(const std::vector<Json>& all, const char* type) {
  return std::any_of(all.begin(), all.end(), [&](const Json& step) { return step["type"] == type; });
}

// The expressions at which a byte-level tokenizer cuts; nothing when it does something else too.
std::optional<std::vector<std::string>> expressions_of(const std::vector<Json>& pre_tokenizer) {
  std::vector<std::string> all;
  for (const Json& step : pre_tokenizer) {
    if (step["type"] == "ByteLevel") {
      if (text::bool_field(step, "use_regex", true)) all.push_back(text::gguf_pre_tokenizer("gpt-2").expressions[0]);
      // GGUF has no word for it.
      if (text::bool_field(step, "add_prefix_space", true)) return std::nullopt;
    } else if (step["type"] == "Digits") {
      all.emplace_back(text::bool_field(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (step["type"] == "Split") {
      const Json& pattern = text::need_field(step, "pattern");
      const std::string behavior = text::string_field(step, "behavior", "");
      // To keep the matches and to drop what lies between is the same where everything matches, as in cl100k's
      // expression.
      const bool cuts = text::bool_field(step, "invert", false) ? behavior == "Removed" : behavior == "Isolated";
      if (!cuts || !pattern.is_object() || !pattern.contains("Regex")) return std::nullopt;
      all.push_back(text::string_value(pattern["Regex"], "Regex"));
    } else {
      return std::nullopt;
    }
  }
  return all;
}

// What goes into the file, by id.
struct Target {
  std::string model, pre;
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::optional<bool> add_space_prefix, remove_extra_whitespaces;
  std::string charsmap;
  bool spaces_to_marks = false;  // tokens hold plain spaces, which readers of GGUF expect as marks
  bool add_bos = false, add_eos = false;
};

std::string with_marks(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == ' ' ? text::kSpaceMark : std::string_view(&c, 1);
  return out;
}

void add_tokens(const Source& s, const Tokenizer& tokenizer, int64_t vocab_size, const std::string& where, Target* t) {
  constexpr int64_t kMostUnused = 1 << 20;
  if (vocab_size < 1 || vocab_size > tokenizer.vocab_size() + kMostUnused)
    fail(ErrorCode::integrity, "convert: the model's vocab_size is {}, the tokenizer has {} tokens", vocab_size,
         tokenizer.vocab_size());
  for (int32_t id = 0; id < vocab_size; ++id) {
    const bool byte = t->model == "llama" && s.vocabulary.has(id) && s.vocabulary.text(id).size() == 6 &&
                      s.vocabulary.text(id).starts_with("<0x");
    t->tokens.emplace_back(s.vocabulary.text(id));
    t->types.push_back(!s.vocabulary.has(id) ? kUnused : byte ? kByte : kNormal);
  }
  std::vector<std::string> flagged;
  if (s.added_tokens.is_array())
    for (const Json& entry : s.added_tokens) {
      const std::string content = text::string_field(entry, "content", "");
      const auto id = tokenizer.token_id(content);
      if (!id || *id >= vocab_size) continue;
      for (const char* flag : {"lstrip", "rstrip", "single_word"})
        if (text::bool_field(entry, flag, false)) flagged.push_back(fmt::format("{} of {}", flag, formats::quote(content)));
      t->tokens[static_cast<size_t>(*id)] = content;
      t->types[static_cast<size_t>(*id)] = kUserDefined;
    }
  if (!flagged.empty())
    warn("{}: flags of added tokens have no place in a GGUF file, texts with spaces or letters beside them may get other ids: {}", where,
         some_of(flagged));
  for (int32_t id = 0; id < std::min<int64_t>(vocab_size, tokenizer.vocab_size()); ++id) {
    const auto i = static_cast<size_t>(id);
    // Special tokens may stand in tokenizer_config.json alone.
    if (!tokenizer.is_special(id)) continue;
    t->tokens[i] = tokenizer.token_text(id);
    t->types[i] = (t->model == "llama" || s.unigram) && tokenizer.unk_id() == id ? kUnknown : kControl;
  }
  if (s.unigram && s.unk_id >= 0 && s.unk_id < vocab_size) t->types[static_cast<size_t>(s.unk_id)] = kUnknown;
  for (size_t i = 0; i < t->tokens.size(); ++i) {
    if (t->types[i] == kUnused) t->tokens[i] = "[PAD" + std::to_string(i) + "]";
    if (t->spaces_to_marks && t->types[i] == kNormal) t->tokens[i] = with_marks(t->tokens[i]);
    // GGUF marks the pieces that begin a word, vocab.txt those that go on.
    if (t->model == "bert" && t->types[i] == kNormal)
      t->tokens[i] = t->tokens[i].starts_with("##") ? t->tokens[i].substr(2) : std::string(text::kSpaceMark) + t->tokens[i];
  }
}

void add_scores(const Source& s, Target* t) {
  constexpr float kScoreOfNothing = -10000;  // of places that only fill the vocabulary, as llama.cpp's converter has it
  t->scores = s.scores;
  t->scores.resize(t->tokens.size(), kScoreOfNothing);
}

void add_merges(const Source& s, int64_t vocab_size, Target* t) {
  const bool scored = t->model == "llama";
  if (scored) t->scores.assign(t->tokens.size(), 0.0f);
  std::vector<bool> ranked(t->tokens.size(), false);
  std::string whole;
  for (size_t rank = 0; rank < s.merges.size(); ++rank) {
    const auto& [left, right] = s.merges[rank];
    whole.assign(left).append(right);
    const int32_t id = s.vocabulary.find(whole);
    if (id < 0 || id >= vocab_size) continue;
    if (!scored)
      t->merges.push_back(std::string(left) + " " + std::string(right));
    else if (!ranked[static_cast<size_t>(id)])
      t->scores[static_cast<size_t>(id)] = -static_cast<float>(rank);
    ranked[static_cast<size_t>(id)] = true;
  }
  // SentencePiece would make every token out of any two neighbours; those without a merge come last.
  for (size_t i = 0; scored && i < t->tokens.size(); ++i)
    if (!ranked[i] && t->types[i] == kNormal) t->scores[i] = -static_cast<float>(s.merges.size() + i);
}

void choose_byte_level(const Source& s, const std::vector<Json>& pre_tokenizer, const std::string& where, Target* t) {
  t->model = "gpt2";
  for (const Json& step : steps(s.normalizer, "normalizers"))
    warn("{}: the normalizer {} has no place in a GGUF file; texts that it would change get other ids", where,
         step["type"].dump());
  const auto expressions = expressions_of(pre_tokenizer);
  if (expressions) t->pre = find_pre_name(*expressions, s.ignore_merges);
  if (!t->pre.empty()) return;
  t->pre = "default";
  warn("{}: how this tokenizer cuts words has no name in GGUF; written as 'default', ids may differ", where);
}

// SentencePiece's unigrams: its normalizer is a table of replacements and what happens to spaces.
void choose_unigrams(const Source& s, const std::string& where, Target* t) {
  t->model = "t5";
  t->pre = "default";
  t->charsmap = s.charsmap;
  t->add_space_prefix = s.add_dummy_prefix;
  t->remove_extra_whitespaces = s.remove_extra_whitespaces;
  const Json space = {{"String", " "}}, spaces = {{"Regex", " {2,}"}};
  for (const Json& step : steps(s.normalizer, "normalizers")) {
    const std::string type = step["type"].get<std::string>();
    const Json* pattern = text::find_field(step, "pattern");
    if (type == "Precompiled") {
      const auto table = text::decode_base64(text::string_field(step, "precompiled_charsmap", ""));
      if (!table) fail(ErrorCode::integrity, "{}: precompiled_charsmap is not base64", where);
      t->charsmap = *table;
    } else if (type == "Prepend") {
      t->add_space_prefix = true;
    } else if (type == "Strip" || (pattern && *pattern == spaces)) {
      t->remove_extra_whitespaces = true;
    } else if (!pattern || *pattern != space) {
      warn("{}: the normalizer {} has no place in a GGUF file; texts that it would change get other ids", where, step["type"].dump());
    }
  }
  for (const Json& step : steps(s.pre_tokenizer, "pretokenizers")) {
    if (step["type"] == "WhitespaceSplit")
      t->remove_extra_whitespaces = true;
    else if (step["type"] == "Metaspace")
      t->add_space_prefix = text::string_field(step, "prepend_scheme", "always") != "never" && text::bool_field(step, "add_prefix_space", true);
    else
      fail(ErrorCode::failure, "{}: pre-tokenizer {} of unigrams has no GGUF form", where, step["type"].dump());
  }
}

void choose_kind(const Source& s, const std::string& where, Target* t) {
  if (s.unigram) return choose_unigrams(s, where, t);
  if (s.word_piece) {
    t->model = "bert";
    t->pre = "default";
    return;
  }
  const auto pre_tokenizer = steps(s.pre_tokenizer, "pretokenizers"), normalizer = steps(s.normalizer, "normalizers");
  if (has_step(pre_tokenizer, "ByteLevel")) return choose_byte_level(s, pre_tokenizer, where, t);
  t->model = "llama";
  t->pre = "default";
  bool prefix = has_step(normalizer, "Prepend");
  for (const Json& step : pre_tokenizer) {
    // A space cannot come here any more once it is escaped.
    const bool nothing = step["type"] == "Split" && text::need_field(step, "pattern") == Json({{"String", " "}});
    if (step["type"] == "Metaspace")
      prefix = prefix || (text::string_field(step, "prepend_scheme", "always") != "never" &&
                          text::bool_field(step, "add_prefix_space", true));
    else if (!nothing)
      fail(ErrorCode::failure, "{}: pre-tokenizer {} without bytes has no GGUF form", where, step["type"].dump());
  }
  for (const Json& step : normalizer)
    if (step["type"] != "Prepend" && step["type"] != "Replace")
      fail(ErrorCode::failure, "{}: normalizer {} has no GGUF form", where, step["type"].dump());
  t->add_space_prefix = prefix;
  t->spaces_to_marks = !has_step(pre_tokenizer, "Metaspace") && !has_step(normalizer, "Replace");
}

// Texts whose ids show a mistake: digits, contractions, several scripts, runs of spaces, line ends.
constexpr std::string_view kProbe =
    "Hello world, it's 2024: we'LL sell 12345 + 67 = x_y{z}\n\n\t  (\xC3\xBC"
    "ber na\xC3\xAFve) \xE6\x9D\xB1\xE4\xBA\xAC \xD0\xB4\xD0\xBE\xD0\xBC \xF0\x9F\x91\x8D   end. ";

void compare(const Tokenizer& original, const Target& t, const Json& named, const std::string& where) {
  GgufVocabulary v;
  v.model = t.model;
  v.pre = t.pre;
  v.tokens.assign(t.tokens.begin(), t.tokens.end());
  v.merges.assign(t.merges.begin(), t.merges.end());
  v.scores = t.scores;
  v.types = t.types;
  v.unk_id = named.value("unknown", -1);
  v.add_space_prefix = t.add_space_prefix;
  v.remove_extra_whitespaces = t.remove_extra_whitespaces;
  v.charsmap = t.charsmap;
  if (Tokenizer::from_gguf(v)->encode_ids(kProbe, false) != original.encode_ids(kProbe, false))
    warn("{}: GGUF cannot say everything about this tokenizer; ids may differ", where);
}

Json json_if_there(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json::object(); }

void collect(const Json& value, int64_t vocab_size, std::vector<int64_t>* ids) {
  for (const Json& id : value.is_array() ? value : Json::array({value}))
    if (id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < vocab_size &&
        std::find(ids->begin(), ids->end(), id.get<int64_t>()) == ids->end())
      ids->push_back(id.get<int64_t>());
}

// Ids under the names that GGUF gives them: the tokenizer's own, else those of generation_config.json, else of
// config.json.
Json named_ids(const fs::path& folder, const Tokenizer* tokenizer, int64_t vocab_size) {
  const Json generation = json_if_there(folder / "generation_config.json"),
             config = json_if_there(folder / "config.json");
  const auto find = [&](std::optional<int32_t> own, const char* name) {
    std::vector<int64_t> ids;
    if (own && *own < vocab_size) ids.push_back(*own);
    for (const Json* file : {&generation, &config})
      if (const Json* value = text::find_field(*file, name)) {
        collect(*value, vocab_size, &ids);
        break;
      }
    return ids;
  };
  const auto own = [&](std::optional<int32_t> (Tokenizer::*id)() const) {
    return tokenizer ? (tokenizer->*id)() : std::nullopt;
  };
  Json named = Json::object();
  if (const auto ids = find(own(&Tokenizer::bos_id), "bos_token_id"); !ids.empty()) named["bos"] = ids[0];
  // More tokens that end an answer have keys of their own.
  const auto ends = find(own(&Tokenizer::eos_id), "eos_token_id");
  for (size_t i = 0; i < std::min<size_t>(ends.size(), 3); ++i)
    named[i == 0 ? "eos" : i == 1 ? "eot" : "eom"] = ends[i];
  if (const auto ids = find(own(&Tokenizer::pad_id), "pad_token_id"); !ids.empty()) named["padding"] = ids[0];
  for (const auto& [name, id] : {std::pair{"unknown", own(&Tokenizer::unk_id)},
                                 {"seperator", own(&Tokenizer::sep_id)},
                                 {"cls", own(&Tokenizer::cls_id)},
                                 {"mask", own(&Tokenizer::mask_id)}})
    if (id && *id < vocab_size) named[name] = *id;
  return named;
}

void write(const Target& t, const Tokenizer& tokenizer, formats::GgufWriter* w) {
  w->set("tokenizer.ggml.model", t.model);
  w->set("tokenizer.ggml.pre", t.pre);
  w->set_array("tokenizer.ggml.tokens", t.tokens);
  if (!t.scores.empty()) w->set_array("tokenizer.ggml.scores", t.scores);
  w->set_array("tokenizer.ggml.token_type", t.types);
  if (t.model == "gpt2") w->set_array("tokenizer.ggml.merges", t.merges);
  if (t.model != "bert") {  // whose texts always begin with [CLS] and end with [SEP]
    w->set("tokenizer.ggml.add_bos_token", t.add_bos);
    w->set("tokenizer.ggml.add_eos_token", t.add_eos);
  }
  if (t.add_space_prefix) w->set("tokenizer.ggml.add_space_prefix", *t.add_space_prefix);
  if (t.remove_extra_whitespaces) w->set("tokenizer.ggml.remove_extra_whitespaces", *t.remove_extra_whitespaces);
  if (!t.charsmap.empty()) w->set_array("tokenizer.ggml.precompiled_charsmap", std::vector<uint8_t>(t.charsmap.begin(), t.charsmap.end()));
  if (const std::string_view source = tokenizer.chat_template(); !source.empty())
    w->set("tokenizer.chat_template", source);
}

}  // namespace

void tokenizer_to_gguf(const fs::path& folder, int64_t vocab_size, formats::GgufWriter* writer) {
  const auto tokenizer = open_tokenizer(folder);
  const Json named = named_ids(folder, tokenizer.get(), vocab_size);
  for (const auto& [name, id] : named.items()) writer->set("tokenizer.ggml." + name + "_token_id", id.get<uint32_t>());
  if (!tokenizer) return;
  Source s;
  if (fs::exists(folder / "tokenizer.json"))
    read_tokenizer_json(&s, folder / "tokenizer.json");
  else if (fs::exists(folder / "spiece.model"))
    read_sentencepiece_model(&s, folder / "spiece.model");
  else
    read_vocab_and_merges(&s, folder);
  Target t;
  choose_kind(s, folder.string(), &t);
  add_tokens(s, *tokenizer, vocab_size, folder.string(), &t);
  if (s.unigram)
    add_scores(s, &t);
  else if (!s.word_piece)
    add_merges(s, vocab_size, &t);
  const auto bare = tokenizer->encode_ids("a", false), full = tokenizer->encode_ids("a", true);
  t.add_bos = full.size() > bare.size() && named.contains("bos") && full.front() == named["bos"].get<int32_t>();
  t.add_eos = full.size() > bare.size() && named.contains("eos") && full.back() == named["eos"].get<int32_t>();
  if (t.pre != "default" || t.model != "gpt2") compare(*tokenizer, t, named, folder.string());
  write(t, *tokenizer, writer);
}

}  // namespace mynah::bundle
