// The convolutional body of ResNet, shared by the classifier and by networks that have it as a backbone, under the names of
// transformers or of timm (conv1, layer1.0.conv1 ...). Papers: arXiv:1512.03385; v1.5 strides in the 3x3 convolution.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "mynah/ops.h"
#include "nn/weights.h"
#include "ops/folded_conv.h"

namespace mynah {

struct ResNetConfig {
  // A config of model type resnet.
  explicit ResNetConfig(const Json& c);
  // timm's "resnet18", "resnet34", "resnet50", "resnet101" or "resnet152". Throws failure for others.
  static ResNetConfig of_timm(const std::string& name, int64_t num_channels);

  int64_t num_channels, embedding_size;
  std::vector<int64_t> hidden_sizes, depths;
  bool bottleneck, downsample_in_first_stage, downsample_in_bottleneck;
  Activation hidden_act;
};

struct ResNetForm {
  bool timm_names = false;
  bool frozen = false;          // norms are no parameters, nor are the convolutions before stage `trained_from`
  size_t trained_from = 0;      // counted from 0
  bool dilated = false;         // the last stage keeps the size and spreads its windows instead
};

// Convolution without bias, then batch norm; folded into one where neither is trained.
struct ConvNorm {
  ConvNorm(const nn::Weights& w, const std::string& convolution, const std::string& norm, int64_t in, int64_t out, int64_t kernel, int64_t stride_, int64_t dilation_,
           bool trains_convolution, bool trains_norm);
  // With `added` added, then relu if asked for.
  Tensor operator()(const Tensor& x, bool with_relu = false, const Tensor& added = {}) const;

  ConvConfig config() const;

  Tensor weight, scale, shift, mean, variance;
  int64_t stride, dilation;
  std::shared_ptr<const ops::FoldedConv> folded;
};

class ResNetBody {
 public:
  ResNetBody(const ResNetConfig& c, const nn::Weights& w, const ResNetForm& form = {});
  // pixels [B,C,H,W] -> the stem's output and that of every stage.
  std::vector<Tensor> forward(const Tensor& pixels) const;

 private:
  struct Layer {
    std::optional<ConvNorm> shortcut;
    std::vector<ConvNorm> convolutions;
    Tensor forward(const Tensor& x, Activation act) const;
  };
  static Layer layer(const ResNetConfig& c, const nn::Weights& w, int64_t in, int64_t out, int64_t stride, int64_t first_dilation, int64_t dilation, const ResNetForm& form,
                     bool trains);

  ResNetConfig config_;
  std::optional<ConvNorm> stem_;
  std::vector<std::vector<Layer>> stages_;
};

}  // namespace mynah
