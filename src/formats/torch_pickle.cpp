// Two layouts. Zip: NAME/data.pkl (the object, tensors refer to storages by key) and NAME/data/KEY for each storage.
// Older: five pickles in a row (magic number, protocol, system, object, list of keys), then per key a count and the
// elements.
#include "formats/torch_pickle.h"

#include "base/byte_reader.h"
#include "base/file.h"
#include "base/unicode.h"
#include "formats/element_type.h"
#include "formats/pickle.h"
#include "formats/quote.h"
#include "formats/zip.h"

namespace mynah::formats {
namespace {

using Kind = PickleValue::Kind;

// The magic number of the older layout, 0x1950a86a20f9469cfc6c, least significant byte first.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr size_t kMaxPickledTensors = 262144, kMaxNameBytes = 1024, kMaxDepth = 32, kMaxVisits = 4'000'000;
// A tensor may repeat its storage's elements (an expanded view), up to so many; beyond, it is an attack on memory.
constexpr uint64_t kMaxExpanded = 1u << 20;

using Storages = std::unordered_map<std::string_view, std::span<const std::byte>>;

bool is_row_major(const Shape& shape, const Shape& strides) {
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    if (shape[d] != 1 && strides[d] != step) return false;
    step *= shape[d];
  }
  return true;
}

}  // namespace

struct TorchFile::Place {
  ElementType type;
  const std::byte* data;  // of the first element
  Shape strides;          // in elements
};

struct TorchParser {
  TorchFile& file;
  Pickle pickle{};
  Storages storages{};
  size_t visits = 0;

