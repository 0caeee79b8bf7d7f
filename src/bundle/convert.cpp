#include "bundle/convert.h"

#include <algorithm>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/convert_sampling.h"
#include "bundle/convert_tokenizer.h"
#include "bundle/gguf_names.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "tensor/quantize.h"
#include "tensor/quantize_recipe.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

// Any stored type to any other.
Tensor as_type(const Tensor& x, DType type) {
  if (x.dtype() == type) return x;
  const Tensor plain = is_quantized(x.dtype()) ? dequantize(x) : x;
  return is_quantized(type) ? quantize(plain, type) : to(plain, type);
}

// A weight on its way into a GGUF file: under GGUF's name, in GGUF's layout.
struct Outgoing {
  std::string name;
  Shape shape;
  DType stored;
  std::function<Tensor()> load;
};

std::vector<Outgoing> from_gguf(const std::shared_ptr<const formats::GgufFile>& file) {
  std::vector<Outgoing> all;
  for (const auto& info : file->tensors()) {
    require(info.dtype.has_value(), "{}: {} has type {}, which cannot be read", file->where(), info.name, info.type);
    all.push_back({info.name, info.shape, *info.dtype, [file, name = info.name] { return file->tensor(name); }});
  }
  return all;
}

// The checkpoint's name as the model spells it, with its base prefix.
std::optional<GgufWeight> gguf_name_of(const ModelEntry& entry, std::span<const GgufRule> rules, const std::string& name) {
  if (auto weight = to_gguf_name(rules, name)) return weight;
  return to_gguf_name(rules, entry.base_prefix + name);
}

Shape with_parts(const Shape& shape, int64_t parts) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims.insert(dims.begin(), parts);
  return Shape(dims);
}

std::vector<Outgoing> from_checkpoint(const std::shared_ptr<const formats::TensorSource>& source, const ModelEntry& entry, const Json& config,
                                      const GgufHeads& heads) {
  std::vector<Outgoing> all;
  struct Parts {
    size_t place;                          // in `all`
    std::map<int64_t, std::string> names;  // by number
  };
  std::map<std::string, Parts> stacks;
  const auto rules = entry.gguf.rules(config);
  const bool tied = nn::config_bool(config, "tie_word_embeddings", entry.gguf.tied);
  for (const auto& info : source->tensors()) {
    if (is_buffer(entry, info.name) || (tied && info.name == "lm_head.weight")) continue;
    const auto weight = gguf_name_of(entry, rules, info.name);
    require(weight.has_value(), "convert: {}: weight {} has no place in a GGUF file of {}", source->where(), info.name, entry.model_type);
    if (weight->name.starts_with('.')) {
      warn("convert: {}: {} has no place in a GGUF file of {} and is left out", source->where(), info.name, entry.model_type);
      continue;
    }
    require(info.dtype.has_value(), "convert: {}: {} has type {}, which cannot be read", source->where(), info.name, info.type);
    if (weight->part >= 0) {
      const auto [at, is_new] = stacks.try_emplace(weight->name, Parts{all.size(), {}});
      at->second.names[weight->part] = info.name;
      if (is_new) all.push_back({weight->name, info.shape, *info.dtype, {}});
      continue;
    }
    all.push_back({weight->name, gguf_shape(weight->layout, info.shape), *info.dtype, [source, name = info.name, layout = weight->layout, heads] {
                     return change_layout(layout, source->tensor(name), heads, true);
                   }});
  }
  for (const auto& [name, parts] : stacks) {
    require(parts.names.rbegin()->first + 1 == static_cast<int64_t>(parts.names.size()), "convert: {}: parts of {} are missing", source->where(), name);
    Outgoing& out = all[parts.place];
    out.shape = with_parts(out.shape, static_cast<int64_t>(parts.names.size()));
    out.load = [source, names = parts.names] {
      std::vector<Tensor> loaded;
      for (const auto& [number, part] : names) loaded.push_back(source->tensor(part));
      return stack(loaded);
    };
  }
  if (entry.gguf.lists)
    for (const auto& [name, values] : entry.gguf.lists(config)) {
      const Shape shape{static_cast<int64_t>(values.size())};
      all.push_back({name, shape, DType::f32, [values = values, shape] { return Tensor::from(std::span<const float>(values), shape); }});
    }
  return all;
}

void set_metadata(formats::GgufWriter* w, const std::string& prefix, const Json& metadata) {
  for (const auto& [key, value] : metadata.items()) {
    const std::string full = prefix + key;
    if (value.is_boolean()) w->set(full, value.get<bool>());
    else if (value.is_number_integer()) w->set(full, static_cast<uint32_t>(value.get<int64_t>()));
    else if (value.is_number()) w->set(full, value.get<float>());
    else if (value.is_string()) w->set(full, value.get<std::string>());
  }
}

// Metadata of a new file for a Hugging Face folder.
void describe(formats::GgufWriter* w, const Bundle& b, const Json& metadata) {
  w->set("general.architecture", b.entry->gguf.architecture);
  w->set("general.name", fs::absolute(b.path).lexically_normal().filename().string());
  w->set("general.quantization_version", uint32_t{2});
  set_metadata(w, std::string(b.entry->gguf.architecture) + ".", metadata);
  if (b.config.contains("type_vocab_size")) w->set("tokenizer.ggml.token_type_count", static_cast<uint32_t>(nn::config_int(b.config, "type_vocab_size", 0, 0)));
  sampling_to_gguf(b.generation_config, b.path.string(), w);
  tokenizer_to_gguf(b.path, nn::config_int(b.config, "vocab_size"), w);
}

}  // namespace

