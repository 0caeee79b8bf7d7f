#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/byte_reader.h"
#include "base/file.h"
#include "formats/element_type.h"
#include "formats/quote.h"
#include "formats/safetensors_header.h"

namespace mynah::formats {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct Type {
  std::string_view name;
  uint32_t bits;
  std::optional<ElementType> element;  // none: only its size is known
};
constexpr std::array<Type, 22> kSafetensorsTypes = {{
    {"F32", 32, ElementType::f32},
    {"BF16", 16, ElementType::bf16},
    {"F16", 16, ElementType::f16},
    {"F64", 64, ElementType::f64},
    {"I64", 64, ElementType::i64},
    {"I32", 32, ElementType::i32},
    {"I16", 16, ElementType::i16},
    {"I8", 8, ElementType::i8},
    {"U64", 64, ElementType::u64},
    {"U32", 32, ElementType::u32},
    {"U16", 16, ElementType::u16},
    {"U8", 8, ElementType::u8},
    {"BOOL", 8, ElementType::boolean},
    {"F8_E4M3", 8, ElementType::f8_e4m3},
    {"F8_E5M2", 8, ElementType::f8_e5m2},
    {"F8_E8M0", 8, ElementType::f8_e8m0},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
    {"C64", 64, ElementType::c64},
}};

const Type* find_type(std::string_view dtype) {
  const auto found = std::find_if(kSafetensorsTypes.begin(), kSafetensorsTypes.end(), [&](const Type& t) { return t.name == dtype; });
  return found == kSafetensorsTypes.end() ? nullptr : &*found;
}

template <class... Args>
[[noreturn]] void damaged(std::string_view where, fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::integrity, "{}: {}; the file is damaged or not safetensors", where,
       fmt::format(format, std::forward<Args>(args)...));
}

// Header and data of the file.
std::pair<std::string_view, std::span<const std::byte>> split(std::span<const std::byte> bytes,
                                                              const std::string& where) {
  if (bytes.size() < 8) damaged(where, "{} bytes, at least 8 expected", bytes.size());
  ByteReader reader(bytes, where);
  const auto length = reader.number<uint64_t>();
  if (length > kMaxHeaderBytes) damaged(where, "a header of {} bytes, at most {} expected", length, kMaxHeaderBytes);
  if (length > reader.remaining()) damaged(where, "a header of {} bytes in a file of {}", length, bytes.size());
  const std::string_view header = reader.text(length);
  if (!header.starts_with('{')) damaged(where, "the header does not begin with '{{'");
  return {header, bytes.subspan(reader.position())};
}

// Every byte of the data belongs to exactly one tensor.
void check_cover(const std::vector<SafetensorsEntry>& entries, uint64_t size, const std::string& where) {
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return entries[a].offsets < entries[b].offsets; });
  uint64_t end = 0;
  for (const uint32_t i : order) {
    const auto& e = entries[i];
    if (e.offsets[0] != end)
      damaged(where, "tensor {} begins at byte {}, the one before it ends at {}", quote(e.name), e.offsets[0], end);
    end = e.offsets[1];
  }
  if (end != size) damaged(where, "its tensors end at byte {}, its data at {}", end, size);
}

TensorInfo checked_info(const SafetensorsEntry& e, const std::string& where) {
  TensorInfo info;
  info.name = e.name;
  const Type* type = find_type(e.dtype);
  if (!type) damaged(where, "tensor {} has the unknown dtype {}", quote(e.name), quote(e.dtype));
  info.type = type->name;
  info.dtype = type->element ? readable_as(*type->element) : std::nullopt;
  info.shape = checked_shape(e.shape, where, e.name);
  if (e.offsets.size() != 2 || e.offsets[0] > e.offsets[1])
    damaged(where, "tensor {}: data_offsets are no range", quote(e.name));
  info.bytes = e.offsets[1] - e.offsets[0];
  const uint64_t bits = checked_mul(static_cast<uint64_t>(info.shape.numel()), type->bits, where);
  if (bits % 8 != 0 || bits / 8 != info.bytes)
    damaged(where, "tensor {}: {} bytes for {} {}", quote(e.name), info.bytes, type->name, info.shape.str());
  return info;
}

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  return parse(mapping->bytes(), path.string(), mapping);
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string where,
                                                              std::shared_ptr<const void> owner) {
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile(std::move(where)));
  file->owner_ = std::move(owner);
  const auto [json, data] = split(bytes, file->where());
  SafetensorsHeader header = parse_safetensors_header(json, file->where());
  for (const SafetensorsEntry& e : header.entries) file->tensors_.push_back(checked_info(e, file->where()));
  file->index_tensors();
  check_cover(header.entries, data.size(), file->where());
  for (const SafetensorsEntry& e : header.entries)
    file->places_.push_back({find_type(e.dtype)->element.value_or(ElementType::f8_e4m3), data.data() + e.offsets[0]});
  file->metadata_ = std::move(header.metadata);
  return file;
}

Tensor SafetensorsFile::load(size_t index) const {
  return to_tensor(places_[index].data, places_[index].type, tensors_[index].shape, owner_);
}

}  // namespace mynah::formats
