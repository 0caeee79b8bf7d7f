// Classes whose vocabulary is a SentencePiece model, as the reference's fast tokenizers use it: ALBERT, T5, XLM-R,
// BART's multilingual relatives, Pegasus, DeBERTa-v2, XLNet and others over unigrams; Llama and Gemma over byte pairs.
#include <algorithm>

#include "base/require.h"
#include "text/bpe_files.h"
#include "text/json_fields.h"
#include "text/language_codes.h"
#include "text/sentencepiece_file.h"
#include "text/space_mark.h"
#include "text/tokenizer_classes.h"
#include "text/unigram.h"

namespace mynah::text {
namespace {


// The vocabulary of a class: SentencePiece's pieces, perhaps renumbered.
struct PieceList {
  std::vector<std::pair<std::string_view, double>> list;
  std::optional<int32_t> unk_id;
};

void add_piece(PieceList& out, std::string_view text, double score = 0) { out.list.emplace_back(text, score); }
void append_from(PieceList& out, const SentencePieceFile& file, size_t first) {
  for (size_t i = first; i < file.pieces.size(); ++i) add_piece(out, file.pieces[i].text, file.pieces[i].score);
}

// Merges in the reference's order: every way to make a piece out of two, best score first, then those with the longer
// left part, then the longer right part.
MergeList make_merges(const PieceList& pieces, const Vocabulary& raw) {
  struct Ranked {
    double score;
    size_t left_size, right_size;
    std::string_view left, right;
  };
  std::vector<Ranked> all;
  std::vector<std::pair<std::pair<int32_t, int32_t>, Ranked>> local;
  // As in a dictionary: of equal texts the first gives the place, the last the score.
  StringTable place(pieces.list.size());
  std::vector<std::pair<std::string_view, double>> distinct;
  for (const auto& [text, score] : pieces.list) {
    const int32_t known = place.find(text);
    if (known >= 0) {
      distinct[static_cast<size_t>(known)].second = score;
    } else {
      place.insert(text, static_cast<int32_t>(distinct.size()));
      distinct.emplace_back(text, score);
    }
  }
  for (const auto& [text, score] : distinct) {
    local.clear();
    const size_t characters = unicode::count_characters(text);
    size_t left_size = 0;
    for (size_t at = 1; at < text.size(); ++at) {
      if (unicode::is_continuation(text[at])) continue;
      ++left_size;
      const std::string_view left = text.substr(0, at), right = text.substr(at);
      const int32_t left_id = raw.find(left), right_id = raw.find(right);
      if (left_id < 0 || right_id < 0) continue;
      local.push_back({{left_id, right_id}, {score, left_size, characters - left_size, left, right}});
    }
    std::stable_sort(local.begin(), local.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [ids, ranked] : local) all.push_back(ranked);
  }
  std::stable_sort(all.begin(), all.end(), [](const Ranked& a, const Ranked& b) {
    return std::tie(a.score, a.left_size, a.right_size) > std::tie(b.score, b.left_size, b.right_size);
  });
  MergeList merges;
  for (const Ranked& r : all) merges.emplace_back(r.left, r.right);
  return merges;
}

Vocabulary vocabulary_of(const PieceList& pieces) {
  Vocabulary vocabulary(pieces.list.size());
  for (size_t id = 0; id < pieces.list.size(); ++id) vocabulary.insert(pieces.list[id].first, static_cast<int64_t>(id));
  return vocabulary;
}

std::unique_ptr<Model> make_bpe_model(const SentencePieceFile& file, const PieceList& pieces, bool byte_fallback,
                                      bool gemma) {
  Vocabulary raw(file.pieces.size());
  for (size_t id = 0; id < file.pieces.size(); ++id) raw.insert(file.pieces[id].text, static_cast<int64_t>(id));
  if (gemma && raw.find("\t") < 0) raw.insert("\t", raw.find("<0x09>"));
  BpeOptions options;
  options.unk_token = file.unk_piece;
  options.fuse_unk = true;
  options.byte_fallback = byte_fallback;
  return make_bpe(vocabulary_of(pieces), make_merges(pieces, raw), std::move(options));
}

struct Options {
  bool byte_fallback = false, gemma = false;
  // The steps of the normalizer; null for those that most classes share.
  Json (*steps)(const TokenizerFolder&, const SentencePieceFile&) = nullptr;
};

void make_model(const SentencePieceFile& file, const PieceList& pieces, const std::string& where, Options options,
                Description& out) {
  if (file.model == SentencePieceFile::Model::bpe) {
    out.impl->model = make_bpe_model(file, pieces, options.byte_fallback, options.gemma);
  } else if (file.model == SentencePieceFile::Model::unigram) {
    std::vector<double> scores;
    for (const auto& piece : pieces.list) scores.push_back(piece.second);
    out.impl->model =
        std::make_unique<Unigram>(vocabulary_of(pieces), std::move(scores), pieces.unk_id, options.byte_fallback);
  } else {
    fail(ErrorCode::failure, "{}: a SentencePiece model of kind {}; this class reads unigram (1) and bpe (2)", where,
         static_cast<int32_t>(file.model));
  }
  for (const SentencePiece& piece : file.pieces) {
    if (piece.type != PieceType::control && piece.type != PieceType::user_defined) continue;
    AddedToken token;
    token.content = piece.text;
    token.special = piece.type == PieceType::control ||
                    (options.gemma && (piece.text == "<start_of_turn>" || piece.text == "<end_of_turn>"));
    out.impl->added.add(std::move(token), out.impl->model->vocabulary());
  }
}

Json replace(std::string_view what, std::string_view with) {
  return {{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", with}};
}
Json join_spaces(std::string_view with) {
  return {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", with}};
}
Json metaspace(const char* scheme) {
  return {{"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", scheme}, {"split", true}};
}
Json sequence(const char* list, Json steps) { return {{"type", "Sequence"}, {list, std::move(steps)}}; }

void append_charsmap(Json& steps, const SentencePieceFile& file) {
  if (file.charsmap.empty()) return;
  steps.push_back(
      {{"type", "Precompiled"}, {"precompiled_charsmap", Json::binary({file.charsmap.begin(), file.charsmap.end()})}});
}

const char* prepend_scheme(const TokenizerFolder& folder) {
  if (!folder.flag("add_prefix_space", true)) return "never";
  return folder.flag("legacy", true) ? "always" : "first";
}

Json usual_steps(const TokenizerFolder&, const SentencePieceFile& file) {
  Json steps = Json::array();
  append_charsmap(steps, file);
  steps.push_back({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}});
  steps.push_back(join_spaces(kSpaceMark));
  return steps;
}

// What most classes share. `numbered(file, arena)` gives the vocabulary.
template <class Numbered>
Description describe_pieces(TokenizerFolder& folder, const char* name, Numbered&& numbered, Options options = {}) {
  Description out;
  const std::string where = folder.where(name);
  const SentencePieceFile file = read_sentencepiece(folder.map(name), where);
  make_model(file, numbered(file, out.impl->arena), where, options, out);
  out.normalizer = sequence("normalizers", (options.steps ? options.steps : usual_steps)(folder, file));
  out.pre_tokenizer = metaspace("always");
  out.decoder = metaspace("always");
  return out;
}

PieceList as_they_are(const SentencePieceFile& file, TextArena&) {
  PieceList out;
  append_from(out, file, 0);
  out.unk_id = file.unk_id;
  return out;
}

// A comma behind a digit costs 100.
PieceList with_numbers_apart(const SentencePieceFile& file, TextArena& arena) {
  PieceList out = as_they_are(file, arena);
  for (auto& [text, score] : out.list) {
    if (!text.ends_with(',') || unicode::count_characters(text) < 2) continue;
    const size_t before = unicode::previous(text, text.size() - 1);
    uint32_t size;
    if (unicode::category(unicode::decode_valid(text.data() + before, size)) == unicode::Category::Nd) score -= 100;
  }
  return out;
}

// The order of fairseq's dictionaries.
PieceList fairseq(const SentencePieceFile& file, TextArena&) {
  PieceList out;
  for (const char* text : {"<s>", "<pad>", "</s>", "<unk>"}) add_piece(out, text);
  append_from(out, file, 3);
  out.unk_id = 3;
  return out;
}

PieceList fairseq_with_mask(const SentencePieceFile& file, TextArena& arena) {
  PieceList out = fairseq(file, arena);
  add_piece(out, "<mask>");
  return out;
}

constexpr const char* kSpiece = "spiece.model";
constexpr const char* kSpBpe = "sentencepiece.bpe.model";

// ALBERT and its like: quotation marks of the typewriter, accents off, small letters.
Json old_english(const TokenizerFolder& folder, bool lower, bool keep_accents) {
  Json steps = {replace("``", "\""), replace("''", "\"")};
  if (!folder.flag("keep_accents", keep_accents)) {
    steps.push_back({{"type", "NFKD"}});
    steps.push_back({{"type", "StripAccents"}});
  }
  if (folder.flag("do_lower_case", lower)) steps.push_back({{"type", "Lowercase"}});
  return steps;
}
Json finished(Json steps, const SentencePieceFile& file) {
  append_charsmap(steps, file);
  steps.push_back(join_spaces(" "));
  return steps;
}
Json albert_steps(const TokenizerFolder& folder, const SentencePieceFile& file) {
  return finished(old_english(folder, true, false), file);
}
Json fnet_steps(const TokenizerFolder& folder, const SentencePieceFile& file) {
  return finished(old_english(folder, false, true), file);
}
Json xlnet_steps(const TokenizerFolder& folder, const SentencePieceFile& file) {
  return finished(old_english(folder, false, false), file);
}
Json rembert_steps(const TokenizerFolder& folder, const SentencePieceFile& file) {
  Json steps = old_english(folder, false, true);
  steps.insert(steps.begin() + 2, join_spaces(" "));
  append_charsmap(steps, file);
  return steps;
}
Json deberta_v2_steps(const TokenizerFolder& folder, const SentencePieceFile& file) {
  Json steps = Json::array();
  if (folder.flag("do_lower_case", false)) steps.push_back({{"type", "Lowercase"}});
  steps.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  return finished(std::move(steps), file);
}

Description describe_albert(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpiece, with_numbers_apart, {.steps = albert_steps});
}
Description describe_fnet(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpiece, with_numbers_apart, {.steps = fnet_steps});
}
Description describe_xlnet(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpiece, with_numbers_apart, {.steps = xlnet_steps});
}
Description describe_rembert(TokenizerFolder& folder) {
  return describe_pieces(folder, "sentencepiece.model", as_they_are, {.steps = rembert_steps});
}

Description describe_plain(TokenizerFolder& folder) { return describe_pieces(folder, kSpiece, as_they_are); }

Description describe_barthez(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpBpe, [](const SentencePieceFile& file, TextArena& arena) {
    PieceList out = as_they_are(file, arena);
    out.unk_id = 3;
    return out;
  });
}

