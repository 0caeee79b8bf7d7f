// The tokenizer and the scalar metadata of a GGUF file.
#include <charconv>

#include "base/require.h"
#include "bundle/bundle.h"
#include "mynah/json.h"

namespace mynah::bundle {

GgufVocabulary gguf_vocabulary(const formats::GgufFile& file) {
  GgufVocabulary v;
  v.model = file.get<std::string>("tokenizer.ggml.model");
  v.pre = file.get<std::string>("tokenizer.ggml.pre", "");
  v.tokens = file.at("tokenizer.ggml.tokens").strings().to_vector();
  if (const auto* merges = file.find("tokenizer.ggml.merges")) v.merges = merges->strings().to_vector();
  if (const auto* scores = file.find("tokenizer.ggml.scores"))
    for (size_t i = 0; i < scores->size(); ++i) v.scores.push_back(static_cast<float>(scores->floats()[i]));
  if (const auto* types = file.find("tokenizer.ggml.token_type"))
    for (size_t i = 0; i < types->size(); ++i) v.types.push_back(static_cast<int32_t>(types->ints()[i]));
  const auto id = [&](const char* key) { return static_cast<int32_t>(file.get_int(key, -1, static_cast<int64_t>(v.tokens.size()) - 1, -1)); };
  v.bos_id = id("tokenizer.ggml.bos_token_id");
  v.eos_id = id("tokenizer.ggml.eos_token_id");
  v.unk_id = id("tokenizer.ggml.unknown_token_id");
  v.pad_id = id("tokenizer.ggml.padding_token_id");
  v.sep_id = id("tokenizer.ggml.seperator_token_id");  // the format spells it so
  v.cls_id = id("tokenizer.ggml.cls_token_id");
  v.mask_id = id("tokenizer.ggml.mask_token_id");
  const auto flag = [&](const char* key) -> std::optional<bool> {
    const auto* value = file.find(key);
    return value ? std::optional(value->as_bool()) : std::nullopt;
  };
  v.add_bos = flag("tokenizer.ggml.add_bos_token");
  v.add_eos = flag("tokenizer.ggml.add_eos_token");
  v.add_sep = flag("tokenizer.ggml.add_sep_token");
  v.add_space_prefix = flag("tokenizer.ggml.add_space_prefix");
  v.remove_extra_whitespaces = flag("tokenizer.ggml.remove_extra_whitespaces");
  if (const auto* table = file.find("tokenizer.ggml.precompiled_charsmap"))
    for (size_t i = 0; i < table->size(); ++i) v.charsmap.push_back(static_cast<char>(table->ints()[i]));
  if (const auto* source = file.find("tokenizer.chat_template")) v.chat_template = source->as_string();
  return v;
}

std::shared_ptr<const Tokenizer> gguf_tokenizer(const std::shared_ptr<const formats::GgufFile>& file) {
  GgufVocabulary v = gguf_vocabulary(*file);
  v.owner = file;
  return Tokenizer::from_gguf(v);
}

double as_written(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double number = value;
  std::from_chars(text, end, number);
  return number;
}

namespace {

Json scalar(const formats::GgufValue& value) {
  switch (value.type()) {
    case formats::GgufType::string: return std::string(value.as_string());
    case formats::GgufType::boolean: return value.as_bool();
    case formats::GgufType::f32: return as_written(static_cast<float>(value.as_float()));
    case formats::GgufType::f64: return value.as_float();
    default: return value.as_int();
  }
}

}  // namespace

Json gguf_metadata(const formats::GgufFile& file) {
  const std::string prefix = file.get<std::string>("general.architecture") + ".";
  Json all = Json::object();
  for (const bool own : {true, false})
    for (const auto& value : file.metadata()) {
      std::string_view key = value.key();
      if (key.starts_with(prefix) != own || value.type() == formats::GgufType::array) continue;  // arrays are vocabularies
      if (own) key.remove_prefix(prefix.size());
      all.emplace(key, scalar(value));
    }
  return all;
}

}  // namespace mynah::bundle
