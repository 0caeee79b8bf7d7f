// What the YOLO detectors are built of, written from their papers and descriptions: a convolution with its batch norm and activation,
// blocks that split, work and join, pooling pyramids. Norms may be folded into the convolutions on disk ("conv.bias" and no "bn").
// Shapes: maps [B,C,h,w]. `into`: where a network that only answers writes the result, or undefined.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "models/joined_maps.h"
#include "models/maps.h"
#include "nn/inputs.h"

namespace mynah {

// "conv.weight" with "bn.*" or "conv.bias", then x sigmoid(x).
struct YoloConv {
  YoloConv() = default;
  YoloConv(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = -1, int64_t groups = 1);
  // With `added` added to it, if defined.
  Tensor operator()(const Tensor& x, const Tensor& into = {}, const Tensor& added = {}) const;
  bool answers(const Tensor& x) const { return folded && !x.requires_grad(); }
  int64_t outputs() const { return conv.weight.size(0); }

  MapConvolution conv;
  MapNorm norm;
  int64_t stride = 1, padding = 0;
  std::shared_ptr<const ops::FoldedConv> folded;
};

// A 3x3 convolution, or one for each channel ("dconv") and a mixing 1x1 ("pconv").
struct YoloWide {
  YoloWide() = default;
  YoloWide(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride, bool depthwise);
  Tensor operator()(const Tensor& x, const Tensor& into = {}, const Tensor& added = {}) const;
  int64_t outputs() const { return steps.back().outputs(); }

  std::vector<YoloConv> steps;
};

// Names of the parts, which differ between the lines: "conv1" (YOLOX), "cv1" (v5, v8).
struct YoloBottleneck {
  YoloBottleneck(const nn::Weights& w, const char* stem, int64_t size, int64_t first_kernel, bool shortcut_, bool depthwise);
  Tensor operator()(const Tensor& x, const Tensor& into = {}) const;

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

// "<name>.weight" and "<name>.bias" of single pixels, without what follows in a YoloConv: the last one of a head. Always computed in f32.
struct YoloLast {
  YoloLast(const nn::Weights& w, std::string_view name, int64_t in, int64_t out, nn::Init bias);
  Tensor operator()(const Tensor& x, const Tensor& into = {}) const;
  bool answers(const Tensor& x) const { return folded && !x.requires_grad(); }

  MapConvolution conv;
  std::shared_ptr<const ops::FoldedConv> folded;
};

// How the logits of rare things start: probabilities of 0.01 (arXiv:1708.02002).
inline nn::Init rare() { return {nn::Init::constant, -4.595f}; }

// pixel_values [B,3,H,W], whose sides must be multiples of 32.
Tensor yolo_pixels(const nn::Inputs& in);
// What `make` gives, `channels` maps of own's size, beside `own`.
Tensor beside(bool answering, int64_t channels, const std::function<Tensor(const Tensor& into)>& make, const Tensor& own);
Tensor doubled(const Tensor& x, const Tensor& into);  // twice as high and wide, nearest
Tensor pooled(const Tensor& x, int64_t size, const Tensor& into);  // the largest of size x size places, as many as before
Tensor place_rows(const Tensor& maps);                             // [B,C,h,w] -> [B,h*w,C]

// Column, row and stride of every place of maps, one map after another.
struct GridPlace {
  float x, y, stride;
};
std::vector<GridPlace> grid_places(const std::vector<Tensor>& maps, const std::vector<int64_t>& strides);

}  // namespace mynah
