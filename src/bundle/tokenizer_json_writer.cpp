// The tokenizer of a GGUF file as tokenizer.json and tokenizer_config.json.
#include <algorithm>
#include <tuple>

#include "base/file.h"
#include "base/require.h"
#include "base/unicode.h"
#include "bundle/bundle.h"
#include "bundle/convert_tokenizer.h"
#include "bundle/gguf_pre_names.h"
#include "mynah/json.h"
#include "text/base64.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/space_mark.h"
#include "text/string_table.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

struct Writer {
  const GgufVocabulary& file;
  const Tokenizer& tokenizer;
  text::TextArena arena;
  text::Vocabulary vocabulary;  // a text that several ids have is the last one's, as it is when a GGUF file is opened

  Writer(const GgufVocabulary& v, const Tokenizer& t) : file(v), tokenizer(t), vocabulary(v.tokens.size()) {
    for (size_t id = 0; id < file.tokens.size(); ++id)
      vocabulary.insert(
          unicode::is_valid(file.tokens[id]) ? file.tokens[id] : arena.keep(unicode::to_valid(file.tokens[id])),
          static_cast<int64_t>(id));
  }

  int32_t type(size_t id) const { return id < file.types.size() ? file.types[id] : 1; }
  // Tokens that only fill the vocabulary up to the model's size are left out.
  bool written(size_t id) const {
    const std::string_view token = vocabulary.text(static_cast<int32_t>(id));
    return vocabulary.find(token) == static_cast<int32_t>(id) && !(type(id) == kUnused && token.starts_with("[PAD"));
  }
  std::string text(int32_t id) const { return std::string(vocabulary.text(id)); }
};

std::string quoted(std::string_view text) { return Json(text).dump(); }

