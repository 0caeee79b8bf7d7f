// Pictures -> pixel_values, as the image processor named in a model's preprocessor_config.json makes them (transformers 4.57, the
// PIL kind). Known: ViT, DeiT, BiT (DINOv2), CLIP, SigLIP, BLIP, ConvNeXt (also ResNet), SegFormer, DETR, YOLOS, DPT, LLaVA, IDEFICS, VideoMAE, Donut, Qwen2-VL, SAM,
// YOLOX and YOLO (the last two are not the reference's), and what is put together from their keys.
#pragma once
#include <array>
#include <filesystem>
#include <span>

#include "base/json.h"
#include "media/image.h"
#include "media/letterbox.h"
#include "nn/model.h"

namespace mynah::bundle {

class ImageProcessor {
 public:
  // `config`: preprocessor_config.json, or the image_processor part of processor_config.json. Throws failure for a kind or a
  // setting that is not known.
  explicit ImageProcessor(const Json& config);

  // The edge of the squares that all pictures become. Throws failure for a processor that makes others.
  int64_t square_side() const;

  // The same with other settings for some.
  ImageProcessor changed(const Json& settings) const;

  // YOLO's kinds fit pictures into a frame: whether this is one, and where a picture lies in it.
  bool letterboxes() const;
  media::Letterbox letterbox(const media::Image& image) const;

  // pixel_values [B,3,H,W]; pixel_mask [B,H,W] for DETR. Qwen2-VL: pixel_values [patches of all pictures, pixels of a patch] and
  // image_grid_thw [B,3], the patches of each in time, height and width. SAM: original_sizes and reshaped_input_sizes [B,2] too, height and
  // width of a picture as it is given and before it is filled up to a square.
  nn::NamedTensors operator()(std::span<const media::Image> images) const;

 private:
  media::Image place(const media::Image& image) const;  // padded, resized and cropped

  // What a channel's 256 levels become.
  using Levels = std::array<std::array<float, 256>, 3>;
  Levels levels() const;
  nn::NamedTensors patches(std::span<const media::Image> images) const;
  media::Image squared(const media::Image& image) const;
  media::Image framed(media::Image image) const;

  Json config_;    // as it was given
  Json settings_;  // the kind's defaults under the file's keys
  bool pads_ = false;
};

}  // namespace mynah::bundle