void write_gguf(const fs::path& in, const fs::path& out, const std::string& recipe, const ConvertProgress& progress) {
  const auto b = open(in, {}, {.network = false, .tokenizer = false});
  require(b->entry->gguf.architecture != nullptr && (b->gguf || b->entry->gguf.metadata), "convert: {} has no GGUF form that mynah writes", b->architecture());
  formats::GgufWriter writer(out);
  std::vector<Outgoing> weights;
  const Json metadata = b->gguf ? gguf_metadata(*b->gguf) : b->entry->gguf.metadata(b->config);
  if (b->gguf) {
    for (const auto& value : b->gguf->metadata())
      if (value.key() != "general.file_type") writer.copy(value);
    weights = from_gguf(b->gguf);
  } else {
    const auto source = formats::open_checkpoint(in);
    describe(&writer, *b, metadata);
    weights = from_checkpoint(source, *b->entry, b->config, gguf_heads(metadata));
  }
  RecipeModel model;
  model.architecture = b->entry->gguf.architecture;
  model.layers = static_cast<int>(nn::config_int(metadata, "block_count", 0, 0));
  model.experts = static_cast<int>(nn::config_int(metadata, "expert_count", 0, 0));
  const GgufHeads heads = gguf_heads(metadata);
  model.heads_per_kv = heads.key > 0 ? static_cast<int>(heads.query / heads.key) : 1;
  model.tied_head = std::none_of(weights.begin(), weights.end(), [](const Outgoing& w) { return w.name == "output.weight"; });
  if (!recipe.empty()) writer.set("general.file_type", static_cast<uint32_t>(recipe_file_type(recipe)));
  else if (const auto* old = b->gguf ? b->gguf->find("general.file_type") : nullptr) writer.copy(*old);
  uint64_t total = 0;
  for (const Outgoing& w : weights) total += static_cast<uint64_t>(w.shape.numel());
  const auto done = std::make_shared<uint64_t>(0);
  for (const Outgoing& w : weights) {
    DType type = recipe.empty() ? w.stored : recipe_type(recipe, w.name, w.shape, w.stored, model);
    // Vectors are f32 in GGUF files: readers expect it.
    if (w.shape.rank() <= 1) type = DType::f32;
    writer.add({w.name, w.shape, type, [w, type, done, total, &progress] {
                  Tensor t = as_type(w.load(), type);
                  *done += static_cast<uint64_t>(w.shape.numel());
                  if (progress) progress(*done, total);
                  return t;
                }});
  }
  writer.finish();
}

void write_folder(const fs::path& in, const fs::path& out, const ConvertProgress& progress) {
  const auto b = open(in, {}, {.network = false, .tokenizer = false});
  if (!b->gguf) fail(ErrorCode::usage, "convert: {} is a folder already; give OUT a name that ends in .gguf", in.string());
  if (fs::exists(out) && !fs::is_empty(out)) fail(ErrorCode::usage, "convert: {} exists and is not empty", out.string());
  const GgufHeads heads = gguf_heads(gguf_metadata(*b->gguf));
  const auto rules = b->entry->gguf.rules(b->config);
  std::vector<formats::OutputTensor> tensors;
  uint64_t total = 0;
  for (const auto& info : b->gguf->tensors()) total += static_cast<uint64_t>(info.shape.numel());
  const auto done = std::make_shared<uint64_t>(0);
  for (const auto& info : b->gguf->tensors()) {
    if (is_buffer(*b->entry, info.name)) continue;
    const auto weight = from_gguf_name(rules, info.name);
    require(weight.has_value() && info.dtype.has_value(), "convert: {}: weight {} ({}) is not known to {}", in.string(), info.name, info.type, b->architecture());
    const DType type = is_quantized(*info.dtype) ? DType::f32 : *info.dtype;
    const bool stacked = weight->layout == GgufRule::stacked;
    const Shape shape = stacked ? Shape(std::vector<int64_t>(info.shape.dims().begin() + 1, info.shape.dims().end())) : gguf_shape(weight->layout, info.shape);
    for (int64_t part = 0; part < (stacked ? info.shape[0] : 1); ++part)
      tensors.emplace_back(stacked ? part_name(weight->name, part) : weight->name, shape, type,
                           [file = b->gguf, name = info.name, layout = weight->layout, heads, type, stacked, part, n = shape.numel(), done, total, &progress] {
                             const Tensor stored = stacked ? part_of(file->tensor(name), part) : file->tensor(name);
                             Tensor t = change_layout(layout, as_type(stored, type), heads, false);
                             *done += static_cast<uint64_t>(n);
                             if (progress) progress(*done, total);
                             return t;
                           });
  }
  fs::create_directories(out);
  formats::write_safetensors(out / "model.safetensors", tensors, {{"format", "pt"}});
  tokenizer_to_folder(*b->gguf, out);
  const auto write_json = [&](const char* name, const Json& value) {
    AtomicFile file(out / name);
    file.write(value.dump(2) + "\n");
    file.commit();
  };
  Json generation = b->generation_config;
  if (!generation.empty()) write_json("generation_config.json", generation);
  Json config = b->config;
  for (const auto& [name, value] : generation.items())
    if (name.ends_with("_token_id")) config[name] = value;
  config["dtype"] = "float32";
  write_json("config.json", config);  // last: a folder without it is not a model
}

}  // namespace mynah::bundle
