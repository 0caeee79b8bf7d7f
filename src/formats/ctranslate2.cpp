#include "formats/ctranslate2.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "base/byte_reader.h"
#include "base/file.h"
#include "formats/element_type.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

constexpr ElementType kElementTypes[] = {ElementType::f32, ElementType::i8, ElementType::i16, ElementType::i32, ElementType::f16, ElementType::bf16};
constexpr std::string_view kTypeNames[] = {"float32", "int8", "int16", "int32", "float16", "bfloat16"};
constexpr std::string_view kScale = "_scale";

template <class... Args>
[[noreturn]] void damaged_ctranslate2(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::integrity, "{}: {}; the file is damaged or not CTranslate2's", where, fmt::format(format, std::forward<Args>(args)...));
}

// u16 length with the closing zero, the bytes.
std::string read_text(ByteReader& reader, const std::string& where) {
  const auto length = reader.number<uint16_t>();
  const std::string_view text = reader.text(length);
  if (text.empty() || text.back() != '\0' || text.find('\0') != text.size() - 1) damaged_ctranslate2(where, "byte {}: a text that does not end with its zero", reader.position());
  return std::string(text.substr(0, text.size() - 1));
}

}  // namespace

std::shared_ptr<const Ctranslate2File> Ctranslate2File::open(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  return parse(mapping->bytes(), path.string(), mapping);
}

std::shared_ptr<const Ctranslate2File> Ctranslate2File::parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner) {
  std::shared_ptr<Ctranslate2File> file(new Ctranslate2File(std::move(where)));
  file->owner_ = std::move(owner);
  ByteReader reader(bytes, file->where_);
  const auto version = reader.number<uint32_t>();
  if (version < 5 || version > 6)
    fail(ErrorCode::failure, "{}: version {} of CTranslate2's format, expected 5 or 6; convert the model again", file->where_, version);
  file->specification_ = read_text(reader, file->where_);
  file->revision_ = reader.number<uint32_t>();
  const auto count = reader.number<uint32_t>();
  for (uint32_t i = 0; i < count; ++i) {
    TensorInfo info;
    info.name = read_text(reader, file->where_);
    std::vector<uint64_t> dims;
    for (auto rank = reader.number<uint8_t>(); rank > 0; --rank) dims.push_back(reader.number<uint32_t>());
    info.shape = checked_shape(dims, file->where_, info.name);
    const auto type = reader.number<uint8_t>();
    if (type >= std::size(kElementTypes)) damaged_ctranslate2(file->where_, "tensor {} has the unknown type {}", quote(info.name), type);
    info.type = kTypeNames[type];
    info.dtype = readable_as(kElementTypes[type]);
    info.bytes = reader.number<uint32_t>();
    if (info.bytes != checked_mul(static_cast<uint64_t>(info.shape.numel()), bytes_of(kElementTypes[type]), file->where_))
      damaged_ctranslate2(file->where_, "tensor {}: {} bytes for {} {}", quote(info.name), info.bytes, info.type, info.shape.str());
    file->places_.push_back({kElementTypes[type], reader.take(info.bytes).data()});
    file->tensors_.push_back(std::move(info));
  }
  const size_t stored = file->tensors_.size();
  for (auto aliases = reader.number<uint32_t>(); aliases > 0; --aliases) {
    const std::string alias = read_text(reader, file->where_), name = read_text(reader, file->where_);
    const auto first = file->tensors_.begin();
    const auto found = std::find_if(first, first + static_cast<long>(stored), [&](const TensorInfo& t) { return t.name == name; });
    if (found == first + static_cast<long>(stored)) damaged_ctranslate2(file->where_, "{} stands for {}, which is not there", quote(alias), quote(name));
    file->places_.push_back(file->places_[static_cast<size_t>(found - first)]);
    TensorInfo info = *found;
    info.name = alias;
    file->tensors_.push_back(std::move(info));
  }
  if (reader.remaining() > 0) damaged_ctranslate2(file->where_, "{} bytes are left at its end", reader.remaining());
  file->pair_scales();
  file->index_tensors();
  return file;
}

// Gives quantised matrices their scales and takes those off the list.
void Ctranslate2File::pair_scales() {
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < tensors_.size(); ++i) by_name.emplace(tensors_[i].name, i);
  std::set<size_t> scales;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto found = by_name.find(tensors_[i].name + std::string(kScale));
    if (found == by_name.end()) continue;
    TensorInfo& info = tensors_[i];
    const TensorInfo& scale = tensors_[found->second];
    const bool by_row = scale.shape.numel() != 1 || (info.shape.rank() > 0 && info.shape[0] == 1);
    if (places_[i].type != ElementType::i8 && places_[i].type != ElementType::i16)
      damaged_ctranslate2(where_, "tensor {} is {} and has a scale", quote(info.name), info.type);
    if (places_[found->second].type != ElementType::f32 || info.shape.rank() == 0 || (by_row && scale.shape.numel() != info.shape[0]))
      damaged_ctranslate2(where_, "tensor {}: its scale is {} {}, expected float32, one or one per row of {}", quote(info.name), scale.type, scale.shape.str(), info.shape.str());
    places_[i].scale = places_[found->second].data;
    places_[i].by_row = by_row;
    info.dtype = DType::f32;
    scales.insert(found->second);
  }
  std::vector<TensorInfo> tensors;
  std::vector<Place> places;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (scales.count(i)) continue;
    tensors.push_back(std::move(tensors_[i]));
    places.push_back(places_[i]);
  }
  tensors_ = std::move(tensors);
  places_ = std::move(places);
}

// Stored numbers are value * scale, rounded.
Tensor Ctranslate2File::load(size_t index) const {
  const Place& place = places_[index];
  const Shape& shape = tensors_[index].shape;
  const Tensor stored = to_tensor(place.data, place.type, shape, owner_);
  if (!place.scale) return stored;
  Tensor out = Tensor::empty(shape);
  const int64_t rows = shape[0], each = rows > 0 ? shape.numel() / rows : 0;
  for (int64_t r = 0; r < rows; ++r) {
    float scale;
    std::memcpy(&scale, place.scale + (place.by_row ? static_cast<size_t>(r) * sizeof(float) : 0), sizeof(float));
    if (!(std::isfinite(scale) && scale != 0)) damaged_ctranslate2(where_, "tensor {}: its scale holds {}", quote(tensors_[index].name), scale);
    for (int64_t i = r * each; i < (r + 1) * each; ++i)
      out.data<float>()[i] = static_cast<float>(stored.dtype() == DType::i8 ? stored.data<int8_t>()[i] : stored.data<int32_t>()[i]) / scale;
  }
  return out;
}

}  // namespace mynah::formats
