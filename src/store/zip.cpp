#include "store/zip.h"

#include <zlib.h>

#include <algorithm>

#include "base/byte_reader.h"
#include "base/file.h"

namespace mynah::store {
namespace {

constexpr uint32_t kEndMark = 0x06054b50, kEnd64Mark = 0x06064b50, kLocator64Mark = 0x07064b50;
constexpr uint32_t kCentralMark = 0x02014b50, kLocalMark = 0x04034b50;
constexpr uint64_t kEntryLimit = 200000;
constexpr size_t kEndSize = 22, kLocatorSize = 20;

struct Central {
  uint64_t entries = 0, size = 0, offset = 0;
};

// The end record is searched from the back: a comment of up to 65,535 bytes may follow it.
Central find_central(std::span<const std::byte> bytes, std::string_view where) {
  const size_t lowest = bytes.size() > kEndSize + 65535 ? bytes.size() - kEndSize - 65535 : 0;
  for (size_t at = bytes.size() < kEndSize ? 0 : bytes.size() - kEndSize + 1; at-- > lowest;) {
    ByteReader reader(bytes, where);
    reader.seek(at);
    if (reader.number<uint32_t>() != kEndMark) continue;
    reader.take(6);  // disk numbers, entries on this disk
    Central central;
    central.entries = reader.number<uint16_t>();
    central.size = reader.number<uint32_t>();
    central.offset = reader.number<uint32_t>();
    const bool wide = central.entries == 0xffff || central.size == 0xffffffff || central.offset == 0xffffffff;
    if (!wide || at < kLocatorSize) return central;
    reader.seek(at - kLocatorSize);
    if (reader.number<uint32_t>() != kLocator64Mark) return central;
    reader.take(4);
    reader.seek(reader.number<uint64_t>());
    if (reader.number<uint32_t>() != kEnd64Mark) fail(ErrorCode::integrity, "{}: damaged zip64 end record", where);
    reader.take(28);  // record size, versions, disk numbers, entries on this disk
    central.entries = reader.number<uint64_t>();
    central.size = reader.number<uint64_t>();
    central.offset = reader.number<uint64_t>();
    return central;
  }
  fail(ErrorCode::integrity, "{}: not a zip archive, or cut short", where);
}

// Fields that do not fit into 32 bits stand in an extra record of kind 1, in this order.
void read_extra(std::span<const std::byte> bytes, ZipEntry& entry, std::string_view where) {
  ByteReader reader(bytes, where);
  while (reader.remaining() >= 4) {
    const auto kind = reader.number<uint16_t>();
    ByteReader record(reader.take(reader.number<uint16_t>()), where);
    if (kind != 1) continue;
    for (uint64_t* field : {&entry.size_bytes, &entry.packed_bytes, &entry.header_offset})
      if (*field == 0xffffffff) *field = record.number<uint64_t>();
  }
}

ZipEntry read_entry(ByteReader& reader, std::string_view where) {
  if (reader.number<uint32_t>() != kCentralMark)
    fail(ErrorCode::integrity, "{}: byte {}: damaged zip directory", where, reader.position());
  ZipEntry entry;
  reader.take(4);  // versions
  entry.flags = reader.number<uint16_t>();
  entry.method = reader.number<uint16_t>();
  reader.take(4);  // time
  entry.crc = reader.number<uint32_t>();
  entry.packed_bytes = reader.number<uint32_t>();
  entry.size_bytes = reader.number<uint32_t>();
  const auto name_size = reader.number<uint16_t>();
  const auto extra_size = reader.number<uint16_t>();
  const auto comment_size = reader.number<uint16_t>();
  reader.take(8);  // disk, attributes
  entry.header_offset = reader.number<uint32_t>();
  entry.name = reader.text(name_size);
  read_extra(reader.take(extra_size), entry, where);
  reader.take(comment_size);
  return entry;
}

class Inflater {
 public:
  explicit Inflater(std::string_view where) : where_(where) {
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) fail(ErrorCode::failure, "{}: zlib has no memory", where);
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Unpacks `packed` whole; the sink sees every byte and stops a stream that grows past what was declared.
  void run(std::span<const std::byte> packed, const MappedFile& file,
           const std::function<void(const char*, size_t)>& sink) {
    constexpr size_t kIn = 4u << 20, kOut = 256u << 10;
    std::vector<char> out(kOut);
    int state = Z_OK;
    for (size_t at = 0; at < packed.size() && state != Z_STREAM_END;) {
      const size_t size = std::min(kIn, packed.size() - at);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + at));
      stream_.avail_in = static_cast<uInt>(size);
      do {
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = kOut;
        state = inflate(&stream_, Z_NO_FLUSH);
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
          fail(ErrorCode::integrity, "{}: damaged compressed data", where_);
        sink(out.data(), kOut - stream_.avail_out);
      } while (stream_.avail_out == 0 && state != Z_STREAM_END);
      file.drop(packed.data() + at, size);
      at += size;
    }
    if (state != Z_STREAM_END) fail(ErrorCode::integrity, "{}: compressed data end too early", where_);
  }

