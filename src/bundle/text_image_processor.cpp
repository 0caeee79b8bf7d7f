#include "bundle/text_image_processor.h"

#include <algorithm>

#include "base/require.h"
#include "bundle/processor.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

Json file_of(const fs::path& folder, const char* name) {
  if (!fs::exists(folder / name)) return Json::object();
  Json config = read_json_file(folder / name);
  require(config.is_object(), "{}: not a JSON object", (folder / name).string());
  return config;
}

// "LlavaProcessor"; else what the model's type implies.
std::string class_of(const fs::path& folder) {
  for (const char* name : {"processor_config.json", "preprocessor_config.json", "tokenizer_config.json"})
    if (const std::string kind = nn::config_string(file_of(folder, name), "processor_class", ""); !kind.empty())
      return kind;
  const std::string type = nn::config_string(file_of(folder, "config.json"), "model_type", "");
  return type == "llava"     ? "LlavaProcessor"
         : type == "idefics" ? "IdeficsProcessor"
         : type == "blip"    ? "BlipProcessor"
         : type == "qwen2_vl" ? "Qwen2VLProcessor"
                             : "";
}

TextImageProcessor::Kind kind_of(const fs::path& folder) {
  const std::string name = class_of(folder);
  if (name == "LlavaProcessor") return TextImageProcessor::Kind::llava;
  if (name == "IdeficsProcessor") return TextImageProcessor::Kind::idefics;
  if (name == "Qwen2VLProcessor") return TextImageProcessor::Kind::qwen2_vl;
  return name == "BlipProcessor" ? TextImageProcessor::Kind::blip : TextImageProcessor::Kind::plain;
}

void replace_all(std::string* text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text->find(what, at)) != std::string::npos; at += with.size())
    text->replace(at, what.size(), with);
}

std::string times(const std::string& piece, int64_t count) {
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += piece;
  return out;
}

std::string without_blanks(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

constexpr const char* kFake = "<fake_token_around_image>";

}  // namespace

bool joins_texts_and_images(const fs::path& folder) { return kind_of(folder) != TextImageProcessor::Kind::plain; }

TextImageProcessor::TextImageProcessor(const fs::path& folder, std::shared_ptr<const Tokenizer> tokenizer)
    : kind_(kind_of(folder)),
      tokenizer_(std::move(tokenizer)),
      image_processor_(processor_settings(folder, "image_processor", "pictures")) {
  if (kind_ == Kind::idefics) image_token_ = "<image>";
  if (kind_ == Kind::qwen2_vl) {
    image_token_ = nn::config_string(file_of(folder, "tokenizer_config.json"), "image_token", "<|image_pad|>");
    const int64_t merge = nn::config_int(processor_settings(folder, "image_processor", "pictures"), "merge_size", 2);
    patches_of_token_ = merge * merge;
  }
  if (kind_ != Kind::llava) return;
  const Json own = file_of(folder, "processor_config.json"), model = file_of(folder, "config.json");
  image_token_ = nn::config_string(own, "image_token", "<image>");
  // Old folders leave to the model's config what the processor's does not say.
  const auto vision = model.find("vision_config");
  const int64_t patch = vision != model.end() && vision->is_object() ? nn::config_int(*vision, "patch_size", 14) : 14;
  patch_size_ = nn::config_int(own, "patch_size", patch);
  const bool complete = own.contains("patch_size") && !own["patch_size"].is_null();
  more_tokens_ = nn::config_int(own, "num_additional_image_tokens", complete ? 0 : 1, 0);
  const std::string strategy =
      nn::config_string(own, "vision_feature_select_strategy",
                        complete ? "" : nn::config_string(model, "vision_feature_select_strategy", "default"));
  if (strategy == "default") --more_tokens_;
}

std::string TextImageProcessor::image_before_text() const {
  if (kind_ == Kind::idefics || image_token_.empty()) return image_token_;
  return kind_ == Kind::qwen2_vl ? "<|vision_start|>" + image_token_ + "<|vision_end|>" : image_token_ + "\n";
}

nn::NamedTensors TextImageProcessor::tokenize(const std::vector<std::string>& texts, bool special) const {
  require(tokenizer_ != nullptr, "processor: no tokenizer, which says how the model takes text");
  std::vector<Encoding> rows;
  for (const std::string& text : texts) rows.push_back(tokenizer_->encode(text, special));
  tokenizer_->pad(rows);
  std::vector<int64_t> ids, mask;
  for (const Encoding& row : rows) {
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    mask.insert(mask.end(), row.attention_mask.begin(), row.attention_mask.end());
  }
  require(!ids.empty(), "processor: the text has no tokens");
  const Shape shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].ids.size())};
  return {{"input_ids", Tensor::from(std::span<const int64_t>(ids), shape)},
          {"attention_mask", Tensor::from(std::span<const int64_t>(mask), shape)}};
}

