#include "train/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <regex>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/require.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBase = "base_model.model.";

// PEFT's default targets by model_type.
std::vector<std::string> default_targets(const std::string& type) {
  if (type == "gpt2") return {"c_attn"};
  if (type == "bert" || type == "roberta" || type == "electra" || type == "xlm-roberta") return {"query", "value"};
  if (type == "t5" || type == "mt5") return {"q", "v"};
  if (type == "falcon" || type == "bloom" || type == "gpt_neox") return {"query_key_value"};
  if (type == "distilbert") return {"q_lin", "v_lin"};
  return {"q_proj", "v_proj"};
}

Json read_adapter_config(const fs::path& folder) {
  if (!fs::exists(folder / "adapter_config.json"))
    fail(ErrorCode::not_found, "{}: no adapter_config.json; expected an adapter folder as PEFT writes it", folder.string());
  Json config = read_json_file(folder / "adapter_config.json");
  const std::string type = nn::config_string(config, "peft_type", "LORA");
  require(type == "LORA", "{}: peft_type is {}, expected LORA", folder.string(), type);
  require(!nn::config_bool(config, "use_qalora", false), "{}: use_qalora is not supported", folder.string());
  require(nn::config_string(config, "bias", "none") == "none", "{}: bias is {}, expected none", folder.string(), config["bias"].dump());
  for (const char* key : {"rank_pattern", "alpha_pattern"})
    require(!config.contains(key) || config[key].empty(), "{}: {} is not supported", folder.string(), key);
  return config;
}

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> all;
  if (list.is_string()) all.push_back(list.get<std::string>());
  if (list.is_array())
    for (const Json& item : list)
      if (item.is_string()) all.push_back(item.get<std::string>());
  return all;
}

bool is_module(const std::string& path, const std::string& name) { return path == name || path.ends_with("." + name); }

}  // namespace

Adapter::Adapter(const LoraOptions& options, const Json& model, bool trains_head, uint64_t seed, bool trainable)
    : options_(options), trainable_(trainable), seed_(seed) {
  const std::string type = nn::config_string(model, "model_type", "");
  if (!options.adapter.empty()) {
    config_ = read_adapter_config(options.adapter);
    options_.r = nn::config_int(config_, "r", 8);
    options_.alpha = nn::config_number(config_, "lora_alpha", 8);
    options_.dropout = nn::config_number(config_, "lora_dropout", 0);
    options_.use_rslora = nn::config_bool(config_, "use_rslora", false);
    options_.use_dora = nn::config_bool(config_, "use_dora", false);
    options_.target_modules = strings(config_["target_modules"]);
    if (config_.contains("modules_to_save")) heads_ = strings(config_["modules_to_save"]);
    file_ = formats::SafetensorsFile::open(options.adapter / "adapter_model.safetensors");
  } else {
    if (options_.target_modules.empty()) options_.target_modules = default_targets(type);
    if (trains_head) heads_ = {"classifier", "score", "qa_outputs"};
    if (options_.r <= 0) fail(ErrorCode::usage, "--lora-r: {}, expected more than 0", options_.r);
    if (!(options_.dropout >= 0 && options_.dropout < 1)) fail(ErrorCode::usage, "--lora-dropout: {}, expected 0 or more and below 1", options_.dropout);
    config_ = {{"peft_type", "LORA"},
               {"task_type", trains_head ? "SEQ_CLS" : "CAUSAL_LM"},
               {"base_model_name_or_path", nullptr},
               {"r", options_.r},
               {"lora_alpha", options_.alpha},
               {"lora_dropout", options_.dropout},
               {"target_modules", options_.target_modules},
               {"use_rslora", options_.use_rslora},
               {"use_dora", options_.use_dora},
               {"bias", "none"},
               {"fan_in_fan_out", type == "gpt2"},
               {"inference_mode", true},
               {"init_lora_weights", true},
               {"modules_to_save", nullptr}};
  }
}

