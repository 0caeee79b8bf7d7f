// The table of contents of a zip archive whose entries are stored, not compressed (what PyTorch writes). Zip64
// included.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace mynah::formats {

struct ZipEntry {
  std::string_view name;             // in the archive's bytes
  std::span<const std::byte> bytes;  // the content, in place
};

// Throws integrity when the archive is damaged, holds a name twice, is compressed or encrypted, or when an entry's own
// header disagrees with the table (archives that two readers would see differently).
std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, std::string_view where);

}  // namespace mynah::formats
