#include "train/merge_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/json.h"
#include "bundle/bundle.h"
#include "mynah/autograd.h"
#include "nn/config.h"
#include "nn/model.h"
#include "train/lora.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

Tensor probe(int64_t vocabulary) {
  constexpr int64_t kTokens = 32;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kTokens; ++i) ids.push_back((13 + i * 7919) % vocabulary);
  return Tensor::from(std::span<const int64_t>(ids), {1, kTokens});
}

std::vector<float> logits(const bundle::Bundle& b, bool decodes) {
  const NoGrad no_grad;
  nn::NamedTensors inputs{{"input_ids", probe(nn::config_int(b.config, "vocab_size", 2))}};
  if (decodes) inputs["decoder_input_ids"] = inputs["input_ids"];
  return b.network->forward(inputs, {}).at("logits").to_vector();
}

}  // namespace

std::optional<double> largest_logit_difference(const fs::path& folder, const fs::path& base, const fs::path& merged, bool load_in_4bit) {
  const Json json = read_json_file(folder / "adapter_config.json");
  const std::string task = nn::config_string(json, "task_type", "");
  const auto whole = json.find("modules_to_save");
  if ((task != "CAUSAL_LM" && task != "SEQ_2_SEQ_LM") || (whole != json.end() && whole->is_array() && !whole->empty())) return std::nullopt;
  LoraOptions options;
  options.enabled = true;
  options.adapter = folder;
  const LoadOptions f32{.precision = Precision::f32};
  const bundle::Parts network{.network = true, .tokenizer = false};
  Adapter adapter(options, bundle::open(base, {}, {.network = false, .tokenizer = false})->config, task, 0, false);
  bundle::TrainOptions with_adapter;
  with_adapter.adapters = &adapter;
  if (load_in_4bit) with_adapter.in_4_bits = is_in_4_bits;
  const bool decodes = task == "SEQ_2_SEQ_LM";
  const auto before = logits(*bundle::open(base, f32, network, with_adapter), decodes), after = logits(*bundle::open(merged, f32, network), decodes);
  if (before.size() != after.size()) return std::nullopt;
  double largest = 0;
  for (size_t i = 0; i < before.size(); ++i) largest = std::max(largest, static_cast<double>(std::abs(before[i] - after[i])));
  return largest;
}

}  // namespace mynah::train