Json escape_normalizer(bool space_prefix) {
  Json steps = Json::array();
  if (space_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", text::kSpaceMark}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", text::kSpaceMark}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json escape_decoder(bool space_prefix) {
  Json steps = Json::array();
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", text::kSpaceMark}}}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (space_prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json added_tokens(const Writer& w) {
  Json all = Json::array();
  for (size_t id = 0; id < w.file.tokens.size(); ++id) {
    const int32_t type = w.type(id);
    if (!w.written(id) || (type != kUnknown && type != kControl && type != kUserDefined)) continue;
    all.push_back({{"id", id},
                   {"content", w.text(static_cast<int32_t>(id))},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", type != kUserDefined}});
  }
  return all;
}

// What the tokenizer puts around a text.
Json post_processor(const Writer& w) {
  const auto bare = w.tokenizer.encode_ids("a", false), full = w.tokenizer.encode_ids("a", true);
  if (full.size() == bare.size()) return nullptr;
  const bool begins = !std::equal(bare.begin(), bare.end(), full.begin());
  const bool ends = full.size() == bare.size() + (begins ? 2 : 1) && !(begins && full.size() == bare.size() + 1);
  Json specials = Json::object(), single = Json::array(), pair = Json::array();
  const auto special = [&](Json* list, int32_t id, int sequence) {
    const std::string token = w.text(id);
    specials[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    list->push_back({{"SpecialToken", {{"id", token}, {"type_id", sequence}}}});
  };
  const auto around = [&](Json* list, int sequence) {
    if (begins) special(list, full.front(), sequence);
    list->push_back({{"Sequence", {{"id", sequence == 0 ? "A" : "B"}, {"type_id", sequence}}}});
    if (ends) special(list, full.back(), sequence);
  };
  around(&single, 0);
  around(&pair, 0);
  around(&pair, 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

using Merges = std::vector<std::pair<std::string_view, std::string_view>>;

Merges stored_merges(const Writer& w) {
  Merges all;
  for (const std::string_view merge : w.file.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) continue;
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    // The reader of tokenizer.json refuses a merge of tokens that are not there.
    const bool known = w.vocabulary.find(left) >= 0 && w.vocabulary.find(right) >= 0 &&
                       w.vocabulary.find(std::string(left) + std::string(right)) >= 0;
    if (known) all.emplace_back(left, right);
  }
  return all;
}

// Every way to put a token together from two tokens, the best score first: SentencePiece's rule as a list of merges.
Merges merges_of_scores(const Writer& w) {
  struct Merge {
    float score;
    int32_t left, right;
    std::string_view token;
    size_t cut;
  };
  // A longer token is not text, and its cuts would cost its size squared.
  constexpr size_t kLongest = 512;
  std::vector<Merge> all;
  for (size_t id = 0; id < w.file.tokens.size(); ++id) {
    const std::string_view token = w.vocabulary.text(static_cast<int32_t>(id));
    const int32_t type = w.type(id);
    if (!w.written(id) || type == kControl || type == kUnknown || token.size() > kLongest) continue;
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if (unicode::is_continuation(token[cut])) continue;
      const int32_t left = w.vocabulary.find(token.substr(0, cut)), right = w.vocabulary.find(token.substr(cut));
      if (left >= 0 && right >= 0) all.push_back({w.file.scores[id], left, right, token, cut});
    }
  }
  std::sort(all.begin(), all.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, a.left, a.right) < std::tuple(-b.score, b.left, b.right);
  });
  Merges merges;
  for (const Merge& m : all) merges.emplace_back(m.token.substr(0, m.cut), m.token.substr(m.cut));
  return merges;
}

// The parts of tokenizer.json around the model.
struct PieceShape {
  Json normalizer, pre_tokenizer, decoder;
  bool byte_fallback = false, ignore_merges = false;
};

// SentencePiece's normalizer in the words that the reference's converter has for it.
PieceShape shape_of_unigrams(const GgufVocabulary& file) {
  PieceShape s;
  Json normalizer = Json::array();
  if (!file.charsmap.empty())
    normalizer.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", text::encode_base64(file.charsmap)}});
  if (file.remove_extra_whitespaces.value_or(true)) {
    normalizer.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
    normalizer.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  }
  if (!normalizer.empty()) s.normalizer = {{"type", "Sequence"}, {"normalizers", normalizer}};
  s.pre_tokenizer = {{"type", "Metaspace"},
                     {"replacement", text::kSpaceMark},
                     {"prepend_scheme", file.add_space_prefix.value_or(true) ? "always" : "never"},
                     {"split", true}};
  s.decoder = s.pre_tokenizer;
  return s;
}

PieceShape shape_of(const GgufVocabulary& file) {
  if (file.model == "t5") return shape_of_unigrams(file);
  PieceShape s;
  const bool spm = file.model == "llama";
  const text::GgufPreTokenizer pre =
      spm ? text::GgufPreTokenizer() : text::gguf_pre_tokenizer(file.model == "gemma4" ? "gemma4" : file.pre);
  Json cuts = Json::array();
  for (const std::string& expression : pre.expressions)
    cuts.push_back({{"type", "Split"},
                    {"pattern", {{"Regex", with_literal_characters(expression)}}},
                    {"behavior", "Isolated"},
                    {"invert", false}});
  s.ignore_merges = pre.ignore_merges;
  s.byte_fallback = spm || pre.escapes_spaces;
  if (s.byte_fallback) {
    const bool prefix = file.add_space_prefix.value_or(spm);
    s.normalizer = escape_normalizer(prefix);
    s.decoder = escape_decoder(prefix);
  } else {
    const Json bytes = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
    cuts.push_back(bytes);
    s.decoder = bytes;
  }
  if (!cuts.empty()) s.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", cuts}};
  return s;
}

// The pieces with their scores; ids count them, so what only fills the vocabulary is left out at its end alone.
void write_unigrams(const Writer& w, AtomicFile* out) {
  size_t count = w.file.tokens.size();
  while (count > 0 && !w.written(count - 1)) --count;
  const auto unk = w.tokenizer.unk_id();
  out->write(",\n  \"model\": {\"type\": \"Unigram\", \"unk_id\": " + (unk ? std::to_string(*unk) : "null") +
             ", \"byte_fallback\": false, \"vocab\": [");
  for (size_t id = 0; id < count; ++id)
    out->write((id == 0 ? "\n[" : ",\n[") + quoted(w.vocabulary.text(static_cast<int32_t>(id))) + ", " +
               Json(as_written(w.file.scores[id])).dump() + "]");
  out->write("]}\n}\n");
}

void write_byte_pairs(const Writer& w, const PieceShape& shape, AtomicFile* out) {
  const bool scored = w.file.model == "llama";
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", shape.byte_fallback},
                {"ignore_merges", shape.ignore_merges}};
  if (const auto unk = w.tokenizer.unk_id(); unk && scored) model["unk_token"] = w.text(*unk);
  std::string head = model.dump();
  head.pop_back();  // the object goes on
  out->write(",\n  \"model\": " + head + ", \"vocab\": {");
  const char* comma = "\n";
  for (size_t id = 0; id < w.file.tokens.size(); ++id) {
    if (!w.written(id)) continue;
    out->write(comma + quoted(w.vocabulary.text(static_cast<int32_t>(id))) + ": " + std::to_string(id));
    comma = ",\n";
  }
  out->write("}, \"merges\": [");
  comma = "\n";
  for (const auto& [left, right] : scored ? merges_of_scores(w) : stored_merges(w)) {
    out->write(comma + ("[" + quoted(left) + ", " + quoted(right) + "]"));
    comma = ",\n";
  }
  out->write("]}\n}\n");
}

void write_tokenizer_json(const Writer& w, const fs::path& path) {
  const PieceShape shape = shape_of(w.file);
  AtomicFile out(path);
  out.write("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": " +
            added_tokens(w).dump());
  out.write(",\n  \"normalizer\": " + shape.normalizer.dump() +
            ",\n  \"pre_tokenizer\": " + shape.pre_tokenizer.dump());
  out.write(",\n  \"post_processor\": " + post_processor(w).dump() + ",\n  \"decoder\": " + shape.decoder.dump());
  if (w.file.model == "t5")
    write_unigrams(w, &out);
  else
    write_byte_pairs(w, shape, &out);
  out.commit();
}

void write_tokenizer_config(const Writer& w, const formats::GgufFile& file, const fs::path& path) {
  Json config = Json::object();
  for (const auto& [name, id] : {std::pair{"bos_token", w.tokenizer.bos_id()},
                                 {"eos_token", w.tokenizer.eos_id()},
                                 {"pad_token", w.tokenizer.pad_id()},
                                 {"unk_token", w.tokenizer.unk_id()},
                                 {"sep_token", w.tokenizer.sep_id()},
                                 {"cls_token", w.tokenizer.cls_id()},
                                 {"mask_token", w.tokenizer.mask_id()}})
    // A token named here is cut out of every text, which is true only of those that the file marks so.
    if (id && w.tokenizer.is_special(*id) && w.written(static_cast<size_t>(*id))) config[name] = w.text(*id);
  config["clean_up_tokenization_spaces"] = false;
  const int64_t context =
      file.get_int(file.get<std::string>("general.architecture", "") + ".context_length", 0, INT64_MAX, 0);
  if (context > 0) config["model_max_length"] = context;
  if (!w.file.chat_template.empty()) config["chat_template"] = w.file.chat_template;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  AtomicFile out(path);
  out.write(config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  out.commit();
}

}  // namespace

void tokenizer_to_folder(const formats::GgufFile& file, const fs::path& folder) {
  if (!file.find("tokenizer.ggml.model")) return;
  const GgufVocabulary vocabulary = gguf_vocabulary(file);
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  const Writer writer(vocabulary, *tokenizer);
  write_tokenizer_json(writer, folder / "tokenizer.json");
  write_tokenizer_config(writer, file, folder / "tokenizer_config.json");
}

}  // namespace mynah::bundle
