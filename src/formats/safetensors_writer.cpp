#include <algorithm>
#include <unordered_set>

#include "base/file.h"
#include "base/json.h"
#include "base/require.h"
#include "formats/quote.h"
#include "formats/safetensors.h"

namespace mynah::formats {
namespace {

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::i8:
      return "I8";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
    default:
      return "";
  }
}

void check(const std::filesystem::path& path, std::span<const OutputTensor> tensors) {
  std::unordered_set<std::string_view> names;
  for (const OutputTensor& t : tensors) {
    if (dtype_name(t.dtype).empty())
      fail(ErrorCode::usage, "{}: tensor {}: safetensors has no element type {}; convert it, or write GGUF",
           path.string(), quote(t.name), mynah::name(t.dtype));
    if (t.name == "__metadata__") fail(ErrorCode::usage, "{}: a tensor cannot be named {}", path.string(), t.name);
    if (!names.insert(t.name).second)
      fail(ErrorCode::usage, "{}: tensor {} is given twice", path.string(), quote(t.name));
  }
}

// A JSON string. The objects below are written as text because one with many thousand names would take the JSON library
// quadratic time to build in order.
std::string quoted_json(const std::string& text, const std::filesystem::path& path) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail(ErrorCode::usage, "{}: the name or metadata value {} is not UTF-8", path.string(), quote(text));
  }
}

// Wider elements first, else the given order: then every tensor is aligned to its element size.
std::vector<const OutputTensor*> in_file_order(std::span<const OutputTensor> tensors) {
  std::vector<const OutputTensor*> order;
  for (const OutputTensor& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const OutputTensor* a, const OutputTensor* b) {
    const size_t bytes_a = block_bytes(a->dtype), bytes_b = block_bytes(b->dtype);
    return bytes_a != bytes_b ? bytes_a > bytes_b : a < b;
  });
  return order;
}

std::string header(const std::filesystem::path& path, const std::vector<const OutputTensor*>& order,
                   const Metadata& metadata) {
  std::string text = "{";
  const auto next = [&] { return text.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    std::string pairs;
    for (const auto& [key, value] : metadata)
      pairs += fmt::format("{}{}:{}", pairs.empty() ? "" : ",", quoted_json(key, path), quoted_json(value, path));
    text += fmt::format("\"__metadata__\":{{{}}}", pairs);
  }
  uint64_t offset = 0;
  for (const OutputTensor* t : order) {
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}", next(),
                        quoted_json(t->name, path), dtype_name(t->dtype), t->shape.str(), offset, offset + t->nbytes());
    offset += t->nbytes();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

// Which tensors go into which file.
std::vector<std::vector<OutputTensor>> split(std::span<const OutputTensor> tensors, uint64_t max_shard_bytes) {
  std::vector<std::vector<OutputTensor>> shards(1);
  uint64_t bytes = 0;
  for (const OutputTensor& t : tensors) {
    if (bytes > 0 && bytes + t.nbytes() > max_shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(t);
    bytes += t.nbytes();
  }
  return shards;
}

// model-00001-of-00002.safetensors and the like.
bool is_shard_name(std::string_view file) {
  return file.starts_with("model-") && file.find("-of-") != std::string_view::npos && file.ends_with(".safetensors");
}

void remove_others(const std::filesystem::path& folder, const std::unordered_set<std::string>& written) {
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    const bool ours = file == "model.safetensors" || file == "model.safetensors.index.json" || is_shard_name(file);
    if (ours && !written.contains(file)) stale.push_back(entry.path());
  }
  for (const auto& path : stale) std::filesystem::remove(path);
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const OutputTensor> tensors,
                       const Metadata& metadata) {
  check(path, tensors);
  const auto order = in_file_order(tensors);
  const std::string text = header(path, order, metadata);
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(&length, sizeof(length));
  file.write(text);
  for (const OutputTensor* t : order) {
    const Tensor data = t->data();
    file.write(data.raw(), data.nbytes());
  }
  file.commit();
}

void write_sharded_safetensors(const std::filesystem::path& folder, std::span<const OutputTensor> tensors,
                               uint64_t max_shard_bytes, const Metadata& metadata) {
  check(folder, tensors);
  const auto shards = split(tensors, max_shard_bytes);
  if (shards.size() == 1) {
    write_safetensors(folder / "model.safetensors", tensors, metadata);
    remove_others(folder, {"model.safetensors"});
    return;
  }
  const std::string index_name = "model.safetensors.index.json";
  std::unordered_set<std::string> written{index_name};
  std::string weight_map;
  uint64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / file, shards[i], metadata);
    written.insert(file);
    for (const OutputTensor& t : shards[i]) {
      weight_map += fmt::format("{}\n    {}: \"{}\"", weight_map.empty() ? "" : ",", quoted_json(t.name, folder), file);
      total += t.nbytes();
    }
  }
  AtomicFile index(folder / index_name);
  index.write(fmt::format("{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{{}\n  }}\n}}\n",
                          total, weight_map));
  index.commit();
  remove_others(folder, written);
}

}  // namespace mynah::formats
