// Reading zip archives (packages are zip files). The archive is untrusted: every offset and size is checked, nothing is
// unpacked to a path that the archive names, and an entry delivers exactly the bytes and the checksum it declares.
// Format: PKWARE APPNOTE 6.3, with the zip64 fields; stored and deflated entries.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mynah {
class MappedFile;
}

namespace mynah::store {

struct ZipEntry {
  std::string name;
  uint64_t size_bytes = 0, packed_bytes = 0;
  uint64_t header_offset = 0;
  uint32_t crc = 0;
  uint16_t method = 0, flags = 0;
};

class ZipFile {
 public:
  // Throws integrity for what is not a sound zip archive.
  explicit ZipFile(const std::filesystem::path& path);
  const std::vector<ZipEntry>& entries() const { return entries_; }
  const ZipEntry* find(std::string_view name) const;
  // Hands the entry's bytes to `sink`, piece by piece. Throws integrity when they are not what the archive declares.
  void extract(const ZipEntry& entry, const std::function<void(const char*, size_t)>& sink) const;
  // A small entry as text; throws does_not_fit above `limit_bytes`.
  std::string text(const ZipEntry& entry, size_t limit_bytes) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::string where_;
  std::vector<ZipEntry> entries_;
};

}  // namespace mynah::store
