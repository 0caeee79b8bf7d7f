#include "bundle/processor.h"

#include <algorithm>

#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/ct2_whisper.h"
#include "bundle/ggml_whisper.h"
#include "bundle/image_processor.h"
#include "bundle/recognised.h"
#include "bundle/sound_processor.h"
#include "formats/checkpoint.h"
#include "bundle/text_image_processor.h"
#include "formats/ggml_whisper.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

Tensor integers(const std::vector<Encoding>& rows, std::vector<int32_t> Encoding::*field) {
  std::vector<int64_t> all;
  for (const Encoding& e : rows) all.insert(all.end(), (e.*field).begin(), (e.*field).end());
  return Tensor::from(std::span<const int64_t>(all), {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].ids.size())});
}

// Model inputs that a tokenizer class makes beside ids: BERT's kind has token types.
bool wants(const fs::path& folder, const char* name) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return false;
  const Json config = read_json_file(path);
  if (const auto it = config.find("model_input_names"); it != config.end() && it->is_array()) return std::find(it->begin(), it->end(), Json(name)) != it->end();
  const std::string kind = nn::config_string(config, "tokenizer_class", "");
  const bool siglip = kind.starts_with("Siglip");
  if (name == std::string_view("attention_mask")) return !siglip;
  return kind.starts_with("Bert") || kind.starts_with("Electra") || kind.starts_with("Albert") || kind.starts_with("XLNet") || kind.starts_with("Deberta");
}

nn::NamedTensors process_texts(const fs::path& folder, const std::vector<std::string>& texts) {
  const auto tokenizer = open_tokenizer(folder);
  if (!tokenizer) fail(ErrorCode::not_found, "{}: no tokenizer, which says how the model takes text", folder.string());
  std::vector<Encoding> rows;
  for (const std::string& text : texts) rows.push_back(tokenizer->encode(text));
  PaddingOptions padding;
  // SigLIP reads the last place of rows that are always full.
  const fs::path path = folder / "tokenizer_config.json";
  if (fs::exists(path) && nn::config_string(read_json_file(path), "tokenizer_class", "").starts_with("Siglip")) padding.length = tokenizer->model_max_length().value_or(64);
  tokenizer->pad(rows, padding);
  nn::NamedTensors out{{"input_ids", integers(rows, &Encoding::ids)}};
  if (wants(folder, "attention_mask") || !fs::exists(path)) out["attention_mask"] = integers(rows, &Encoding::attention_mask);
  if (wants(folder, "token_type_ids")) out["token_type_ids"] = integers(rows, &Encoding::type_ids);
  return out;
}

}  // namespace

Json processor_settings(const fs::path& folder, const char* part, const char* what, const std::string& name) {
  if (fs::is_regular_file(folder) && folder.extension() != ".gguf") {
    const Json config = recognised(*formats::open_checkpoint(folder));
    if (config.is_object() && config.contains(part)) return config[part];
  }
  for (const char* file : {"preprocessor_config.json", "processor_config.json"}) {
    if (!fs::exists(folder / file)) continue;
    Json config = read_json_file(folder / file);
    require(config.is_object(), "{}: not a JSON object", (folder / file).string());
    if (config.contains(part) && config[part].is_object()) return config[part];
    if (file == std::string_view("preprocessor_config.json")) return config;
  }
  fail(ErrorCode::not_found, "{}: no preprocessor_config.json, which says how the model takes {}", name.empty() ? folder.string() : name, what);
}

SoundProcessor sound_processor(const fs::path& folder) {
  if (is_ggml_whisper(folder))
    return SoundProcessor({{"feature_extractor_type", "WhisperFeatureExtractor"}, {"feature_size", formats::GgmlWhisperFile::open(folder)->sizes().n_mels}});
  if (is_ct2(folder) && !fs::exists(folder / "preprocessor_config.json"))
    return SoundProcessor({{"feature_extractor_type", "WhisperFeatureExtractor"}, {"feature_size", open_ct2_whisper(folder).config["num_mel_bins"]}});
  return SoundProcessor(processor_settings(folder, "feature_extractor", "sound"));
}

nn::NamedTensors process(const fs::path& folder, const RawInputs& inputs) {
  nn::NamedTensors out;
  if (!inputs.texts.empty() && inputs.sounds.empty() && joins_texts_and_images(folder)) {
    const TextImageProcessor processor(folder, open_tokenizer(folder));
    std::vector<media::Image> images;
    for (const std::string& path : inputs.images) images.push_back(media::read_image(path, processor.alpha()));
    return processor(inputs.texts, images);
  }
  if (!inputs.images.empty()) {
    std::vector<media::Image> images;
    for (const std::string& path : inputs.images) images.push_back(media::read_image(path));
    out.merge(ImageProcessor(processor_settings(folder, "image_processor", "pictures"))(images));
  }
  if (!inputs.sounds.empty()) {
    std::vector<media::Sound> sounds;
    for (const std::string& path : inputs.sounds) sounds.push_back(media::read_sound(path));
    out.merge(sound_processor(folder)(sounds));
  }
  if (!inputs.texts.empty()) out.merge(process_texts(folder, inputs.texts));
  return out;
}

}  // namespace mynah::bundle
