// Reading GGUF. Layout: "GGUF", u32 version, u64 tensors, u64 metadata entries; the entries (key, type, value); for
// each tensor name, number of dimensions, dimensions (fastest first), type, offset; padding; the data section, to which
// offsets refer.
#include "formats/gguf.h"

#include <algorithm>
#include <numeric>

#include "base/byte_reader.h"
#include "base/file.h"
#include "base/unicode.h"
#include "formats/ggml_types.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

constexpr uint64_t kMaxEntries = 4194304, kMaxGgufTensors = 262144, kMaxGgufDims = 4;

// Bytes of one number; 0 for strings, arrays and unknown types.
size_t number_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

struct GgufParser {
  GgufFile& file;
  std::span<const std::byte> bytes;
  ByteReader reader{bytes, file.where()};
  std::vector<uint64_t> offsets{};

  template <class... Args>
  [[noreturn]] void damaged(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::integrity, "{}: {}; the file is damaged", file.where(),
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view string() { return reader.text(reader.number<uint64_t>()); }

  void run() {
    const auto [tensors, entries] = header();
    for (uint64_t i = 0; i < entries; ++i) file.metadata_.push_back(entry(i));
    index_keys();
    for (uint64_t i = 0; i < tensors; ++i) tensor_entry();
    file.index_tensors();
    place_tensors();
  }

  std::pair<uint64_t, uint64_t> header() {
    if (bytes.size() < 24 || reader.text(4) != "GGUF")
      fail(ErrorCode::integrity, "{}: not a GGUF file (it does not begin with the letters GGUF and a header)",
           file.where());
    file.version_ = reader.number<uint32_t>();
    if ((file.version_ & 0xffff) == 0)
      fail(ErrorCode::integrity, "{}: a big-endian GGUF file, little-endian expected; use the little-endian edition",
           file.where());
    if (file.version_ != 2 && file.version_ != 3)
      fail(ErrorCode::integrity, "{}: GGUF version {}, 2 or 3 expected; convert the model again", file.where(),
           file.version_);
    const auto tensors = reader.number<uint64_t>(), entries = reader.number<uint64_t>();
    if (tensors > kMaxGgufTensors) damaged("{} tensors, at most {} expected", tensors, kMaxGgufTensors);
    if (entries > kMaxEntries) damaged("{} metadata entries, at most {} expected", entries, kMaxEntries);
    return {tensors, entries};
  }

  GgufValue entry(uint64_t number) {
    GgufValue value;
    value.where_ = &file.where();
    value.key_ = string();
    if (!unicode::is_valid(value.key_)) damaged("metadata entry {} has a key that is not UTF-8", number);
    if (value.key_.empty()) damaged("metadata entry {} has an empty key", number);
    auto type = reader.number<uint32_t>();
    if (type == static_cast<uint32_t>(GgufType::array)) {
      value.is_array_ = true;
      type = reader.number<uint32_t>();
      value.count_ = reader.number<uint64_t>();
    }
    value.element_type_ = static_cast<GgufType>(type);
    const size_t size = number_bytes(value.element_type_);
    if (size == 0 && value.element_type_ != GgufType::string)
      damaged("metadata {}: value type {}{}", quote(value.key_), type, value.is_array_ ? " inside an array" : "");
    if (size > 0)
      value.bytes_ = reader.take(checked_mul(value.count_, size, file.where()));
    else if (value.is_array_)
      value.bytes_ = string_array(value);
    else
      value.bytes_ = std::as_bytes(std::span(string()));
    return value;
  }

  std::span<const std::byte> string_array(const GgufValue& value) {
    const size_t begin = reader.position();
    if (value.count_ > reader.remaining() / sizeof(uint64_t))
      damaged("metadata {}: {} strings in {} bytes", quote(value.key_), value.count_, reader.remaining());
    for (size_t i = 0; i < value.count_; ++i) string();
    return bytes.subspan(begin, reader.position() - begin);
  }

  void index_keys() {
    file.keys_.reserve(file.metadata_.size());
    for (uint32_t i = 0; i < file.metadata_.size(); ++i)
      if (!file.keys_.emplace(file.metadata_[i].key(), i).second)
        damaged("metadata {} occurs twice", quote(file.metadata_[i].key()));
  }

  void tensor_entry() {
    TensorInfo info;
    const std::string_view tensor_name = string();
    if (tensor_name.empty() || tensor_name.size() > 65535) damaged("a tensor name of {} bytes", tensor_name.size());
    if (!unicode::is_valid(tensor_name)) damaged("tensor {}: its name is not UTF-8", quote(tensor_name));
    info.name = tensor_name;
    const auto rank = reader.number<uint32_t>();
    if (rank > kMaxGgufDims) damaged("tensor {}: {} dimensions, at most {} expected", quote(tensor_name), rank, kMaxGgufDims);
    uint64_t dims[kMaxGgufDims];
    for (uint32_t i = 0; i < rank; ++i) dims[rank - 1 - i] = reader.number<uint64_t>();
    info.shape = checked_shape({dims, rank}, file.where(), tensor_name);
    const auto id = reader.number<uint32_t>();
    offsets.push_back(reader.number<uint64_t>());
    file.places_.push_back({id, nullptr});
    if (const GgmlType* type = find_ggml_type(id)) {
      const int64_t row = rank ? info.shape[static_cast<int>(rank) - 1] : 1;
      if (row % type->block_elements != 0)
        damaged("tensor {}: rows of {} elements as {}, a multiple of {} expected", quote(tensor_name), row, type->name,
                type->block_elements);
      info.type = type->name;
      info.dtype = type->dtype();
      info.bytes = static_cast<uint64_t>(info.shape.numel()) / type->block_elements * type->block_bytes;
    } else {
      info.type = "unknown";  // its size cannot be known, so it is only refused when it is asked for
    }
    file.tensors_.push_back(std::move(info));
  }

  void place_tensors() {
    uint64_t alignment = 32;
    if (const GgufValue* value = file.find("general.alignment")) {
      if (value->type() != GgufType::u32)
        damaged("metadata 'general.alignment' is of type {}, u32 expected", name(value->type()));
      alignment = static_cast<uint64_t>(value->as_int());
      if (alignment < 8 || (alignment & (alignment - 1)) != 0)
        damaged("metadata 'general.alignment' is {}, a power of two from 8 expected", alignment);
    }
    if (file.tensors_.empty()) return;
    const uint64_t begin = (reader.position() + alignment - 1) / alignment * alignment;
    if (begin > bytes.size()) damaged("it ends at byte {}, before its tensor data", bytes.size());
    const auto data = bytes.subspan(begin);
    for (size_t i = 0; i < offsets.size(); ++i) {
      const TensorInfo& info = file.tensors_[i];
      if (offsets[i] % alignment != 0)
        damaged("tensor {}: offset {} is not a multiple of the alignment {}", quote(info.name), offsets[i], alignment);
      if (offsets[i] > data.size() || info.bytes > data.size() - offsets[i])
        damaged("tensor {}: {} bytes at offset {}, the data section has {}", quote(info.name), info.bytes, offsets[i],
                data.size());
      file.places_[i].data = data.data() + offsets[i];
    }
    check_overlaps();
  }

  void check_overlaps() const {
    std::vector<uint32_t> order(offsets.size());
    std::iota(order.begin(), order.end(), 0u);
    std::erase_if(order, [&](uint32_t i) { return file.tensors_[i].bytes == 0; });
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return offsets[a] < offsets[b]; });
    for (size_t i = 1; i < order.size(); ++i) {
      const uint32_t a = order[i - 1], b = order[i];
      if (offsets[a] + file.tensors_[a].bytes > offsets[b])
        damaged("tensors {} and {} overlap", quote(file.tensors_[a].name), quote(file.tensors_[b].name));
    }
  }
};

