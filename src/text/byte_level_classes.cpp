// Byte-pair encodings in vocab.json and merges.txt: GPT-2, RoBERTa, BART, DeBERTa, Blenderbot, Whisper and Qwen over
// bytes, CLIP and GPT-1 over words with an end mark.
#include "base/require.h"
#include "text/bpe_files.h"
#include "text/json_fields.h"
#include "text/tokenizer_classes.h"

namespace mynah::text {
namespace {

Description describe_bpe(TokenizerFolder& folder, BpeOptions options = {}, bool versioned = true) {
  Description out;
  const std::string_view vocabulary = folder.map("vocab.json"), merges = folder.map("merges.txt");
  out.impl->model = make_bpe(read_vocabulary(vocabulary, folder.where("vocab.json"), out.impl->arena),
                             read_merge_lines(merges, versioned), std::move(options));
  return out;
}

Description describe_byte_level(TokenizerFolder& folder, bool add_prefix_space) {
  Description out = describe_bpe(folder);
  out.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", folder.flag("add_prefix_space", add_prefix_space)}};
  out.decoder = {{"type", "ByteLevel"}};
  return out;
}

Description describe_gpt2(TokenizerFolder& folder) { return describe_byte_level(folder, false); }
Description describe_with_space(TokenizerFolder& folder) { return describe_byte_level(folder, true); }

Description describe_qwen2(TokenizerFolder& folder) {
  Description out = describe_bpe(folder, {}, false);
  constexpr const char* kWords =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
      "\\s+(?!\\S)|\\s+";
  out.normalizer = {{"type", "NFC"}};
  out.pre_tokenizer = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", kWords}}}, {"behavior", "Isolated"}, {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  out.decoder = {{"type", "ByteLevel"}};
  return out;
}

Description describe_clip(TokenizerFolder& folder) {
  BpeOptions options;
  options.end_of_word_suffix = "</w>";
  options.unk_token = folder.special.text(Role::unk);
  Description out = describe_bpe(folder, std::move(options));
  out.normalizer = {{"type", "Sequence"},
                    {"normalizers",
                     {{{"type", "NFC"}},
                      {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}},
                      {{"type", "Lowercase"}}}}};
  out.pre_tokenizer = {{"type", "Sequence"},
                       {"pretokenizers",
                        {{{"type", "Split"},
                          {"pattern", {{"Regex", "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}}},
                          {"behavior", "Removed"},
                          {"invert", true}},
                         {{"type", "ByteLevel"}, {"add_prefix_space", false}}}}};
  out.decoder = {{"type", "ByteLevel"}};
  return out;
}

Description describe_gpt1(TokenizerFolder& folder) {
  BpeOptions options;
  options.end_of_word_suffix = "</w>";
  options.unk_token = folder.special.text(Role::unk);
  Description out = describe_bpe(folder, std::move(options));
  out.normalizer = {{"type", "BertNormalizer"}, {"lowercase", true}};
  out.pre_tokenizer = {{"type", "BertPreTokenizer"}};
  out.decoder = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  return out;
}

Json named(const TokenizerFolder& folder, const Description& d, Role role) {
  const std::string& text = folder.special.text(role);
  const auto id = d.impl->token_id(text);
  if (!id) fail(ErrorCode::integrity, "tokenizer: the special token '{}' is not in the vocabulary", shown(text));
  return Json::array({text, *id});
}

void adjust_gpt2(const TokenizerFolder& folder, Description& d) {
  if (folder.has("tokenizer.json")) return;
  const std::string& bos = folder.special.text(Role::bos);
  if (folder.flag("add_bos_token", false))
    d.post_processor = template_json({bos, "$A:0"}, {bos, "$A:0", "$B:1"}, *d.impl);
  else
    d.post_processor = {{"type", "ByteLevel"}, {"trim_offsets", false}};
}

void adjust_roberta(const TokenizerFolder& folder, Description& d, bool add_prefix_space) {
  if (!folder.has("tokenizer.json"))
    d.post_processor = {
        {"type", "RobertaProcessing"}, {"sep", named(folder, d, Role::sep)}, {"cls", named(folder, d, Role::cls)}};
  else if (!d.post_processor.is_object() || !d.post_processor.contains("trim_offsets"))
    return;
  d.post_processor["add_prefix_space"] = folder.flag("add_prefix_space", add_prefix_space);
  d.post_processor["trim_offsets"] = folder.flag("trim_offsets", true);
}
void adjust_roberta_plain(const TokenizerFolder& folder, Description& d) { adjust_roberta(folder, d, false); }
void adjust_layoutlmv3(const TokenizerFolder& folder, Description& d) { adjust_roberta(folder, d, true); }

void adjust_deberta(const TokenizerFolder& folder, Description& d) {
  if (folder.has("tokenizer.json")) return;
  d.post_processor =
      template_json({"[CLS]:0", "$A:0", "[SEP]:0"}, {"[CLS]:0", "$A:0", "[SEP]:0", "$B:1", "[SEP]:1"}, *d.impl);
}

void adjust_blenderbot(const TokenizerFolder& folder, Description& d) {
  const std::string eos = folder.special.text(Role::eos) + ":0";
  if (!folder.has("tokenizer.json")) d.post_processor = template_json({"$A:0", eos}, {"$A:0", "$B:1"}, *d.impl);
}

void adjust_clip(const TokenizerFolder& folder, Description& d) {
  if (!folder.has("tokenizer.json"))
    d.post_processor = {{"type", "RobertaProcessing"},
                        {"sep", named(folder, d, Role::eos)},
                        {"cls", named(folder, d, Role::bos)},
                        {"add_prefix_space", false},
                        {"trim_offsets", false}};
  // The class itself turns end marks into spaces and strips the text.
  d.impl->decoder = make_stripped_decoder(make_decoder(d.decoder), "</w>");
}

void adjust_qwen2(const TokenizerFolder& folder, Description& d) {
  if (!folder.has("tokenizer.json")) d.post_processor = {{"type", "ByteLevel"}, {"trim_offsets", false}};
}

// The prompt of tokens that Whisper's class puts first.
void adjust_whisper(const TokenizerFolder& folder, Description& d) {
  // The class itself leaves the times of segments out.
  d.impl->decoder =
      make_decoder({{"type", "Sequence"},
                    {"decoders",
                     {d.decoder,
                      {{"type", "Fuse"}},
                      {{"type", "Replace"}, {"pattern", {{"Regex", "<\\|[0-9]+\\.[0-9]+\\|>"}}}, {"content", ""}}}}});
  if (folder.has("tokenizer.json")) return;
  std::vector<std::string> prefix;
  for (const char* token : {"<|startoftranscript|>", "<|notimestamps|>"})
    if (d.impl->token_id(token)) prefix.push_back(std::string(token) + ":0");
  std::vector<std::string> single = prefix, pair = prefix;
  const std::string& eos = folder.special.text(Role::eos);
  single.insert(single.end(), {"$A:0", eos + ":0"});
  pair.insert(pair.end(), {"$A:0", "$B:1", eos + ":1"});
  d.post_processor = template_json(single, pair, *d.impl);
}

void adjust_neox(const TokenizerFolder& folder, Description& d) { adjust_edges(folder, d, false); }
void adjust_cohere(const TokenizerFolder& folder, Description& d) { adjust_edges(folder, d, true); }

constexpr const char* kEndOfText = "<|endoftext|>";
constexpr std::array<const char*, kRoles> kGpt2Names = {kEndOfText, kEndOfText, kEndOfText, nullptr, nullptr, nullptr, nullptr};
constexpr std::array<const char*, kRoles> kRobertaNames = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};

constexpr TokenizerClass roberta(const char* name) {
  return {name, kRobertaNames, MaskToken::takes_spaces, "merges.txt", describe_gpt2, nullptr, adjust_roberta_plain};
}

constexpr TokenizerClass kByteLevelClasses[] = {
    {"GPT2Tokenizer", kGpt2Names, MaskToken::as_given, "merges.txt", describe_gpt2, nullptr, adjust_gpt2},
    {"CodeGenTokenizer", kGpt2Names, MaskToken::as_given, "merges.txt", describe_gpt2, nullptr, adjust_gpt2},
    roberta("RobertaTokenizer"),
    roberta("BartTokenizer"),
    roberta("LongformerTokenizer"),
    roberta("LEDTokenizer"),
    roberta("MvpTokenizer"),
    roberta("TapexTokenizer"),
    {"LayoutLMv3Tokenizer", kRobertaNames, MaskToken::takes_spaces, "merges.txt", describe_with_space, nullptr,
     adjust_layoutlmv3},
    {"BlenderbotTokenizer", kRobertaNames, MaskToken::takes_spaces, "merges.txt", describe_gpt2, nullptr,
     adjust_blenderbot},
    {"DebertaTokenizer",
     {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     MaskToken::takes_spaces,
     "merges.txt",
     describe_gpt2,
     nullptr,
     adjust_deberta},
    {"WhisperTokenizer", kGpt2Names, MaskToken::as_given, "merges.txt", describe_gpt2, nullptr, adjust_whisper},
    {"Qwen2Tokenizer",
     {nullptr, kEndOfText, kEndOfText, nullptr, kEndOfText, nullptr, nullptr},
     MaskToken::as_given,
     "merges.txt",
     describe_qwen2,
     nullptr,
     adjust_qwen2},
    {"CLIPTokenizer",
     {"<|startoftext|>", kEndOfText, kEndOfText, nullptr, kEndOfText, nullptr, nullptr},
     MaskToken::takes_spaces_all_normalized,
     "merges.txt",
     describe_clip,
     nullptr,
     adjust_clip},
    {"OpenAIGPTTokenizer",
     {nullptr, nullptr, "<unk>", nullptr, nullptr, nullptr, nullptr},
     MaskToken::as_given,
     "merges.txt",
     describe_gpt1},
    // These have a tokenizer.json only.
    {"GPTNeoXTokenizer", kGpt2Names, MaskToken::as_given, nullptr, nullptr, nullptr, adjust_neox},
    {"BloomTokenizer", {"<s>", "</s>", "<unk>", nullptr, "<pad>", nullptr, nullptr}},
    {"CohereTokenizer",
     {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", nullptr, nullptr, nullptr, nullptr},
     MaskToken::as_given,
     nullptr,
     nullptr,
     nullptr,
     adjust_cohere},
};

}  // namespace

std::vector<const TokenizerClass*> byte_level_classes() {
  std::vector<const TokenizerClass*> all;
  for (const TokenizerClass& c : kByteLevelClasses) all.push_back(&c);
  return all;
}

}  // namespace mynah::text
