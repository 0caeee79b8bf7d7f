#include "train/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <regex>

#include "base/file.h"
#include "base/random.h"
#include "base/require.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/nf4.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

// PEFT's default targets by model_type.
std::vector<std::string> default_targets(const std::string& type) {
  if (type == "gpt2") return {"c_attn"};
  if (type == "bert" || type == "roberta" || type == "electra" || type == "xlm-roberta") return {"query", "value"};
  if (type == "t5" || type == "mt5" || type == "umt5") return {"q", "v"};
  if (type == "falcon" || type == "bloom" || type == "gpt_neox") return {"query_key_value"};
  if (type == "distilbert") return {"q_lin", "v_lin"};
  if (type == "phi3") return {"qkv_proj"};
  return {"q_proj", "v_proj"};
}

const std::string& embedding_name(const std::string& module) {
  static const std::vector<std::string> names = {"embed_tokens", "wte", "wpe", "shared", "word_embeddings", "embed_positions", "position_embeddings", "token_type_embeddings"};
  static const std::string none;
  for (const std::string& name : names)
    if (is_module(module, name)) return name;
  return none;
}

// A tensor of an adapter file in f32; `shape` is what the model needs.
Tensor read(const formats::TensorSource& file, const fs::path& folder, const std::string& name, const Shape& shape) {
  if (!file.contains(name)) fail(ErrorCode::integrity, "{}: no {}", folder.string(), name);
  const Tensor value = contiguous(to(file.tensor(name), DType::f32));
  if (!(value.shape() == shape))
    fail(ErrorCode::failure, "{}: {} has shape {}, expected {}; the adapter is of another model", folder.string(), name, value.shape().str(), shape.str());
  return value;
}

// A copy that may be written to.
Tensor owned(const Tensor& value) {
  Tensor copy = Tensor::empty(value.shape());
  std::memcpy(copy.raw(), value.raw(), value.nbytes());
  return copy;
}

}  // namespace

Adapter::Adapter(const LoraOptions& options, const Json& model, const std::string& task_type, uint64_t seed, bool trainable)
    : folder_(options.adapter), trainable_(trainable), seed_(seed) {
  const std::string type = nn::config_string(model, "model_type", "");
  if (!folder_.empty()) {
    json_ = read_adapter_json(folder_);
    config_ = AdapterConfig(json_, folder_.string());
    file_ = formats::SafetensorsFile::open(folder_ / "adapter_model.safetensors");
    return;
  }
  if (options.r <= 0) fail(ErrorCode::usage, "--lora-r: {}, expected more than 0", options.r);
  if (!(options.alpha > 0) || !std::isfinite(options.alpha)) fail(ErrorCode::usage, "--lora-alpha: {}, expected a finite number above 0", options.alpha);
  if (!(options.dropout >= 0 && options.dropout < 1)) fail(ErrorCode::usage, "--lora-dropout: {}, expected 0 or more and below 1", options.dropout);
  if (options.init != "true" && options.init != "false" && options.init != "gaussian")
    fail(ErrorCode::usage, "--init-lora-weights: \"{}\", expected true, false or gaussian", options.init);
  wanted_whole_ = options.modules_to_save;
  targets_named_ = !options.target_modules.empty();
  std::vector<std::string> saved = options.modules_to_save;
  if (task_type == "SEQ_CLS" || task_type == "TOKEN_CLS") saved.insert(saved.end(), {"classifier", "score"});
  if (task_type == "QUESTION_ANS") saved.push_back("qa_outputs");
  json_ = {{"peft_type", "LORA"},
           {"task_type", task_type},
           {"base_model_name_or_path", nullptr},
           {"r", options.r},
           {"lora_alpha", options.alpha},
           {"lora_dropout", options.dropout},
           {"target_modules", options.targets_are_pattern ? Json(options.target_modules.at(0)) : Json(options.target_modules.empty() ? default_targets(type) : options.target_modules)},
           {"use_rslora", options.use_rslora},
           {"use_dora", options.use_dora},
           {"bias", "none"},
           {"fan_in_fan_out", type == "gpt2"},
           {"inference_mode", true},
           {"init_lora_weights", options.init == "gaussian" ? Json("gaussian") : Json(options.init == "true")},
           {"modules_to_save", saved.empty() ? Json() : Json(saved)}};
  config_ = AdapterConfig(json_, "LoRA");
  try {
    config_.matches("");  // a pattern that is none says so here
  } catch (const Error& error) {
    fail(ErrorCode::usage, "--lora-target-modules: {}", error.what());
  }
}