std::shared_ptr<const GgufFile> GgufFile::open(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  std::shared_ptr<GgufFile> file(new GgufFile(path.string()));
  file->owner_ = mapping;
  file->mapping_ = mapping;
  GgufParser{*file, mapping->bytes()}.run();
  return file;
}

std::shared_ptr<const GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string where,
                                                std::shared_ptr<const void> owner) {
  std::shared_ptr<GgufFile> file(new GgufFile(std::move(where)));
  file->owner_ = std::move(owner);
  GgufParser{*file, bytes}.run();
  return file;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : &metadata_[found->second];
}

const GgufValue& GgufFile::at(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value)
    fail(ErrorCode::integrity, "{}: metadata {} is missing; the file is no model of this kind, or incomplete", where_,
         quote(key));
  return *value;
}

int64_t GgufFile::bounded(const GgufValue& value, int64_t low, int64_t high) const {
  const int64_t number = value.as_int();
  if (number < low || number > high)
    fail(ErrorCode::integrity, "{}: metadata {}: got {}, expected {} to {}", where_, quote(value.key()), number, low,
         high);
  return number;
}

int64_t GgufFile::get_int(std::string_view key, int64_t low, int64_t high, std::optional<int64_t> fallback) const {
  const GgufValue* value = find(key);
  if (!value && fallback) return *fallback;
  return bounded(at(key), low, high);
}

Tensor GgufFile::load(size_t index) const {
  const TensorInfo& info = tensors_[index];
  const GgmlType& type = *find_ggml_type(places_[index].type);
  if (type.plain) return to_tensor(places_[index].data, *type.plain, info.shape, owner_);
  return borrow_or_copy(places_[index].data, info.shape, *type.quantized, owner_);
}

std::span<const std::byte> GgufFile::tensor_bytes(std::string_view tensor_name) const {
  const TensorInfo* info = find_tensor(tensor_name);
  if (!info) fail(ErrorCode::not_found, "{}: has no tensor {}", where_, quote(tensor_name));
  return {places_[static_cast<size_t>(info - tensors_.data())].data, static_cast<size_t>(info->bytes)};
}

}  // namespace mynah::formats