Description describe_camembert(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpBpe, [](const SentencePieceFile& file, TextArena&) {
    PieceList out;
    for (const char* text : {"<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"}) add_piece(out, text);
    add_piece(out, "<unk>NOTUSED", -100);
    append_from(out, file, 1);
    add_piece(out, "<mask>");
    out.unk_id = 3;
    return out;
  });
}

Description describe_xlm_roberta(TokenizerFolder& folder) { return describe_pieces(folder, kSpBpe, fairseq_with_mask); }
Description describe_nllb(TokenizerFolder& folder) { return describe_pieces(folder, kSpBpe, fairseq); }

Description describe_xglm(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpBpe, [](const SentencePieceFile& file, TextArena& arena) {
    PieceList out = fairseq(file, arena);
    for (const char* text : {"<madeupword0>", "<madeupword1>", "<madeupword2>", "<madeupword3>", "<madeupword4>",
                             "<madeupword5>", "<madeupword6>"})
      add_piece(out, text);
    return out;
  });
}

Description describe_mbart(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpBpe, [](const SentencePieceFile& file, TextArena& arena) {
    PieceList out = fairseq(file, arena);
    for (const std::string_view code : mbart_codes()) add_piece(out, code);
    add_piece(out, "<mask>");
    return out;
  });
}
Description describe_mbart50(TokenizerFolder& folder) {
  return describe_pieces(folder, kSpBpe, [](const SentencePieceFile& file, TextArena& arena) {
    PieceList out = fairseq(file, arena);
    for (const std::string_view code : mbart50_codes()) add_piece(out, code);
    add_piece(out, "<mask>");
    return out;
  });
}

