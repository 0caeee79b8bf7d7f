// BERT and its relatives: vocab.txt, one token a line.
#include "base/unicode.h"
#include "text/json_fields.h"
#include "text/tokenizer_classes.h"
#include "text/word_piece.h"

namespace mynah::text {
namespace {

Vocabulary read_lines(std::string_view text, TextArena& arena) {
  Vocabulary vocabulary;
  int64_t id = 0;
  for (size_t at = 0; at < text.size(); ++id) {
    const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    const std::string_view line = text.substr(at, end - at);
    vocabulary.insert(unicode::is_valid(line) ? line : arena.keep(unicode::to_valid(line)), id);
    at = end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  return vocabulary;
}

// null for "as lowercase says".
Json strip_accents(const TokenizerFolder& folder) {
  const Json* value = find_field(folder.config, "strip_accents");
  return value && value->is_boolean() ? *value : Json();
}

std::vector<std::string> pair_of(const TokenizerFolder& folder, std::string_view sep_pieces, bool second) {
  const std::string &cls = folder.special.text(Role::cls), &sep = folder.special.text(Role::sep);
  const bool funnel = sep_pieces == "funnel";
  std::vector<std::string> pieces = {cls + (funnel ? ":2" : ":0"), "$A:0", sep + ":0"};
  if (!second) return pieces;
  if (sep_pieces == "mpnet") pieces.push_back(sep + ":0");
  pieces.insert(pieces.end(), {"$B:1", sep + ":1"});
  return pieces;
}

Description describe(TokenizerFolder& folder) {
  Description out;
  WordPieceOptions options;
  options.unk_token = folder.special.text(Role::unk);
  out.impl->model =
      std::make_unique<WordPiece>(read_lines(folder.map("vocab.txt"), out.impl->arena), std::move(options));
  const bool basic = folder.flag("do_basic_tokenize", true);
  out.normalizer = {{"type", "BertNormalizer"},
                    {"clean_text", true},
                    {"handle_chinese_chars", basic && folder.flag("tokenize_chinese_chars", true)},
                    {"strip_accents", basic ? strip_accents(folder) : Json(false)},
                    {"lowercase", basic && folder.flag("do_lower_case", true)}};
  out.pre_tokenizer = {{"type", "BertPreTokenizer"}};
  out.decoder = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  out.impl->clean_up_spaces = true;
  return out;
}

// Options of the configuration win over a BertNormalizer that tokenizer.json holds.
void adjust_normalizer(const TokenizerFolder& folder, Description& d, bool chinese) {
  if (!d.normalizer.is_object() || d.normalizer.value("type", "") != "BertNormalizer") return;
  d.normalizer["lowercase"] = folder.flag("do_lower_case", true);
  d.normalizer["strip_accents"] = strip_accents(folder);
  if (chinese) d.normalizer["handle_chinese_chars"] = folder.flag("tokenize_chinese_chars", true);
}

void adjust(const TokenizerFolder& folder, Description& d, const char* kind) {
  adjust_normalizer(folder, d, std::string_view(kind) != "mpnet");
  if (!d.post_processor.is_null() || folder.has("tokenizer.json")) return;
  d.post_processor = template_json(pair_of(folder, kind, false), pair_of(folder, kind, true), *d.impl);
}
void adjust_bert(const TokenizerFolder& folder, Description& d) { adjust(folder, d, "bert"); }
void adjust_mpnet(const TokenizerFolder& folder, Description& d) { adjust(folder, d, "mpnet"); }
void adjust_funnel(const TokenizerFolder& folder, Description& d) { adjust(folder, d, "funnel"); }

constexpr std::array<const char*, kRoles> kBertNames = {nullptr, nullptr, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
constexpr TokenizerClass bert(const char* name) {
  return {name, kBertNames, MaskToken::as_given, "vocab.txt", describe, nullptr, adjust_bert};
}

// What stands for an empty cell of a table.
void complete_tapas(TokenizerFolder& folder) {
  const std::string empty = folder.text("empty_token", "[EMPTY]");
  for (const GivenToken& token : folder.special.additional)
    if (token.content == empty) return;
  folder.special.additional.push_back({empty});
}

constexpr TokenizerClass kWordPieceClasses[] = {
    bert("BertTokenizer"),
    bert("ConvBertTokenizer"),
    bert("DistilBertTokenizer"),
    bert("DPRReaderTokenizer"),
    bert("DPRQuestionEncoderTokenizer"),
    bert("DPRContextEncoderTokenizer"),
    bert("ElectraTokenizer"),
    bert("LayoutLMTokenizer"),
    bert("LayoutLMv2Tokenizer"),
    bert("LxmertTokenizer"),
    bert("MobileBertTokenizer"),
    bert("RetriBertTokenizer"),
    bert("SqueezeBertTokenizer"),
    {"TapasTokenizer", kBertNames, MaskToken::as_given, "vocab.txt", describe, complete_tapas, adjust_bert},
    {"MPNetTokenizer",
     {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"},
     MaskToken::takes_spaces,
     "vocab.txt",
     describe,
     nullptr,
     adjust_mpnet},
    {"FunnelTokenizer",
     {"<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>"},
     MaskToken::as_given,
     "vocab.txt",
     describe,
     nullptr,
     adjust_funnel},
};

}  // namespace

std::vector<const TokenizerClass*> word_piece_classes() {
  std::vector<const TokenizerClass*> all;
  for (const TokenizerClass& c : kWordPieceClasses) all.push_back(&c);
  return all;
}

}  // namespace mynah::text
