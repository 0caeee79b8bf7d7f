// What the YOLO detectors are built of, written from their papers and descriptions: a convolution with its batch norm and activation,
// blocks that split, work and join, pooling pyramids. Norms may be folded into the convolutions on disk ("conv.bias" and no "bn").
// Shapes: maps [B,C,h,w].
#pragma once
#include <memory>
#include <vector>

#include "models/maps.h"
#include "nn/inputs.h"
#include "ops/folded_conv.h"

namespace mynah {

// "conv.weight" with "bn.*" or "conv.bias", then x sigmoid(x).
struct YoloConv {
  YoloConv() = default;
  YoloConv(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = -1, int64_t groups = 1);
  Tensor operator()(const Tensor& x) const;

  MapConvolution conv;
  MapNorm norm;
  int64_t stride = 1, padding = 0;
  std::shared_ptr<const ops::FoldedConv> folded;
};

// A 3x3 convolution, or one for each channel ("dconv") and a mixing 1x1 ("pconv").
struct YoloWide {
  YoloWide() = default;
  YoloWide(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride, bool depthwise);
  Tensor operator()(const Tensor& x) const;

  std::vector<YoloConv> steps;
};

// Names of the parts, which differ between the lines: "conv1" (YOLOX), "cv1" (v5, v8).
struct YoloBottleneck {
  YoloBottleneck(const nn::Weights& w, const char* stem, int64_t size, int64_t first_kernel, bool shortcut_, bool depthwise);
  Tensor operator()(const Tensor& x) const;

  YoloConv first;
  YoloWide second;
  bool shortcut;
};

// Two halves of the channels, one of which passes bottlenecks, joined by a third convolution (arXiv:1911.11929).
struct YoloCsp {
  YoloCsp(const nn::Weights& w, const char* stem, int64_t in, int64_t out, int64_t count, bool shortcut, bool depthwise = false);
  Tensor operator()(const Tensor& x) const;

  YoloConv first, second, last;
  std::vector<YoloBottleneck> blocks;
};

// How the logits of rare things start: probabilities of 0.01 (arXiv:1708.02002).
inline nn::Init rare() { return {nn::Init::constant, -4.595f}; }

// pixel_values [B,3,H,W], whose sides must be multiples of 32.
Tensor yolo_pixels(const nn::Inputs& in);
Tensor doubled(const Tensor& x);  // twice as high and wide, nearest

// Column, row and stride of every place of maps, one map after another.
struct GridPlace {
  float x, y, stride;
};
std::vector<GridPlace> grid_places(const std::vector<Tensor>& maps, const std::vector<int64_t>& strides);

}  // namespace mynah