// What PEFT draws: A as nn.Linear's weight, or normal with deviation 1 / r; B zero, or as nn.Linear's weight.
void Adapter::draw(Tensor* a, Tensor* b, const std::string& module) const {
  const std::string name_a = kAdapterPrefix + module + ".lora_A.weight", name_b = kAdapterPrefix + module + ".lora_B.weight";
  const auto uniform = [&](Tensor* t, const std::string& name) {
    const float bound = 1 / std::sqrt(static_cast<float>(t->size(1)));
    fill_uniform(t->data<float>(), t->numel(), -bound, bound, seed_, name);
  };
  if (config_.init == "gaussian") fill_normal(a->data<float>(), a->numel(), 0, 1 / static_cast<float>(a->size(0)), seed_, name_a);
  else uniform(a, name_a);
  if (config_.init == "false") uniform(b, name_b);
}

std::shared_ptr<const nn::LowRank> Adapter::adapter(const std::string& module, int64_t out, int64_t in, const std::function<Tensor()>& weight) {
  seen_.push_back(module);
  if (!config_.matches(module)) return nullptr;
  adapted_.push_back(module);
  if (const std::string& name = embedding_name(module); !name.empty())
    fail(ErrorCode::usage, "LoRA: {} is an embedding, expected linear maps; train it whole with --lora-modules-to-save {}", module, name);
  const std::string base = kAdapterPrefix + module;
  const int64_t r = config_.rank(module);
  auto low = std::make_shared<nn::LowRank>();
  low->scale = static_cast<float>(config_.scale(module));
  low->dropout = static_cast<float>(config_.dropout);
  if (file_) {
    low->a = owned(read(*file_, folder_, base + ".lora_A.weight", {r, in}));
    low->b = owned(read(*file_, folder_, base + ".lora_B.weight", {out, r}));
    if (config_.use_dora) low->magnitude = owned(read(*file_, folder_, base + ".lora_magnitude_vector", {out}));
  } else {
    low->a = Tensor::empty({r, in});
    low->b = Tensor::zeros({out, r});
    draw(&low->a, &low->b, module);
    if (config_.use_dora) low->magnitude = contiguous(sqrt(sum(square(weight() + matmul(low->b, low->a) * low->scale), 1)));
  }
  for (const auto& [name, tensor] : {std::pair{".lora_A.weight", &low->a}, {".lora_B.weight", &low->b}, {".lora_magnitude_vector", &low->magnitude}}) {
    if (!tensor->defined()) continue;
    if (trainable_) *tensor = requires_grad(*tensor);
    parameters_.emplace_back(base + name, *tensor);
  }
  return low;
}

bool Adapter::trains(const std::string& weight) const { return trainable_ && config_.trains(weight); }

NamedParameters Adapter::named_in_file(const NamedParameters& whole) const {
  NamedParameters named;
  for (const auto& [name, tensor] : whole) named.emplace_back(config_.name_of_whole(name), tensor);
  return named;
}

void Adapter::read_whole(const NamedParameters& whole) const {
  if (!file_) return;
  for (auto& [name, tensor] : named_in_file(whole)) {
    const Tensor value = read(*file_, folder_, name, tensor.shape());
    Tensor target = tensor.detach();
    std::memcpy(target.raw(), value.raw(), value.nbytes());
  }
}