Description describe_deberta_v2(TokenizerFolder& folder) {
  Description out = describe_pieces(folder, "spm.model", as_they_are, {.steps = deberta_v2_steps});
  Json cuts = Json::array();
  if (folder.flag("split_by_punct", false)) cuts.push_back({{"type", "Punctuation"}, {"behavior", "Isolated"}});
  cuts.push_back(metaspace("always"));
  out.pre_tokenizer = sequence("pretokenizers", std::move(cuts));
  return out;
}

int64_t extra_ids(const TokenizerFolder& folder) { return integer_field(folder.config, "extra_ids", 100, 0, 100000); }

Description describe_t5(TokenizerFolder& folder) {
  Description out = describe_pieces(folder, kSpiece, [&](const SentencePieceFile& file, TextArena& arena) {
    PieceList pieces = as_they_are(file, arena);
    for (int64_t i = extra_ids(folder); i-- > 0;) add_piece(pieces, arena.keep("<extra_id_" + std::to_string(i) + ">"));
    return pieces;
  });
  out.pre_tokenizer = out.decoder = metaspace(prepend_scheme(folder));
  return out;
}

Description describe_pegasus(TokenizerFolder& folder) {
  const int64_t offset = integer_field(folder.config, "offset", 103, 0, 100000);
  const std::string mask_sent = folder.text("mask_token_sent", "<mask_1>");
  Description out = describe_pieces(folder, kSpiece, [&](const SentencePieceFile& file, TextArena& arena) {
    PieceList pieces;
    add_piece(pieces, arena.keep(folder.special.text(Role::pad)));
    add_piece(pieces, arena.keep(folder.special.text(Role::eos)));
    const Json* sent = folder.config.contains("mask_token_sent") ? &folder.config["mask_token_sent"] : nullptr;
    if (!sent || !sent->is_null()) add_piece(pieces, arena.keep(mask_sent));
    if (offset > 3 && folder.special.has(Role::mask)) add_piece(pieces, arena.keep(folder.special.text(Role::mask)));
    for (int64_t i = 2; i < offset; ++i) add_piece(pieces, arena.keep("<unk_" + std::to_string(i) + ">"), -100);
    append_from(pieces, file, 2);
    pieces.unk_id = static_cast<int32_t>(file.unk_id + offset);
    return pieces;
  });
  out.pre_tokenizer = sequence("pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace("always")});
  return out;
}

Json spm_decoder(bool strips) {
  Json steps = {replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (strips) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", std::move(steps));
}

Description describe_llama(TokenizerFolder& folder) {
  Description out = describe_pieces(folder, "tokenizer.model",
                                    [&](const SentencePieceFile& file, TextArena& arena) {
                                      PieceList pieces = as_they_are(file, arena);
                                      for (size_t i = 0; i < std::min<size_t>(3, pieces.list.size()); ++i)
                                        pieces.list[i].second = 0;
                                      pieces.unk_id = 0;
                                      return pieces;
                                    },
                                    {.byte_fallback = true});
  const bool prefix = folder.flag("add_prefix_space", true), legacy = folder.flag("legacy", true);
  Json steps = Json::array();
  if (prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  steps.push_back(replace(" ", kSpaceMark));
  out.normalizer = legacy ? sequence("normalizers", std::move(steps)) : Json();
  out.pre_tokenizer = legacy ? Json() : metaspace(prepend_scheme(folder));
  if (!legacy) out.pre_tokenizer["split"] = false;
  out.decoder = spm_decoder(prefix);
  return out;
}

Description describe_gemma(TokenizerFolder& folder) {
  Description out = describe_pieces(
      folder, "tokenizer.model",
      [&](const SentencePieceFile& file, TextArena& arena) {
        PieceList pieces;
        for (const Role role : {Role::pad, Role::eos, Role::bos}) add_piece(pieces, arena.keep(folder.special.text(role)));
        append_from(pieces, file, 3);
        pieces.unk_id = 3;
        const auto is = [](const char* text) { return [text](const auto& piece) { return piece.first == text; }; };
        // Older vocabularies lack the tab.
        if (std::none_of(pieces.list.begin(), pieces.list.end(), is("\t")))
          if (const auto at = std::find_if(pieces.list.begin(), pieces.list.end(), is("<0x09>"));
              at != pieces.list.end())
            *at = {"\t", 0.0};
        return pieces;
      },
      {.byte_fallback = true, .gemma = true});
  out.normalizer = replace(" ", kSpaceMark);
  out.pre_tokenizer = {
      {"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}, {"invert", false}};
  out.decoder = spm_decoder(false);
  return out;
}

// Post-processors.

using List = std::vector<std::string>;

template <bool always = false>
void set_template(const TokenizerFolder& folder, Description& d, const List& single, const List& pair) {
  if (always || !folder.has("tokenizer.json")) d.post_processor = template_json(single, pair, *d.impl);
}

void adjust_cls_sep(const TokenizerFolder& folder, Description& d) {
  set_template(folder, d, {"[CLS]:0", "$A:0", "[SEP]:0"}, {"[CLS]:0", "$A:0", "[SEP]:0", "$B:1", "[SEP]:1"});
}
void adjust_roberta(const TokenizerFolder& folder, Description& d) {
  set_template(folder, d, {"<s>", "$A", "</s>"}, {"<s>", "$A", "</s>", "</s>", "$B", "</s>"});
}
void adjust_xlnet(const TokenizerFolder& folder, Description& d) {
  set_template(folder, d, {"$A:0", "<sep>:0", "<cls>:2"}, {"$A:0", "<sep>:0", "$B:1", "<sep>:1", "<cls>:2"});
  d.impl->pad_type_id = 3;
  if (d.impl->padding_side.empty()) d.impl->padding_side = "left";
}
void adjust_xglm(const TokenizerFolder& folder, Description& d) {
  set_template(folder, d, {"</s>", "$A"}, {"</s>", "$A", "</s>", "</s>", "$B"});
}
void adjust_t5(const TokenizerFolder& folder, Description& d) {
  set_template(folder, d, {"$A", "</s>"}, {"$A", "</s>", "$B", "</s>"});
}
void adjust_pegasus(const TokenizerFolder& folder, Description& d) {
  const std::string& eos = folder.special.text(Role::eos);
  set_template(folder, d, {"$A", eos}, {"$A", "$B", eos});
}

// The language goes behind or before the text.
void set_language(const TokenizerFolder& folder, Description& d, const char* fallback, bool behind) {
  const std::string language = folder.text("src_lang", fallback), eos = folder.special.text(Role::eos);
  if (behind)
    set_template<true>(folder, d, {"$A", eos, language}, {"$A", "$B", eos, language});
  else
    set_template<true>(folder, d, {language, "$A", eos}, {language, "$A", "$B", eos});
}
void adjust_mbart(const TokenizerFolder& folder, Description& d) { set_language(folder, d, "en_XX", true); }
void adjust_mbart50(const TokenizerFolder& folder, Description& d) { set_language(folder, d, "en_XX", false); }
void adjust_nllb(const TokenizerFolder& folder, Description& d) {
  set_language(folder, d, "eng_Latn", folder.flag("legacy_behaviour", false));
}
void adjust_llama(const TokenizerFolder& folder, Description& d) { adjust_edges(folder, d, true); }
void adjust_gemma(const TokenizerFolder& folder, Description& d) {
  adjust_edges(folder, d, true);
  if (d.impl->padding_side.empty()) d.impl->padding_side = "left";
}

// Additional special tokens.

void add_special(TokenizerFolder& folder, std::string_view content) {
  for (const GivenToken& known : folder.special.additional)
    if (known.content == content) return;
  GivenToken token;
  token.content = content;
  folder.special.additional.push_back(std::move(token));
}

void complete_t5(TokenizerFolder& folder) {
  const auto& known = folder.special.additional;
  if (std::any_of(known.begin(), known.end(),
                  [](const GivenToken& t) { return t.content.find("<extra_id_") != std::string::npos; }))
    return;
  for (int64_t i = 0; i < extra_ids(folder); ++i) add_special(folder, "<extra_id_" + std::to_string(i) + ">");
}
void complete_pegasus(TokenizerFolder& folder) {
  const int64_t offset = integer_field(folder.config, "offset", 103, 0, 100000);
  const bool given = folder.special.has_additional;
  std::vector<GivenToken> more = std::move(folder.special.additional);
  folder.special.additional.clear();
  const auto at = folder.config.find("mask_token_sent");
  if (at == folder.config.end() || !at->is_null()) add_special(folder, folder.text("mask_token_sent", "<mask_1>"));
  for (GivenToken& token : more) add_special(folder, token.content);
  const int64_t first = given ? static_cast<int64_t>(folder.special.additional.size()) : 2;
  for (int64_t i = first; i < (given ? offset - 1 : offset); ++i)
    add_special(folder, "<unk_" + std::to_string(i) + ">");
  // The class numbers these tokens by itself.
  folder.special.added.clear();
}
void complete_xlnet(TokenizerFolder& folder) {
  if (folder.special.has_additional) return;
  add_special(folder, "<eop>");
  add_special(folder, "<eod>");
}
void complete_camembert(TokenizerFolder& folder) {
  if (folder.special.has_additional) return;
  for (const char* text : {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"}) add_special(folder, text);
}
void complete_mbart(TokenizerFolder& folder) {
  std::vector<GivenToken> more = std::move(folder.special.additional);
  folder.special.additional.clear();
  for (const std::string_view code : mbart_codes()) add_special(folder, code);
  for (const GivenToken& token : more) add_special(folder, token.content);
}
void complete_mbart50(TokenizerFolder& folder) {
  for (const std::string_view code : mbart50_codes()) add_special(folder, code);
}
void complete_nllb(TokenizerFolder& folder) {
  if (folder.special.has_additional) return;
  for (const std::string_view code : nllb_codes()) add_special(folder, code);
}
void complete_xglm(TokenizerFolder& folder) {
  for (int i = 0; i < 7; ++i) add_special(folder, "<madeupword" + std::to_string(i) + ">");
}
void complete_code_llama(TokenizerFolder& folder) {
  for (const auto& [name, fallback] : {std::pair{"prefix_token", "\xE2\x96\x81<PRE>"},
                                       {"middle_token", "\xE2\x96\x81<MID>"},
                                       {"suffix_token", "\xE2\x96\x81<SUF>"},
                                       {"eot_token", "\xE2\x96\x81<EOT>"}}) {
    const auto at = folder.config.find(name);
    if (at == folder.config.end())
      add_special(folder, fallback);
    else if (at->is_string())
      add_special(folder, at->get<std::string>());
  }
}

constexpr std::array<const char*, kRoles> kClsSep = {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"};
constexpr std::array<const char*, kRoles> kRoberta = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
constexpr std::array<const char*, kRoles> kLlama = {"<s>", "</s>", "<unk>", nullptr, nullptr, nullptr, nullptr};

constexpr TokenizerClass kSentencePieceClasses[] = {
    {"AlbertTokenizer", kClsSep, MaskToken::takes_spaces, kSpiece, describe_albert, nullptr, adjust_cls_sep},
    {"FNetTokenizer",
     {nullptr, nullptr, "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     MaskToken::takes_spaces,
     kSpiece,
     describe_fnet,
     nullptr,
     adjust_cls_sep},
    {"RemBertTokenizer",
     {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     MaskToken::takes_spaces_normalized,
     "sentencepiece.model",
     describe_rembert,
     nullptr,
     adjust_cls_sep},
    {"BigBirdTokenizer",
     {"<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     MaskToken::takes_spaces_all_normalized,
     kSpiece,
     describe_plain,
     nullptr,
     adjust_cls_sep},
    {"XLNetTokenizer",
     {"<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>"},
     MaskToken::takes_spaces,
     kSpiece,
     describe_xlnet,
     complete_xlnet,
     adjust_xlnet},
    {"DebertaV2Tokenizer",
     {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     MaskToken::as_given,
     "spm.model",
     describe_deberta_v2,
     nullptr,
     adjust_cls_sep},
    {"T5Tokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     kSpiece,
     describe_t5,
     complete_t5,
     adjust_t5},
    {"MT5Tokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     kSpiece,
     describe_t5,
     complete_t5,
     adjust_t5},
    {"PegasusTokenizer",
     {nullptr, "</s>", "<unk>", nullptr, "<pad>", nullptr, "<mask_2>"},
     MaskToken::as_given,
     kSpiece,
     describe_pegasus,
     complete_pegasus,
     adjust_pegasus},
    {"ReformerTokenizer",
     {nullptr, "</s>", "<unk>", nullptr, nullptr, nullptr, nullptr},
     MaskToken::as_given,
     kSpiece,
     describe_plain},
    {"CamembertTokenizer", kRoberta, MaskToken::takes_spaces, kSpBpe, describe_camembert, complete_camembert,
     adjust_roberta},
    {"BarthezTokenizer", kRoberta, MaskToken::takes_spaces, kSpBpe, describe_barthez, nullptr, adjust_roberta},
    {"XLMRobertaTokenizer", kRoberta, MaskToken::takes_spaces, kSpBpe, describe_xlm_roberta, nullptr, adjust_roberta},
    {"XGLMTokenizer",
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", nullptr},
     MaskToken::as_given,
     kSpBpe,
     describe_xglm,
     complete_xglm,
     adjust_xglm},
    {"MBartTokenizer", kRoberta, MaskToken::takes_spaces, kSpBpe, describe_mbart, complete_mbart, adjust_mbart},
    {"MBart50Tokenizer",
     {nullptr, "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     MaskToken::takes_spaces_normalized,
     kSpBpe,
     describe_mbart50,
     complete_mbart50,
     adjust_mbart50},
    {"NllbTokenizer", kRoberta, MaskToken::takes_spaces_normalized, kSpBpe, describe_nllb, complete_nllb, adjust_nllb},
    {"LlamaTokenizer", kLlama, MaskToken::as_given, "tokenizer.model", describe_llama, nullptr, adjust_llama},
    {"CodeLlamaTokenizer", kLlama, MaskToken::as_given, "tokenizer.model", describe_llama, complete_code_llama,
     adjust_llama},
    {"GemmaTokenizer",
     {"<bos>", "<eos>", "<unk>", nullptr, "<pad>", nullptr, nullptr},
     MaskToken::as_given,
     "tokenizer.model",
     describe_gemma,
     nullptr,
     adjust_gemma},
};

}  // namespace

std::vector<const TokenizerClass*> sentencepiece_classes() {
  std::vector<const TokenizerClass*> all;
  for (const TokenizerClass& c : kSentencePieceClasses) all.push_back(&c);
  return all;
}

}  // namespace mynah::text
