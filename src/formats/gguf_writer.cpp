#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/file.h"
#include "base/require.h"
#include "formats/ggml_types.h"
#include "formats/gguf.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

template <class T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, bool>)
    return GgufType::boolean;
  else if constexpr (std::is_same_v<T, float>)
    return GgufType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return GgufType::f64;
  else if constexpr (!std::is_integral_v<T>)
    return GgufType::string;
  else if constexpr (sizeof(T) == 1)
    return std::is_signed_v<T> ? GgufType::i8 : GgufType::u8;
  else if constexpr (sizeof(T) == 2)
    return std::is_signed_v<T> ? GgufType::i16 : GgufType::u16;
  else if constexpr (sizeof(T) == 4)
    return std::is_signed_v<T> ? GgufType::i32 : GgufType::u32;
  else
    return std::is_signed_v<T> ? GgufType::i64 : GgufType::u64;
}

template <class T>
void append(std::string& out, const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out.append(bytes, sizeof(T));
  } else {
    append(out, uint64_t{value.size()});
    out.append(value);
  }
}

template <class T>
std::string encode(const T& value) {
  std::string out;
  append(out, static_cast<uint32_t>(type_of<T>()));
  append(out, value);
  return out;
}

size_t padding(size_t position, size_t alignment) { return (alignment - position % alignment) % alignment; }

}  // namespace

GgufWriter::GgufWriter(std::filesystem::path path, uint32_t alignment) : path_(std::move(path)), alignment_(alignment) {
  if (alignment < 8 || !std::has_single_bit(alignment))
    fail(ErrorCode::usage, "{}: alignment {}, a power of two from 8 expected", path_.string(), alignment);
  if (alignment != 32) set("general.alignment", alignment);
}

void GgufWriter::put(std::string_view key, std::string encoded) {
  if (key.empty() || key.size() > 65535)
    fail(ErrorCode::usage, "{}: a metadata key of {} bytes", path_.string(), key.size());
  const auto [place, is_new] = places_.emplace(key, metadata_.size());
  if (is_new) metadata_.push_back({std::string(key), std::move(encoded)});
  else metadata_[place->second].encoded = std::move(encoded);
}

void GgufWriter::set(std::string_view key, bool value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, uint8_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, int8_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, uint16_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, int16_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, uint32_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, int32_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, uint64_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, int64_t value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, float value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, double value) { put(key, encode(value)); }
void GgufWriter::set(std::string_view key, std::string_view value) { put(key, encode(value)); }

template <class T>
void GgufWriter::set_array(std::string_view key, std::span<const T> values) {
  std::string out;
  append(out, static_cast<uint32_t>(GgufType::array));
  append(out, static_cast<uint32_t>(type_of<T>()));
  append(out, uint64_t{values.size()});
  for (const T& value : values) append(out, value);
  put(key, std::move(out));
}
template void GgufWriter::set_array(std::string_view, std::span<const bool>);
template void GgufWriter::set_array(std::string_view, std::span<const uint8_t>);
template void GgufWriter::set_array(std::string_view, std::span<const int8_t>);
template void GgufWriter::set_array(std::string_view, std::span<const uint16_t>);
template void GgufWriter::set_array(std::string_view, std::span<const int16_t>);
template void GgufWriter::set_array(std::string_view, std::span<const uint32_t>);
template void GgufWriter::set_array(std::string_view, std::span<const int32_t>);
template void GgufWriter::set_array(std::string_view, std::span<const uint64_t>);
template void GgufWriter::set_array(std::string_view, std::span<const int64_t>);
template void GgufWriter::set_array(std::string_view, std::span<const float>);
template void GgufWriter::set_array(std::string_view, std::span<const double>);
template void GgufWriter::set_array(std::string_view, std::span<const std::string>);
template void GgufWriter::set_array(std::string_view, std::span<const std::string_view>);

void GgufWriter::copy(const GgufValue& value) {
  std::string out;
  if (value.is_array()) append(out, static_cast<uint32_t>(GgufType::array));
  append(out, static_cast<uint32_t>(value.element_type()));
  if (value.is_array())
    append(out, uint64_t{value.size()});
  else if (value.type() == GgufType::string)
    append(out, uint64_t{value.bytes_.size()});
  out.append(reinterpret_cast<const char*>(value.bytes_.data()), value.bytes_.size());
  // The alignment is this file's own: another file's value would make every offset wrong.
  if (value.key() != "general.alignment") put(value.key(), std::move(out));
}

void GgufWriter::add(OutputTensor tensor) {
  const auto refuse = [&](const std::string& reason) {
    fail(ErrorCode::usage, "{}: tensor {}: {}", path_.string(), quote(tensor.name), reason);
  };
  if (tensor.name.empty() || tensor.name.size() > 63) refuse("GGUF names have 1 to 63 bytes");
  if (tensor.shape.rank() > 4) refuse(fmt::format("{} dimensions, GGUF has at most 4", tensor.shape.rank()));
  if (!ggml_type_of(tensor.dtype)) refuse(fmt::format("GGUF has no element type {}", mynah::name(tensor.dtype)));
  const auto block = static_cast<int64_t>(block_elements(tensor.dtype));
  if (block > 1 && (tensor.shape.rank() == 0 || tensor.shape[tensor.shape.rank() - 1] % block != 0))
    refuse(fmt::format("shape {} as {}, rows of a multiple of {} expected", tensor.shape.str(),
                       mynah::name(tensor.dtype), block));
  tensors_.push_back(std::move(tensor));
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append(out, uint32_t{3});
  append(out, uint64_t{tensors_.size()});
  append(out, uint64_t{metadata_.size()});
  for (const Entry& entry : metadata_) {
    append(out, entry.key);
    out += entry.encoded;
  }
  uint64_t offset = 0;
  std::unordered_set<std::string_view> names;
  for (const OutputTensor& tensor : tensors_) {
    if (!names.insert(tensor.name).second)
      fail(ErrorCode::usage, "{}: tensor {} was added twice", path_.string(), quote(tensor.name));
    append(out, tensor.name);
    append(out, static_cast<uint32_t>(tensor.shape.rank()));
    for (int d = tensor.shape.rank() - 1; d >= 0; --d) append(out, static_cast<uint64_t>(tensor.shape[d]));
    append(out, ggml_type_of(tensor.dtype)->id);
    append(out, offset);
    offset += tensor.nbytes() + padding(tensor.nbytes(), alignment_);
  }
  out.append(padding(out.size(), alignment_), '\0');
  return out;
}

void GgufWriter::finish() {
  AtomicFile file(path_);
  file.write(header());
  const std::string zeros(alignment_, '\0');
  for (const OutputTensor& tensor : tensors_) {
    const Tensor data = tensor.data();
    file.write(data.raw(), data.nbytes());
    file.write(zeros.data(), padding(data.nbytes(), alignment_));
  }
  file.commit();
}

}  // namespace mynah::formats