  template <class... Args>
  [[noreturn]] void damaged(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::integrity, "{}: {}; the file is damaged", file.where(),
         fmt::format(format, std::forward<Args>(args)...));
  }

  void run(std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.starts_with("PK\x03\x04"))
      read_archive(bytes);
    else if (text.starts_with('\x80'))
      read_stream(bytes);
    else
      fail(ErrorCode::integrity,
           "{}: not a PyTorch file (neither a zip archive nor a pickle); convert the weights to safetensors",
           file.where());
    std::string name;
    visit(pickle.result, name, 0);
    file.index_tensors();
  }

  void read_archive(std::span<const std::byte> bytes) {
    const auto entries = read_zip(bytes, file.where());
    constexpr std::string_view kObject = "/data.pkl";
    const ZipEntry* object = nullptr;
    for (const ZipEntry& e : entries) {
      if (!e.name.ends_with(kObject) || e.name.find('/') + kObject.size() != e.name.size()) continue;
      if (object) damaged("the archive has {} and {}", quote(object->name), quote(e.name));
      object = &e;
    }
    if (!object) damaged("the archive has no data.pkl, so it was not written by PyTorch");
    const std::string folder(object->name.substr(0, object->name.find('/') + 1));
    for (const ZipEntry& e : entries) {
      if (e.name == folder + "byteorder" &&
          std::string_view(reinterpret_cast<const char*>(e.bytes.data()), e.bytes.size()) != "little")
        fail(ErrorCode::failure,
             "{}: big-endian numbers, little-endian expected; save the weights again on another machine", file.where());
      if (e.name.starts_with(folder + "data/")) storages.emplace(e.name.substr(folder.size() + 5), e.bytes);
    }
    pickle = read_pickle(object->bytes, file.where());
  }

  void read_stream(std::span<const std::byte> bytes) {
    const auto next = [&] {
      Pickle p = read_pickle(bytes, file.where());
      bytes = bytes.subspan(p.bytes);
      return p;
    };
    const Pickle magic = next();
    if (magic.result.kind != Kind::big_integer || magic.result.text != kLegacyMagic)
      fail(ErrorCode::failure, "{}: a pickle that PyTorch did not write; convert the weights to safetensors",
           file.where());
    next();  // protocol
    check_system(next());
    pickle = next();
    const Pickle keys = next();
    if (keys.result.kind != Kind::list) damaged("the list of storages is missing");
    // The size of a storage's elements follows from its first use in the object.
    std::unordered_map<std::string_view, size_t> element_bytes;
    for (const PickledStorage& s : pickle.storages) element_bytes.emplace(s.key, bytes_of(s.type));
    ByteReader reader(bytes, file.where());
    for (const PickleValue& key : keys.items(keys.result)) {
      const auto element = element_bytes.find(key.text);
      if (key.kind != Kind::string || element == element_bytes.end())
        damaged("storage {} belongs to no tensor", quote(key.text));
      const auto count = reader.number<uint64_t>();
      const auto data = reader.take(checked_mul(count, element->second, file.where()));
      if (!storages.emplace(key.text, data).second) damaged("storage {} occurs twice", quote(key.text));
    }
  }

  void check_system(const Pickle& system) const {
    if (system.result.kind != Kind::dict) damaged("the description of the system is missing");
    const auto& items = system.items(system.result);
    for (size_t i = 0; i + 1 < items.size(); i += 2)
      if (items[i].text == "little_endian" && items[i + 1].integer == 0)
        fail(ErrorCode::failure,
             "{}: big-endian numbers, little-endian expected; save the weights again on another machine", file.where());
  }

  void visit(const PickleValue& value, std::string& name, size_t depth) {
    if (++visits > kMaxVisits || depth > kMaxDepth) damaged("containers nested too deep or too many values");
    if (value.kind == Kind::tensor) {
      add(pickle.tensors[static_cast<size_t>(value.integer)], name.empty() ? "tensor" : name);
    } else if (value.kind == Kind::list || value.kind == Kind::tuple) {
      const auto& items = pickle.items(value);
      for (size_t i = 0; i < items.size(); ++i) visit_item(fmt::format("{}", i), items[i], name, depth);
    } else if (value.kind == Kind::dict) {
      const auto& items = pickle.items(value);
      for (size_t i = 0; i + 1 < items.size(); i += 2) {
        const PickleValue& key = items[i];
        if (key.kind == Kind::string)
          visit_item(key.text, items[i + 1], name, depth);
        else if (key.kind == Kind::integer)
          visit_item(fmt::format("{}", key.integer), items[i + 1], name, depth);
        else
          damaged("a dictionary key that is neither text nor a whole number");
      }
    }
  }

  void visit_item(std::string_view key, const PickleValue& value, std::string& name, size_t depth) {
    const size_t length = name.size();
    if (!unicode::is_valid(key)) damaged("the name {} is not UTF-8", quote(key));
    if (length + key.size() >= kMaxNameBytes) damaged("a name of more than {} bytes", kMaxNameBytes);
    name.append(length ? "." : "").append(key);
    visit(value, name, depth + 1);
    name.resize(length);
  }

  void add(const PickledTensor& tensor, std::string_view name) {
    if (file.tensors_.size() >= kMaxPickledTensors) damaged("more than {} tensors", kMaxPickledTensors);
    TensorInfo info;
    info.name = name;
    info.type = tensor.type_name;
    info.dtype = readable_as(tensor.type);
    info.shape = checked_shape(tensor.shape, file.where(), name);
    const auto numel = static_cast<uint64_t>(info.shape.numel());
    info.bytes = numel * bytes_of(tensor.type);
    const auto data = storage(pickle.storages[tensor.storage], name);
    const uint64_t available = data.size() / bytes_of(tensor.type);
    TorchFile::Place place{tensor.type, data.data(), contiguous_strides(info.shape)};
    if (numel > 0) {
      const uint64_t last = checked_add(tensor.offset, reach(tensor), file.where());
      if (last >= available)
        damaged("tensor {}: it reaches to element {} of a storage of {}", quote(name), last, available);
      if (numel > available && numel > kMaxExpanded)
        damaged("tensor {}: {} elements out of {}", quote(name), numel, available);
      for (int d = 0; d < info.shape.rank(); ++d)  // a dimension of 1 may have any stride: it is never stepped over
        place.strides[d] = info.shape[d] == 1 ? 0 : static_cast<int64_t>(tensor.strides[static_cast<size_t>(d)]);
      place.data += tensor.offset * bytes_of(tensor.type);
    }
    file.tensors_.push_back(std::move(info));
    file.places_.push_back(place);
  }

  std::span<const std::byte> storage(const PickledStorage& s, std::string_view name) const {
    const auto found = storages.find(s.key);
    if (found == storages.end()) damaged("tensor {}: its storage {} is missing", quote(name), quote(s.key));
    const uint64_t bytes = checked_mul(s.numel, bytes_of(s.type), file.where());
    if (bytes > found->second.size())
      damaged("tensor {}: its storage {} has {} bytes, {} expected", quote(name), quote(s.key), found->second.size(),
              bytes);
    return found->second.first(static_cast<size_t>(bytes));
  }

  // Distance from the first to the last element.
  uint64_t reach(const PickledTensor& t) const {
    uint64_t distance = 0;
    for (size_t d = 0; d < t.shape.size(); ++d)
      distance = checked_add(distance, checked_mul(t.shape[d] - 1, t.shape[d] > 1 ? t.strides[d] : 0, file.where()),
                             file.where());
    return distance;
  }
};

TorchFile::TorchFile(std::string where) : TensorSource(std::move(where)) {}
TorchFile::~TorchFile() = default;

std::shared_ptr<const TorchFile> TorchFile::open(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  return parse(mapping->bytes(), path.string(), mapping);
}

std::shared_ptr<const TorchFile> TorchFile::parse(std::span<const std::byte> bytes, std::string where,
                                                  std::shared_ptr<const void> owner) {
  std::shared_ptr<TorchFile> file(new TorchFile(std::move(where)));
  file->owner_ = std::move(owner);
  TorchParser{*file}.run(bytes);
  return file;
}

Tensor TorchFile::load(size_t index) const {
  const Place& place = places_[index];
  const Shape& shape = tensors_[index].shape;
  if (is_row_major(shape, place.strides)) return to_tensor(place.data, place.type, shape, owner_);
  const size_t size = bytes_of(place.type);
  const auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(shape.numel()) * size);
  gather(place.data, size, shape, place.strides, copy->data());
  return to_tensor(copy->data(), place.type, shape, copy);
}

}  // namespace mynah::formats