double Adapter::scale() const { return options_.alpha / (options_.use_rslora ? std::sqrt(static_cast<double>(options_.r)) : static_cast<double>(options_.r)); }

bool Adapter::matches(const std::string& module) const {
  const auto& targets = options_.target_modules;
  if (targets.size() == 1 && targets[0] == "all-linear") {
    for (const char* no : {"lm_head", "embed_tokens", "wte", "wpe", "shared", "score", "classifier", "qa_outputs", "word_embeddings"})
      if (is_module(module, no)) return false;
    return true;
  }
  // In a PEFT folder a single text is a regular expression over the whole path.
  if (config_["target_modules"].is_string()) return std::regex_match(module, std::regex(targets[0]));
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& t) { return is_module(module, t); });
}

std::shared_ptr<const nn::LowRank> Adapter::adapter(const std::string& module, int64_t out, int64_t in, const std::function<Tensor()>& weight) {
  seen_.push_back(module);
  if (!matches(module)) return nullptr;
  const std::string name_a = kBase + module + ".lora_A.weight", name_b = kBase + module + ".lora_B.weight", name_m = kBase + module + ".lora_magnitude_vector";
  const Shape shape_a{options_.r, in}, shape_b{out, options_.r};
  Tensor a = Tensor::empty(shape_a), b = Tensor::zeros(shape_b), magnitude = options_.use_dora ? Tensor::empty({out}) : Tensor();
  if (file_) {
    for (auto [name, target] : {std::pair{name_a, &a}, {name_b, &b}, {name_m, &magnitude}}) {
      if (!target->defined()) continue;
      if (!file_->contains(name)) fail(ErrorCode::integrity, "{}: no {}", options_.adapter.string(), name);
      const Tensor value = contiguous(to(file_->tensor(name), DType::f32));
      if (!(value.shape() == target->shape()))
        fail(ErrorCode::failure, "{}: {} has shape {}, expected {}; the adapter is of another model", options_.adapter.string(), name, value.shape().str(),
             target->shape().str());
      std::memcpy(target->raw(), value.raw(), value.nbytes());
    }
  } else {
    const float bound = 1 / std::sqrt(static_cast<float>(in));
    fill_uniform(a.data<float>(), a.numel(), -bound, bound, seed_, name_a);
    // B is zero, so the rows of W + scale B A have the lengths of W's.
    if (magnitude.defined()) magnitude = contiguous(sqrt(sum(square(weight()), 1)));
  }
  if (trainable_) {
    a = requires_grad(a);
    b = requires_grad(b);
    parameters_.emplace_back(name_a, a);
    parameters_.emplace_back(name_b, b);
    if (magnitude.defined()) {
      magnitude = requires_grad(magnitude);
      parameters_.emplace_back(name_m, magnitude);
    }
  } else {
    parameters_.emplace_back(name_a, a);
  }
  auto low = std::make_shared<nn::LowRank>();
  low->a = a;
  low->b = b;
  low->magnitude = magnitude;
  low->scale = static_cast<float>(scale());
  low->dropout = static_cast<float>(options_.dropout);
  return low;
}

bool Adapter::trains(const std::string& weight) const {
  const std::string module = weight.substr(0, weight.rfind('.'));
  return trainable_ && std::any_of(heads_.begin(), heads_.end(), [&](const std::string& h) { return is_module(module, h); });
}

