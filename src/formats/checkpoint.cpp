#include "formats/checkpoint.h"

#include <array>
#include <map>

#include "base/file.h"
#include "base/require.h"
#include "formats/gguf.h"
#include "formats/onnx.h"
#include "formats/quote.h"
#include "formats/safetensors.h"
#include "formats/torch_pickle.h"
#include "mynah/json.h"

namespace mynah::formats {
namespace {

std::shared_ptr<const TensorSource> open_file(const std::filesystem::path& path) {
  const auto mapping = MappedFile::open(path);
  const auto bytes = mapping->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("GGUF")) return GgufFile::open(path);
  // Before pickles: the length of a safetensors header, its first bytes, may begin like one.
  if (text.size() > 8 && text[8] == '{' && text.substr(5, 3) == std::string_view("\0\0\0", 3)) return SafetensorsFile::open(path);
  if (text.starts_with("PK\x03\x04") || text.starts_with('\x80')) return TorchFile::open(path);
  if (path.extension() == ".onnx") return OnnxFile::open(path);  // protobuf has no magic number
  if (text.starts_with("version https://git-lfs"))
    fail(ErrorCode::integrity, "{}: a Git LFS pointer, not the weights; fetch the file itself (git lfs pull)",
         path.string());
  fail(ErrorCode::integrity, "{}: neither safetensors, GGUF nor a PyTorch file; convert the weights to safetensors",
       path.string());
}

// Several files behind one list of names.
class ShardedSource final : public TensorSource {
 public:
  explicit ShardedSource(const std::filesystem::path& index_path) : TensorSource(index_path.string()) {
    for (const auto& [name, file] : read_weight_map(index_path)) {
      auto& shard = shards_[file];
      if (!shard) shard = open_file(index_path.parent_path() / file);
      const TensorInfo* info = shard->find_tensor(name);
      if (!info)
        fail(ErrorCode::integrity, "{}: {} has no tensor {}; the checkpoint is incomplete", where_, file, quote(name));
      tensors_.push_back(*info);
      homes_.push_back(shard.get());
    }
    index_tensors();
  }

 private:
  Tensor load(size_t index) const override { return homes_[index]->tensor(tensors_[index].name); }

  // The names come ordered by name: an index may have many thousand, and order means nothing across files.
  std::map<std::string, std::string> read_weight_map(const std::filesystem::path& path) const {
    const std::string text = read_text_file(path, 100u << 20);
    const auto json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
      fail(ErrorCode::integrity, "{}: got no object \"weight_map\" of tensor and file names; the index is damaged",
           where_);
    std::map<std::string, std::string> map;
    for (const auto& [name, file] : json["weight_map"].items()) {
      if (!file.is_string())
        fail(ErrorCode::integrity, "{}: tensor {}: its file is no string; the index is damaged", where_, quote(name));
      const auto& text_of_file = file.get_ref<const std::string&>();
      // A name with a folder in it could reach any file of the machine.
      if (text_of_file.empty() || text_of_file.find('/') != std::string::npos ||
          text_of_file.find('\0') != std::string::npos || text_of_file == "." || text_of_file == "..")
        fail(ErrorCode::integrity, "{}: tensor {}: file {}, a plain file name expected", where_, quote(name),
             quote(text_of_file));
      map.emplace(name, text_of_file);
    }
    return map;
  }

  std::map<std::string, std::shared_ptr<const TensorSource>> shards_;
  std::vector<const TensorSource*> homes_;  // of each tensor
};

}  // namespace

std::shared_ptr<const TensorSource> open_sharded(const std::filesystem::path& index_path) {
  return std::make_shared<ShardedSource>(index_path);
}

std::shared_ptr<const TensorSource> open_checkpoint(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at is reported when it is opened
  if (!std::filesystem::is_directory(path, ignored))
    return path.extension() == ".json" ? open_sharded(path) : open_file(path);
  static constexpr std::array kNames = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                        "pytorch_model.bin.index.json"};
  for (const char* name : kNames)
    if (std::filesystem::exists(path / name, ignored)) return open_checkpoint(path / name);
  // Weights inside a graph, as packages for onnxruntime carry them.
  for (const char* name : {"model.onnx", "onnx/model.onnx", "onnx/model_q4.onnx", "onnx/model_quantized.onnx"})
    if (std::filesystem::exists(path / name, ignored)) return open_checkpoint(path / name);
  fail(ErrorCode::not_found,
       "{}: has neither model.safetensors nor pytorch_model.bin, nor an index of parts; is it a model folder?",
       path.string());
}

}  // namespace mynah::formats
