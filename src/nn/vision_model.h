// Networks that look at pixels: what a family implements, and the reference's forward pass made from it.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "mynah/json.h"
#include "nn/inputs.h"
#include "nn/model.h"

namespace mynah::nn {

class VisionModel : public Model {
 public:
  HeadKind kind() const override { return kind_; }

  // Inputs: pixel_values [B,C,H,W]; optional labels (classifiers), interpolate_pos_encoding. Outputs are the family's:
  // last_hidden_state, pooler_output; logits and loss; hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const override;

 protected:
  explicit VisionModel(const Json& config) : config_(config), kind_(head_kind(config)) {}
  // Outputs by the reference's names, without loss. `interpolate`: position tables follow the image's size.
  virtual NamedTensors look(const Tensor& pixels, bool interpolate, std::vector<Tensor>* states) const = 0;
  virtual int64_t channels() const = 0;

  const Json config_;

 private:
  HeadKind kind_;
};

// Patches of pixels as rows: pixels [B,C,H,W], weight [O,C,PH,PW], bias [O] or undefined -> [B * (H/PH) * (W/PW), O].
Tensor patch_rows(const Tensor& pixels, const Tensor& weight, const Tensor& bias);

// A position table [P, C] of a grid of patches resized to height x width patches, bicubic: [height * width, C]. `excess`: patches
// that some references add to the size when they work out the scale, 0.1, which moves every place a little.
Tensor resize_positions(const Tensor& table, std::array<int64_t, 2> grid, int64_t height, int64_t width, float excess = 0);

}  // namespace mynah::nn
