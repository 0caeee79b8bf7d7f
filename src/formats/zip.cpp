// Layout (PKWARE APPNOTE 6.3): entries, each with a header of its own; the central directory; its end record, found
// from the back of the file, preceded by the zip64 end record and locator when the numbers do not fit into 16 or 32
// bits.
#include "formats/zip.h"

#include <algorithm>
#include <unordered_set>

#include "base/byte_reader.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr size_t kEndBytes = 22, kLocator64Bytes = 20, kCentralBytes = 46, kMaxComment = 65535;

struct Directory {
  uint64_t entries, offset, size;
};

class ZipParser {
 public:
  ZipParser(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  std::vector<ZipEntry> run() {
    const Directory directory = find_directory();
    ByteReader reader = at(directory.offset);
    if (directory.entries > directory.size / kCentralBytes)
      damaged("{} entries in a directory of {} bytes", directory.entries, directory.size);
    std::vector<ZipEntry> entries;
    std::unordered_set<std::string_view> names;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      entries.push_back(entry(reader));
      if (!names.insert(entries.back().name).second) damaged("entry {} occurs twice", quote(entries.back().name));
    }
    return entries;
  }

 private:
  template <class... Args>
  [[noreturn]] void damaged(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::integrity, "{}: zip archive: {}; the file is truncated or damaged", where_,
         fmt::format(format, std::forward<Args>(args)...));
  }
  ByteReader at(uint64_t position) const {
    ByteReader reader(bytes_, where_);
    reader.seek(position);
    return reader;
  }

  size_t find_end() const {
    if (bytes_.size() < kEndBytes) damaged("{} bytes are too few", bytes_.size());
    const size_t last = bytes_.size() - kEndBytes, first = last > kMaxComment ? last - kMaxComment : 0;
    for (size_t position = last + 1; position-- > first;) {
      ByteReader reader = at(position);
      if (reader.number<uint32_t>() != kEnd) continue;
      reader.take(16);
      if (reader.number<uint16_t>() == reader.remaining()) return position;
    }
    damaged("it has no end record");
  }

  Directory find_directory() const {
    const size_t end = find_end();
    ByteReader reader = at(end + 4);
    const auto disk = reader.number<uint16_t>(), directory_disk = reader.number<uint16_t>();
    reader.take(2);
    Directory d{};
    d.entries = reader.number<uint16_t>();
    d.size = reader.number<uint32_t>();
    d.offset = reader.number<uint32_t>();
    uint64_t limit = end;
    if (d.entries == 0xffff || d.size == 0xffffffff || d.offset == 0xffffffff)
      d = directory64(end, limit);
    else if (disk != 0 || directory_disk != 0)
      damaged("it is one of several volumes");
    if (d.offset > limit || d.size > limit - d.offset)
      damaged("its directory lies at {} + {}, the file has {} bytes", d.offset, d.size, limit);
    return d;
  }

  Directory directory64(size_t end, uint64_t& limit) const {
    if (end < kLocator64Bytes) damaged("it has no zip64 locator");
    ByteReader locator = at(end - kLocator64Bytes);
    if (locator.number<uint32_t>() != kLocator64) damaged("it has no zip64 locator");
    locator.take(4);
    limit = locator.number<uint64_t>();
    ByteReader reader = at(limit);
    if (reader.number<uint32_t>() != kEnd64) damaged("it has no zip64 end record");
    reader.take(20 + 8);  // sizes, versions, disks; entries on this disk
    Directory d{};
    d.entries = reader.number<uint64_t>();
    d.size = reader.number<uint64_t>();
    d.offset = reader.number<uint64_t>();
    return d;
  }

  ZipEntry entry(ByteReader& reader) const {
    if (reader.number<uint32_t>() != kCentral) damaged("its directory is no list of entries");
    reader.take(4);
    const auto flags = reader.number<uint16_t>(), method = reader.number<uint16_t>();
    reader.take(8);  // time, date, CRC
    uint64_t packed = reader.number<uint32_t>(), size = reader.number<uint32_t>();
    const auto name_bytes = reader.number<uint16_t>(), extra_bytes = reader.number<uint16_t>(),
               comment_bytes = reader.number<uint16_t>();
    reader.take(8);  // disk, attributes
    uint64_t offset = reader.number<uint32_t>();
    const std::string_view name = reader.text(name_bytes);
    read_extra64(reader.take(extra_bytes), size, packed, offset);
    reader.take(comment_bytes);
    if (method != 0 || packed != size)
      damaged("entry {} is compressed (method {}), PyTorch stores entries as they are", quote(name), method);
    if (flags & 1) damaged("entry {} is encrypted", quote(name));
    return {name, content(name, offset, size)};
  }

  // Replaces the fields that did not fit, in their fixed order.
  void read_extra64(std::span<const std::byte> extra, uint64_t& size, uint64_t& packed, uint64_t& offset) const {
    ByteReader reader(extra, where_);
    while (reader.remaining() >= 4) {
      const auto id = reader.number<uint16_t>(), length = reader.number<uint16_t>();
      ByteReader field(reader.take(length), where_);
      if (id != 1) continue;
      for (uint64_t* value : {&size, &packed, &offset})
        if (*value == 0xffffffff) *value = field.number<uint64_t>();
    }
  }

  std::span<const std::byte> content(std::string_view name, uint64_t offset, uint64_t size) const {
    ByteReader reader = at(offset);
    if (reader.number<uint32_t>() != kLocal) damaged("entry {} has no header at {}", quote(name), offset);
    reader.take(22);  // version, flags, method, time, date, CRC and sizes, which the directory has too
    const auto name_bytes = reader.number<uint16_t>(), extra_bytes = reader.number<uint16_t>();
    if (reader.text(name_bytes) != name) damaged("entry {} has another name in its own header", quote(name));
    reader.take(extra_bytes);
    return reader.take(size);
  }

  std::span<const std::byte> bytes_;
  std::string_view where_;
};

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, std::string_view where) {
  return ZipParser(bytes, where).run();
}

}  // namespace mynah::formats