void Adapter::check_found() const {
  if (!parameters_.empty()) return;
  std::vector<std::string> names;
  for (const std::string& module : seen_) {
    const std::string name = module.substr(module.rfind('.') + 1);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  fail(ErrorCode::usage, "--lora-target-modules {}: no such module; the model has {}", fmt::join(options_.target_modules, ","), fmt::join(names, ", "));
}

void Adapter::save(const fs::path& folder, const std::string& base_model, const NamedParameters& whole) const {
  fs::create_directories(folder);
  std::vector<formats::OutputTensor> tensors;
  for (const auto& [name, tensor] : parameters_) tensors.emplace_back(name, tensor.detach());
  Json modules = Json::array();
  for (const auto& [name, tensor] : whole) {
    tensors.emplace_back(kBase + name, tensor.detach());
    const std::string module = name.substr(0, name.rfind('.')), last = module.substr(module.rfind('.') + 1);
    if (std::find(modules.begin(), modules.end(), Json(last)) == modules.end()) modules.push_back(last);
  }
  formats::write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  Json config = config_;
  config["base_model_name_or_path"] = base_model;
  if (!modules.empty()) config["modules_to_save"] = modules;
  AtomicFile file(folder / "adapter_config.json");
  file.write(config.dump(2) + "\n");
  file.commit();
}

std::string base_of_adapter(const fs::path& adapter) {
  const Json config = read_adapter_config(adapter);
  const std::string base = nn::config_string(config, "base_model_name_or_path", "");
  require(!base.empty(), "{}: adapter_config.json names no base_model_name_or_path", adapter.string());
  return base;
}

double merge_adapter(const fs::path& folder, const fs::path& base, const fs::path& output_dir) {
  LoraOptions options;
  options.enabled = true;
  options.adapter = folder;
  const Json adapter_config = read_adapter_config(folder);
  const auto file = formats::SafetensorsFile::open(folder / "adapter_model.safetensors");
  // A classifier trained beside the adapter comes with it, so the base may lack it.
  bundle::TrainOptions train;
  train.new_head = nn::config_string(adapter_config, "task_type", "") == "SEQ_CLS";
  if (fs::exists(folder / "config.json")) {
    const Json config = read_json_file(folder / "config.json");
    train.edit_config = [config](Json* c) { *c = config; };
  }
  const auto b = bundle::open(base, {.precision = Precision::f32, .trainable = true}, {}, train);
  const double alpha = nn::config_number(adapter_config, "lora_alpha", 8);
  const auto r = static_cast<double>(nn::config_int(adapter_config, "r", 8));
  const double scale = alpha / (nn::config_bool(adapter_config, "use_rslora", false) ? std::sqrt(r) : r);
  NoGrad no_grad;
  double largest = 0;
  size_t used = 0;
  for (const nn::Parameter& p : b->weights.parameters) {
    Tensor target = p.value.detach();
    if (const std::string whole = kBase + p.name; file->contains(whole)) {
      const Tensor value = contiguous(to(file->tensor(whole), DType::f32));
      require(value.shape() == target.shape(), "{}: {} has shape {}, expected {}", folder.string(), whole, value.shape().str(), target.shape().str());
      std::memcpy(target.raw(), value.raw(), value.nbytes());
      ++used;
      continue;
    }
    if (!p.name.ends_with(".weight")) continue;
    const std::string module = kBase + p.name.substr(0, p.name.size() - std::string(".weight").size());
    if (!file->contains(module + ".lora_A.weight")) continue;
    const Tensor a = to(file->tensor(module + ".lora_A.weight"), DType::f32), low_b = to(file->tensor(module + ".lora_B.weight"), DType::f32);
    Tensor delta = matmul(low_b, a) * static_cast<float>(scale);  // [out, in]
    if (!(delta.shape() == target.shape()) || nn::config_bool(adapter_config, "fan_in_fan_out", false)) delta = contiguous(transpose(delta, 0, 1));
    require(delta.shape() == target.shape(), "{}: {} has shape {}, the weight {}", folder.string(), module, delta.shape().str(), target.shape().str());
    for (int64_t i = 0; i < delta.numel(); ++i) {
      target.data<float>()[i] += delta.data<float>()[i];
      largest = std::max(largest, static_cast<double>(std::abs(delta.data<float>()[i])));
    }
    used += 2;
  }
  require(used == file->tensors().size(), "{}: {} of {} tensors fit {}; the adapter is of another model", folder.string(), used, file->tensors().size(),
          b->architecture());
  bundle::save(*b, output_dir);
  return largest;
}

}  // namespace mynah::train
