#include "text/tokenizer_classes.h"

#include <algorithm>
#include <array>

#include "base/require.h"
#include "text/json_fields.h"

namespace mynah::text {
namespace {

namespace fs = std::filesystem;

// config.json's model_type -> the class, where it is not the type's own name.
struct OfType {
  std::string_view type, name;
};
constexpr OfType kOfTypes[] = {
    {"albert", "AlbertTokenizer"},
    {"arcee", "LlamaTokenizer"},
    {"bart", "BartTokenizer"},
    {"barthez", "BarthezTokenizer"},
    {"bert", "BertTokenizer"},
    {"big_bird", "BigBirdTokenizer"},
    {"bigbird_pegasus", "PegasusTokenizer"},
    {"blenderbot", "BlenderbotTokenizer"},
    {"blip", "BertTokenizer"},
    {"blip-2", "GPT2Tokenizer"},
    {"bloom", "BloomTokenizer"},
    {"bridgetower", "RobertaTokenizer"},
    {"camembert", "CamembertTokenizer"},
    {"clap", "RobertaTokenizer"},
    {"clip", "CLIPTokenizer"},
    {"clipseg", "CLIPTokenizer"},
    {"code_llama", "CodeLlamaTokenizer"},
    {"codegen", "CodeGenTokenizer"},
    {"cohere", "CohereTokenizer"},
    {"cohere2", "CohereTokenizer"},
    {"convbert", "ConvBertTokenizer"},
    {"data2vec-audio", "Wav2Vec2CTCTokenizer"},
    {"data2vec-text", "RobertaTokenizer"},
    {"deberta", "DebertaTokenizer"},
    {"deberta-v2", "DebertaV2Tokenizer"},
    {"deepseek_v2", "LlamaTokenizer"},
    {"deepseek_v3", "LlamaTokenizer"},
    {"distilbert", "DistilBertTokenizer"},
    {"dpr", "DPRQuestionEncoderTokenizer"},
    {"electra", "ElectraTokenizer"},
    {"ernie", "BertTokenizer"},
    {"falcon_mamba", "GPTNeoXTokenizer"},
    {"fnet", "FNetTokenizer"},
    {"funnel", "FunnelTokenizer"},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"git", "BertTokenizer"},
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_bigcode", "GPT2Tokenizer"},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"grounding-dino", "BertTokenizer"},
    {"hubert", "Wav2Vec2CTCTokenizer"},
    {"idefics", "LlamaTokenizer"},
    {"idefics2", "LlamaTokenizer"},
    {"instructblip", "GPT2Tokenizer"},
    {"layoutlm", "LayoutLMTokenizer"},
    {"layoutlmv2", "LayoutLMv2Tokenizer"},
    {"layoutlmv3", "LayoutLMv3Tokenizer"},
    {"led", "LEDTokenizer"},
    {"lilt", "LayoutLMv3Tokenizer"},
    {"llama", "LlamaTokenizer"},
    {"llava", "LlamaTokenizer"},
    {"llava_next", "LlamaTokenizer"},
    {"longformer", "LongformerTokenizer"},
    {"longt5", "T5Tokenizer"},
    {"lxmert", "LxmertTokenizer"},
    {"m2m_100", "M2M100Tokenizer"},
    {"mamba", "GPTNeoXTokenizer"},
    {"marian", "MarianTokenizer"},
    {"mbart", "MBartTokenizer"},
    {"mbart50", "MBart50Tokenizer"},
    {"mistral", "LlamaTokenizer"},
    {"mixtral", "LlamaTokenizer"},
    {"mobilebert", "MobileBertTokenizer"},
    {"mpnet", "MPNetTokenizer"},
    {"mt5", "T5Tokenizer"},
    {"musicgen", "T5Tokenizer"},
    {"mvp", "MvpTokenizer"},
    {"nllb", "NllbTokenizer"},
    {"nllb-moe", "NllbTokenizer"},
    {"nystromformer", "AlbertTokenizer"},
    {"olmo", "GPTNeoXTokenizer"},
    {"openai-gpt", "OpenAIGPTTokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"owlv2", "CLIPTokenizer"},
    {"owlvit", "CLIPTokenizer"},
    {"paligemma", "LlamaTokenizer"},
    {"pegasus", "PegasusTokenizer"},
    {"pegasus_x", "PegasusTokenizer"},
    {"persimmon", "LlamaTokenizer"},
    {"phi", "CodeGenTokenizer"},
    {"phi3", "LlamaTokenizer"},
    {"pix2struct", "T5Tokenizer"},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen2_audio", "Qwen2Tokenizer"},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen2_vl", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},
    {"reformer", "ReformerTokenizer"},
    {"rembert", "RemBertTokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"roberta-prelayernorm", "RobertaTokenizer"},
    {"rwkv", "GPTNeoXTokenizer"},
    {"siglip", "SiglipTokenizer"},
    {"speech_to_text", "Speech2TextTokenizer"},
    {"speecht5", "SpeechT5Tokenizer"},
    {"squeezebert", "SqueezeBertTokenizer"},
    {"stablelm", "GPTNeoXTokenizer"},
    {"starcoder2", "GPT2Tokenizer"},
    {"switch_transformers", "T5Tokenizer"},
    {"t5", "T5Tokenizer"},
    {"tapas", "TapasTokenizer"},
    {"umt5", "T5Tokenizer"},
    {"vilt", "BertTokenizer"},
    {"visual_bert", "BertTokenizer"},
    {"vits", "VitsTokenizer"},
    {"wav2vec2", "Wav2Vec2CTCTokenizer"},
    {"wav2vec2-conformer", "Wav2Vec2CTCTokenizer"},
    {"whisper", "WhisperTokenizer"},
    {"xclip", "CLIPTokenizer"},
    {"xglm", "XGLMTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"xlm-roberta-xl", "XLMRobertaTokenizer"},
    {"xlnet", "XLNetTokenizer"},
};

// What a folder without a word on its class probably holds, by its files.
struct OfFile {
  const char *file, *also, *name;
};
constexpr OfFile kOfFiles[] = {
    {"source.spm", "target.spm", "MarianTokenizer"},
    {"vocab.json", "merges.txt", "GPT2Tokenizer"},
    {"vocab.txt", "vocab.txt", "BertTokenizer"},
    {"tokenizer.model", "tokenizer.model", "LlamaTokenizer"},
    {"sentencepiece.bpe.model", "sentencepiece.bpe.model", "XLMRobertaTokenizer"},
    {"spiece.model", "spiece.model", "T5Tokenizer"},
    {"spm.model", "spm.model", "DebertaV2Tokenizer"},
    {"spm_char.model", "spm_char.model", "SpeechT5Tokenizer"},
    {"vocab.json", "vocab.json", "Wav2Vec2CTCTokenizer"},
};

const TokenizerClass* by_name(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  for (const auto& list : {word_piece_classes(), byte_level_classes(), sentencepiece_classes(), slow_classes()})
    for (const TokenizerClass* c : list)
      if (name == c->name) return c;
  return nullptr;
}

}  // namespace

TokenizerFolder::TokenizerFolder(fs::path folder) : path(std::move(folder)) {
  config = has("tokenizer_config.json") ? read_json_file(path / "tokenizer_config.json") : Json::object();
  if (!config.is_object()) fail(ErrorCode::integrity, "{}: not a JSON object", where("tokenizer_config.json"));
  special = read_special_tokens(config, path);
}

std::string_view TokenizerFolder::map(const char* name) {
  files_->push_back(MappedFile::open(path / name));
  const auto bytes = files_->back()->bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool TokenizerFolder::flag(const char* name, bool fallback) const { return bool_field(config, name, fallback); }
std::string TokenizerFolder::text(const char* name, const char* fallback) const {
  return string_field(config, name, fallback);
}

const TokenizerClass* find_tokenizer_class(const TokenizerFolder& folder, bool& guessed) {
  guessed = false;
  if (const std::string name = folder.text("tokenizer_class", ""); !name.empty()) return by_name(name);
  if (folder.has("config.json")) {
    const Json config = read_json_file(folder.path / "config.json");
    if (const Json* name = find_field(config, "tokenizer_class"); name && name->is_string())
      return by_name(name->get<std::string>());
    if (const Json* type = find_field(config, "model_type"); type && type->is_string())
      for (const OfType& known : kOfTypes)
        if (known.type == type->get<std::string>()) return by_name(known.name);
  }
  if (folder.has("tokenizer.json")) return nullptr;
  guessed = true;
  for (const OfFile& known : kOfFiles)
    if (folder.has(known.file) && folder.has(known.also)) return by_name(known.name);
  return nullptr;
}

Json template_json(const std::vector<std::string>& single, const std::vector<std::string>& pair,
                   const TokenizerImpl& tokenizer) {
  Json out = {{"type", "TemplateProcessing"}, {"special_tokens", Json::object()}};
  const auto piece = [&](std::string text) -> Json {
    int type_id = 0;
    if (text.size() > 2 && text[text.size() - 2] == ':' && text.back() >= '0' && text.back() <= '9') {
      type_id = text.back() - '0';
      text.resize(text.size() - 2);
    }
    if (text == "$A" || text == "$B") return {{"Sequence", {{"id", text.substr(1)}, {"type_id", type_id}}}};
    const auto id = tokenizer.token_id(text);
    if (!id) fail(ErrorCode::integrity, "tokenizer: the special token '{}' is not in the vocabulary", shown(text));
    out["special_tokens"][text] = {{"id", text}, {"ids", Json::array({*id})}, {"tokens", Json::array({text})}};
    return {{"SpecialToken", {{"id", text}, {"type_id", type_id}}}};
  };
  for (const auto& [name, list] : {std::pair{"single", &single}, {"pair", &pair}}) {
    Json pieces = Json::array();
    for (const std::string& text : *list) pieces.push_back(piece(text));
    out[name] = std::move(pieces);
  }
  return out;
}

void adjust_edges(const TokenizerFolder& folder, Description& description, bool add_bos) {
  const std::string &bos = folder.special.text(Role::bos), &eos = folder.special.text(Role::eos);
  const bool begins = folder.flag("add_bos_token", add_bos) && !bos.empty();
  const bool ends = folder.flag("add_eos_token", false) && !eos.empty();
  std::vector<std::string> single, pair;
  for (const int type : {0, 1}) {
    const std::string suffix = ":" + std::to_string(type);
    if (begins) pair.push_back(bos + suffix);
    pair.push_back((type == 0 ? "$A" : "$B") + suffix);
    if (ends) pair.push_back(eos + suffix);
    if (type == 0) single = pair;
  }
  description.post_processor = template_json(single, pair, *description.impl);
}

}  // namespace mynah::text