 private:
  std::string_view where_;
  z_stream stream_{};
};

}  // namespace

ZipFile::ZipFile(const std::filesystem::path& path) : file_(MappedFile::open(path)), where_(path.filename().string()) {
  const auto bytes = file_->bytes();
  const Central central = find_central(bytes, where_);
  ByteReader all(bytes, where_);
  all.seek(central.offset);
  ByteReader reader(all.take(central.size), where_);
  if (central.entries > kEntryLimit)
    fail(ErrorCode::integrity, "{}: {} entries, at most {} expected", where_, central.entries, kEntryLimit);
  for (uint64_t i = 0; i < central.entries; ++i) entries_.push_back(read_entry(reader, where_));
}

const ZipEntry* ZipFile::find(std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const ZipEntry& e) { return e.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

void ZipFile::extract(const ZipEntry& entry, const std::function<void(const char*, size_t)>& sink) const {
  const std::string where = where_ + ": " + entry.name;
  if (entry.flags & 1) fail(ErrorCode::integrity, "{}: encrypted", where);
  ByteReader reader(file_->bytes(), where);
  reader.seek(entry.header_offset);
  if (reader.number<uint32_t>() != kLocalMark) fail(ErrorCode::integrity, "{}: damaged local header", where);
  reader.take(22);
  const auto name_size = reader.number<uint16_t>();
  const auto extra_size = reader.number<uint16_t>();
  reader.take(static_cast<uint64_t>(name_size) + extra_size);
  const auto packed = reader.take(entry.packed_bytes);

  uint64_t done = 0;
  uLong crc = crc32(0, nullptr, 0);
  const auto checked = [&](const char* data, size_t size) {
    done += size;
    if (done > entry.size_bytes)
      fail(ErrorCode::integrity, "{}: more than the {} bytes it declares", where, entry.size_bytes);
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(data), size);
    sink(data, size);
  };
  if (entry.method == 8) {
    Inflater(where).run(packed, *file_, checked);
  } else if (entry.method == 0) {
    checked(reinterpret_cast<const char*>(packed.data()), packed.size());
  } else {
    fail(ErrorCode::integrity, "{}: compression method {}, 0 or 8 expected", where, entry.method);
  }
  if (done != entry.size_bytes) fail(ErrorCode::integrity, "{}: {} bytes, {} declared", where, done, entry.size_bytes);
  if (crc != entry.crc) fail(ErrorCode::integrity, "{}: checksum does not match", where);
}

std::string ZipFile::text(const ZipEntry& entry, size_t limit_bytes) const {
  if (entry.size_bytes > limit_bytes)
    fail(ErrorCode::does_not_fit, "{}: {}: {} bytes, at most {} expected", where_, entry.name, entry.size_bytes,
         limit_bytes);
  std::string text;
  extract(entry, [&](const char* data, size_t size) { text.append(data, size); });
  return text;
}

}  // namespace mynah::store
