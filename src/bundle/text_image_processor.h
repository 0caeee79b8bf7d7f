// Texts with pictures -> model inputs, as the processor classes of transformers 4.57 make them: LLaVA's, IDEFICS',
// BLIP's, Qwen2-VL's, and, for folders that name none of these, the tokenizer and the image processor side by side.
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bundle/image_processor.h"
#include "mynah/tokenizer.h"

namespace mynah::bundle {

class TextImageProcessor {
 public:
  // Reads processor_config.json, preprocessor_config.json and config.json of the folder; the tokenizer may be null for
  // a model that reads pictures alone. Throws not_found without an image processor, failure for settings that are not
  // known.
  TextImageProcessor(const std::filesystem::path& folder, std::shared_ptr<const Tokenizer> tokenizer);

  enum class Kind { plain, llava, idefics, blip, qwen2_vl };
  Kind kind() const { return kind_; }
  // What becomes of the transparency of pictures before they are given here.
  media::Alpha alpha() const { return kind_ == Kind::idefics ? media::Alpha::on_white : media::Alpha::dropped; }
  // What stands in a text for a picture; empty where pictures have no place in it.
  const std::string& image_token() const { return image_token_; }
  // The same with what goes around it, before a text that has no place for the picture.
  std::string image_before_text() const;

  // One batch: a row for each text, `images` those of all rows in order. Of IDEFICS, whose pictures belong to rows,
  // each text has one of them, before it, or all pictures stand where the texts say. Outputs: input_ids, attention_mask
  // (i64), padded as tokenizer_config.json says; pixel_values; image_attention_mask (i64). No texts: pixel_values
  // alone. `special`: false for texts that begin with the tokens that the tokenizer would put around them.
  nn::NamedTensors operator()(const std::vector<std::string>& texts, std::span<const media::Image> images,
                              bool special = true) const;

 private:
  nn::NamedTensors tokenize(const std::vector<std::string>& texts, bool special) const;
  void spread(std::vector<std::string>* texts, const Tensor& grid) const;
  nn::NamedTensors interleaved(std::vector<std::string> texts, std::span<const media::Image> images) const;

  Kind kind_ = Kind::plain;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ImageProcessor image_processor_;
  std::string image_token_;
  int64_t patch_size_ = 0, more_tokens_ = 0;  // of LLaVA: tokens of a picture beyond its patches
  int64_t patches_of_token_ = 1;              // of Qwen2-VL
};

// Whether the folder's processor is one that puts texts and pictures together.
bool joins_texts_and_images(const std::filesystem::path& folder);

}  // namespace mynah::bundle