nn::NamedTensors TextImageProcessor::operator()(const std::vector<std::string>& texts,
                                                std::span<const media::Image> images, bool special) const {
  if (texts.empty()) return image_processor_(images);
  if (kind_ == Kind::idefics) return interleaved(texts, images);
  nn::NamedTensors out;
  std::vector<std::string> expanded = texts;
  if (!images.empty()) {
    out = image_processor_(images);
    const Tensor& pixels = out.at("pixel_values");
    if (kind_ == Kind::llava) {
      const std::string patches =
          times(image_token_, (pixels.size(2) / patch_size_) * (pixels.size(3) / patch_size_) + more_tokens_);
      for (std::string& text : expanded) replace_all(&text, image_token_, patches);
    }
    if (kind_ == Kind::qwen2_vl) spread(&expanded, out.at("image_grid_thw"));
  }
  out.merge(tokenize(expanded, special));
  return out;
}

// Each picture's token as many times as its patches make embeddings.
void TextImageProcessor::spread(std::vector<std::string>* texts, const Tensor& grid) const {
  int64_t picture = 0;
  for (std::string& text : *texts)
    for (size_t at = 0; (at = text.find(image_token_, at)) != std::string::npos; ++picture) {
      require(picture < grid.size(0), "processor: the texts name more pictures than the {} given", grid.size(0));
      const int64_t* sides = grid.data<int64_t>() + 3 * picture;
      const std::string all = times(image_token_, sides[0] * sides[1] * sides[2] / patches_of_token_);
      text.replace(at, image_token_.size(), all);
      at += all.size();
    }
  require(picture == grid.size(0), "processor: the texts name {} pictures, {} are given", picture, grid.size(0));
}

nn::NamedTensors TextImageProcessor::interleaved(std::vector<std::string> texts,
                                                 std::span<const media::Image> images) const {
  require(tokenizer_ != nullptr, "processor: no tokenizer, which says how the model takes text");
  const auto rows = static_cast<int64_t>(texts.size());
  const std::string bos = tokenizer_->bos_id() ? tokenizer_->token_text(*tokenizer_->bos_id()) : "";
  const bool placed = std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
    return text.find(image_token_) != std::string::npos;
  });
  require(placed || images.empty() || static_cast<int64_t>(images.size()) == rows,
          "processor: {} texts and {} pictures, expected one for each, or {} where they stand", rows, images.size(),
          image_token_);
  std::vector<int64_t> counts;
  for (std::string& text : texts) {
    if (!placed) {
      counts.push_back(images.empty() ? 0 : 1);
      text = bos + (images.empty() ? "" : kFake + image_token_ + kFake) + without_blanks(text);
      continue;
    }
    counts.push_back(0);
    for (size_t at = 0; (at = text.find(image_token_, at)) != std::string::npos; at += image_token_.size())
      ++counts.back();
    if (text.find(kFake) == std::string::npos) {
      replace_all(&text, image_token_, kFake + image_token_ + kFake);
      replace_all(&text, std::string(kFake) + kFake, kFake);  // neighbours share one
    }
    if (!text.starts_with(bos)) text = bos + text;
  }
  int64_t sum = 0, most = 1;
  for (const int64_t count : counts) sum += count, most = std::max(most, count);
  require(sum == static_cast<int64_t>(images.size()), "processor: the texts name {} pictures, {} are given", sum,
          images.size());

  nn::NamedTensors out = tokenize(texts, false);
  // Every row has room for the most pictures of any; what is missing is black.
  const int64_t side = image_processor_.square_side();
  Tensor all = Tensor::zeros({rows, most, 3, side, side});
  if (!images.empty()) {
    const Tensor pixels = contiguous(image_processor_(images).at("pixel_values"));
    const int64_t each = pixels.numel() / pixels.size(0);
    const float* from = pixels.data<float>();
    for (int64_t b = 0; b < rows; ++b) {
      const int64_t count = counts[static_cast<size_t>(b)];
      std::copy_n(from, count * each, all.data<float>() + b * most * each);
      from += count * each;
    }
  }
  out["pixel_values"] = all;

  const Shape shape = out["input_ids"].shape();
  const auto image_id = tokenizer_->token_id(image_token_), end = tokenizer_->eos_id();
  const int64_t* ids = out["input_ids"].data<int64_t>();
  std::vector<int64_t> mask(static_cast<size_t>(rows * shape[1] * most));
  for (int64_t b = 0; b < rows; ++b) {
    int64_t seen = -1;
    bool ended = false;
    for (int64_t t = 0; t < shape[1]; ++t) {
      const int64_t id = ids[b * shape[1] + t];
      if (image_id && id == *image_id) ++seen, ended = false;
      if (!images.empty() && seen >= 0 && seen < most && !ended)
        mask[static_cast<size_t>((b * shape[1] + t) * most + seen)] = 1;
      ended = ended || (end && id == *end);
    }
  }
  out["image_attention_mask"] = Tensor::from(std::span<const int64_t>(mask), {rows, shape[1], most});
  return out;
}

}  // namespace mynah::bundle