// The last parts of modules' names, each once.
std::vector<std::string> Adapter::kinds(const std::vector<std::string>& modules) {
  std::vector<std::string> names;
  for (const std::string& module : modules) {
    const std::string name = module.substr(module.rfind('.') + 1);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string Adapter::kinds_of_modules() const { return fmt::format("{}", fmt::join(kinds(seen_), ", ")); }

void Adapter::check_found(const NamedParameters& whole) const {
  if (parameters_.empty()) fail(ErrorCode::usage, "--lora-target-modules {}: no such module; the model has {}", fmt::join(config_.targets, ","), kinds_of_modules());
  if (targets_named_)
    for (const std::string& target : config_.unmatched_targets(seen_)) fail(ErrorCode::usage, "--lora-target-modules: no module {}; the model has {}", target, kinds_of_modules());
  for (const std::string& name : wanted_whole_)
    if (std::none_of(whole.begin(), whole.end(), [&](const auto& w) { return ("." + w.first).find("." + name + ".") != std::string::npos; }))
      fail(ErrorCode::usage, "--lora-modules-to-save: no module {}; the model has {}", name, kinds_of_modules());
}

void Adapter::save(const fs::path& folder, const std::string& base_model, const NamedParameters& whole) const {
  fs::create_directories(folder);
  std::vector<formats::OutputTensor> tensors;
  for (const auto& [name, tensor] : parameters_) tensors.emplace_back(name, tensor.detach());
  for (const auto& [name, tensor] : named_in_file(whole)) tensors.emplace_back(name, tensor.detach());
  // Of the names that may be a classifier's, those that this model has.
  Json modules = Json::array();
  for (const std::string& name : config_.saved)
    if (std::any_of(whole.begin(), whole.end(), [&](const auto& w) { return ("." + w.first).find("." + name + ".") != std::string::npos; })) modules.push_back(name);
  formats::write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  Json json = json_;
  json["base_model_name_or_path"] = base_model;
  // PEFT keeps what this came to.
  if (config_.targets.size() == 1 && config_.targets[0] == "all-linear") json["target_modules"] = kinds(adapted_);
  json["modules_to_save"] = modules.empty() ? Json() : modules;
  AtomicFile file(folder / "adapter_config.json");
  file.write(json.dump(2) + "\n");
  file.commit();
}

std::shared_ptr<bundle::Bundle> open_with_adapter(const fs::path& folder, const fs::path& base, const LoadOptions& options, bundle::Parts parts) {
  LoraOptions lora;
  lora.enabled = true;
  lora.adapter = folder;
  Adapter adapter(lora, Json::object(), "", 0, false);
  const auto file = formats::SafetensorsFile::open(folder / "adapter_model.safetensors");
  for (const auto& tensor : file->tensors())
    require(tensor.name.find(".lora_") != std::string::npos, "{}: comes with {}, which takes the place of the base's; mynah merge {} --output-dir OUT makes one model of both", folder.string(),
            tensor.name, folder.string());
  bundle::TrainOptions with_adapter;
  with_adapter.adapters = &adapter;
  const auto b = bundle::open(base, options, parts, with_adapter);
  require(!b->network || adapter.parameters().size() == file->tensors().size(), "{}: {} of {} tensors fit {}; the adapter is of another model", folder.string(), adapter.parameters().size(),
          file->tensors().size(), b->architecture());
  return b;
}

std::string base_of_adapter(const fs::path& adapter) {
  const std::string base = nn::config_string(read_adapter_json(adapter), "base_model_name_or_path", "");
  require(!base.empty(), "{}: adapter_config.json names no base_model_name_or_path", adapter.string());
  return base;
}

namespace {

// The weight with the adapter in it, [out, in] or as `weight` lies.
Tensor merged(const formats::TensorSource& file, const AdapterConfig& config, const std::string& module, const Tensor& weight, const fs::path& folder) {
  const std::string base = kAdapterPrefix + module;
  const Tensor a = to(file.tensor(base + ".lora_A.weight"), DType::f32), b = to(file.tensor(base + ".lora_B.weight"), DType::f32);
  const Tensor change = matmul(b, a) * static_cast<float>(config.scale(module));  // [out, in]
  const bool turned = config.fan_in_fan_out || !(change.shape() == weight.shape());
  const Tensor lying = turned ? transpose(weight, 0, 1) : weight;
  require(change.shape() == lying.shape(), "{}: {} has shape {}, the weight {}; the adapter is of another model", folder.string(), module, change.shape().str(), weight.shape().str());
  Tensor sum_of_both = lying + change;
  if (config.use_dora) {
    const Tensor magnitude = read(file, folder, base + ".lora_magnitude_vector", {change.size(0)});
    sum_of_both = sum_of_both * reshape(magnitude / sqrt(sum(square(sum_of_both), 1)), {change.size(0), 1});
  }
  return contiguous(turned ? transpose(sum_of_both, 0, 1) : sum_of_both);
}

}  // namespace

bool is_in_4_bits(const std::string& module) {
  static constexpr std::string_view kOthers[] = {"wte", "wpe", "shared", "lm_head", "embed_out", "proj_out", "score", "classifier", "qa_outputs", "head"};
  const std::string last = module.substr(module.rfind('.') + 1);
  return last.find("embed") == std::string::npos && std::find(std::begin(kOthers), std::end(kOthers), last) == std::end(kOthers);
}

double merge_adapter(const fs::path& folder, const fs::path& base, const fs::path& output_dir, bool load_in_4bit) {
  const Json json = read_adapter_json(folder);
  const AdapterConfig config(json, folder.string());
  const auto file = formats::SafetensorsFile::open(folder / "adapter_model.safetensors");
  // A classifier trained beside the adapter comes with it, so the base may lack it.
  bundle::TrainOptions train;
  const std::string task = nn::config_string(json, "task_type", "");
  train.new_head = task == "SEQ_CLS" || task == "TOKEN_CLS" || task == "QUESTION_ANS";
  if (fs::exists(folder / "config.json")) {
    const Json own = read_json_file(folder / "config.json");
    train.edit_config = [own](Json* c) { *c = own; };
  }
  // Weights of a quantised base are taken as the numbers they stand for, which the adapter was trained on.
  train.trains = [](const std::string&) { return true; };
  const auto b = bundle::open(base, {.precision = Precision::f32, .trainable = true}, {}, train);
  b->weights.trains = nullptr;
  const NoGrad no_grad;
  double largest = 0;
  size_t used = 0;
  for (const nn::Parameter& p : b->weights.parameters) {
    Tensor target = p.value.detach(), value;
    const std::string module = p.name.substr(0, std::min(p.name.rfind('.'), p.name.size()));
    if (load_in_4bit && target.rank() == 2 && p.name.ends_with(".weight") && is_in_4_bits(module)) {
      const Tensor lying = config.fan_in_fan_out ? transpose(target, 0, 1) : target;
      const Tensor rounded = nn::Nf4Matrix(std::span(&lying, 1)).values(0, lying.size(0));
      std::memcpy(target.raw(), contiguous(config.fan_in_fan_out ? transpose(rounded, 0, 1) : rounded).raw(), target.nbytes());
    }
    if (const std::string whole = config.name_of_whole(p.name); file->contains(whole)) {
      value = read(*file, folder, whole, target.shape());
      ++used;
    } else if (p.name.ends_with(".weight") && file->contains(kAdapterPrefix + module + ".lora_A.weight")) {
      value = merged(*file, config, module, target, folder);
      for (int64_t i = 0; i < value.numel(); ++i) largest = std::max(largest, static_cast<double>(std::abs(value.data<float>()[i] - target.data<float>()[i])));
      used += config.use_dora ? 3 : 2;
    } else {
      continue;
    }
    std::memcpy(target.raw(), value.raw(), value.nbytes());
  }
  require(used == file->tensors().size(), "{}: {} of {} tensors fit {}; the adapter is of another model", folder.string(), used, file->tensors().size(),
          b->architecture());
  bundle::save(*b, output_dir);
  return largest;
}

}  // namespace mynah::train
