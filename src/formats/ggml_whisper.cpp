#include "formats/ggml_whisper.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/file.h"
#include "base/unicode.h"
#include "formats/ggml_types.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

constexpr uint32_t kMagic = 0x67676d6c;

template <class... Args>
[[noreturn]] void damaged_whisper(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::integrity, "{}: {}; the file is damaged or not whisper.cpp's", where, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace

bool GgmlWhisperFile::is(std::span<const std::byte> bytes) {
  uint32_t magic = 0;
  if (bytes.size() < sizeof magic) return false;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  return magic == kMagic;
}

std::shared_ptr<const GgmlWhisperFile> GgmlWhisperFile::open(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  return parse(mapping->bytes(), path.string(), mapping);
}

std::shared_ptr<const GgmlWhisperFile> GgmlWhisperFile::parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner) {
  std::shared_ptr<GgmlWhisperFile> file(new GgmlWhisperFile(std::move(where)));
  file->owner_ = std::move(owner);
  if (!is(bytes)) damaged_whisper(file->where_, "it does not begin with \"lmgg\"");
  ByteReader reader(bytes, file->where_);
  reader.take(4);
  for (int32_t* size : {&file->sizes_.n_vocab, &file->sizes_.n_audio_ctx, &file->sizes_.n_audio_state, &file->sizes_.n_audio_head, &file->sizes_.n_audio_layer,
                        &file->sizes_.n_text_ctx, &file->sizes_.n_text_state, &file->sizes_.n_text_head, &file->sizes_.n_text_layer, &file->sizes_.n_mels,
                        &file->sizes_.ftype}) {
    *size = reader.number<int32_t>();
    if (*size < 0 || *size > 1 << 24) damaged_whisper(file->where_, "a size of {}", *size);
  }
  const auto mels = reader.number<uint32_t>(), bins = reader.number<uint32_t>();
  reader.take(checked_mul(checked_mul(mels, bins, file->where_), sizeof(float), file->where_));
  for (auto count = reader.number<uint32_t>(); count > 0; --count) file->vocabulary_.emplace_back(reader.text(reader.number<uint32_t>()));
  while (reader.remaining() > 0) {
    const auto rank = reader.number<uint32_t>(), length = reader.number<uint32_t>(), id = reader.number<uint32_t>();
    if (rank > 4 || length == 0 || length > 65535) damaged_whisper(file->where_, "a tensor of {} dimensions with a name of {} bytes", rank, length);
    uint64_t dims[4];
    for (uint32_t i = 0; i < rank; ++i) dims[rank - 1 - i] = reader.number<uint32_t>();
    TensorInfo info;
    info.name = reader.text(length);
    if (!unicode::is_valid(info.name)) damaged_whisper(file->where_, "tensor {}: its name is not UTF-8", quote(info.name));
    info.shape = checked_shape({dims, rank}, file->where_, info.name);
    const GgmlType* type = find_ggml_type(id);
    if (!type) damaged_whisper(file->where_, "tensor {} has the unknown type {}", quote(info.name), id);
    info.type = type->name;
    info.dtype = type->dtype();
    const int64_t row = rank > 0 ? info.shape[static_cast<int>(rank) - 1] : 1;
    if (row % type->block_elements != 0) damaged_whisper(file->where_, "tensor {}: rows of {} in {}, blocks of {} expected", quote(info.name), row, type->name, type->block_elements);
    info.bytes = checked_mul(static_cast<uint64_t>(info.shape.numel()) / type->block_elements, type->block_bytes, file->where_);
    file->places_.push_back({type, reader.take(info.bytes).data()});
    file->tensors_.push_back(std::move(info));
  }
  file->index_tensors();
  return file;
}

Tensor GgmlWhisperFile::load(size_t index) const {
  const Place& place = places_[index];
  const Shape& shape = tensors_[index].shape;
  return place.type->plain ? to_tensor(place.data, *place.type->plain, shape, owner_) : borrow_or_copy(place.data, shape, *place.type->quantized, owner_);
}

}  // namespace mynah::formats
