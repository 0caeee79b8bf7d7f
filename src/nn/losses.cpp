#include "nn/losses.h"

#include <algorithm>

#include "base/require.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::nn {

Tensor token_loss(const Tensor& logits, const std::vector<int32_t>& labels) {
  const std::vector<int64_t> targets(labels.begin(), labels.end());
  return cross_entropy(logits, Tensor::from(std::span<const int64_t>(targets), {static_cast<int64_t>(targets.size())}));
}

Tensor next_token_loss(const Tensor& logits, const std::vector<int32_t>& labels, int64_t rows, int64_t length) {
  std::vector<int32_t> targets(labels.size(), -100);
  for (int64_t b = 0; b < rows; ++b) std::copy_n(labels.begin() + b * length + 1, length - 1, targets.begin() + b * length);
  return token_loss(logits, targets);
}

Tensor binary_cross_entropies(const Tensor& logits, const Tensor& targets) {
  // max(x, 0) - x t + log(1 + e^-|x|): no overflow for any x
  return relu(logits) - logits * targets + log(add(exp(neg(abs(logits))), 1.0f));
}

Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets) { return mean(binary_cross_entropies(logits, targets)); }

Tensor classification_loss(const Json& config, const Tensor& logits, const Inputs& inputs) {
  const int64_t rows = logits.size(0), labels = logits.size(1);
  const Tensor& given = inputs.tensor("labels");
  std::string type = config_string(config, "problem_type", "");
  if (type.empty()) type = labels == 1 ? "regression" : is_floating(given.dtype()) ? "multi_label_classification" : "single_label_classification";
  if (type == "single_label_classification") {
    const std::vector<int32_t> targets = inputs.integers("labels", given.numel() == rows ? given.shape() : Shape{rows});
    return token_loss(logits, targets);
  }
  require(given.numel() == logits.numel(), "forward: labels has shape {}, expected {}", given.shape().str(), logits.shape().str());
  const Tensor targets = reshape(to(given, DType::f32), logits.shape());
  if (type == "regression") return mean(square(logits - targets));
  if (type == "multi_label_classification") return binary_cross_entropy(logits, targets);
  fail(ErrorCode::failure, "config.json: problem_type is \"{}\", expected regression, single_label_classification or multi_label_classification", type);
}

NamedTensors span_outputs(const Tensor& logits, const Inputs& inputs) {
  NamedTensors out{{"start_logits", select(logits, 2, 0)}, {"end_logits", select(logits, 2, 1)}};
  if (!inputs.has("start_positions") || !inputs.has("end_positions")) return out;
  const auto length = static_cast<int32_t>(logits.size(1));
  const auto loss = [&](const char* logits_name, const char* positions_name) {
    std::vector<int32_t> positions = inputs.integers(positions_name, inputs.tensor(positions_name).shape());
    for (int32_t& p : positions) p = p >= length ? -100 : std::max(p, 0);
    return token_loss(out[logits_name], positions);
  };
  out["loss"] = (loss("start_logits", "start_positions") + loss("end_logits", "end_positions")) * 0.5f;
  return out;
}

Tensor segmentation_loss(const Json& config, const Tensor& logits, const Inputs& inputs) {
  const Shape shape = inputs.shape_of("labels", 3, "[batch, height, width]");
  const int64_t classes = logits.size(1), ignored = config_int(config, "semantic_loss_ignore_index", 255, -1000);
  require(shape[0] == logits.size(0), "forward: labels has {} maps for {} images", shape[0], logits.size(0));
  const std::vector<int32_t> labels = inputs.integers("labels", shape);
  const Tensor sized = interpolate(logits, shape[1], shape[2], Interpolation::bilinear);
  const int order[] = {0, 2, 3, 1};
  const auto count = static_cast<int64_t>(labels.size());
  const Tensor rows = reshape(permute(sized, order), {count, classes});
  std::vector<int64_t> targets;
  for (const int32_t label : labels) {
    require(classes == 1 || label == ignored || (label >= 0 && label < classes), "forward: labels holds {}, expected 0..{} or {}", label, classes - 1, ignored);
    targets.push_back(label);
  }
  if (classes > 1) return cross_entropy(rows, Tensor::from(std::span<const int64_t>(targets), {count}), ignored);
  // What is not judged counts as a pixel without loss.
  const Tensor x = reshape(rows, {count});
  Tensor wanted = Tensor::zeros({count}), judged = Tensor::zeros({count});
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = targets[static_cast<size_t>(i)];
    wanted.data<float>()[i] = static_cast<float>(label);
    judged.data<float>()[i] = label >= 0 && label != ignored ? 1 : 0;
  }
  return mean(binary_cross_entropies(x, wanted) * judged);
}

}  // namespace mynah::nn
