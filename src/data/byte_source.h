// The bytes of a file, decompressed on the way where it is gzip or Zstandard, which its first bytes say.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace mynah::data {

class ByteSource {
 public:
  // Throws not_found or failure, also for files that begin as other archives, tables or UTF-16 do.
  static std::unique_ptr<ByteSource> open(const std::filesystem::path& path);
  virtual ~ByteSource() = default;
  // Up to `size` bytes; 0 at the end. On damage 0 too, and why in *trouble.
  virtual size_t read(char* to, size_t size, std::string* trouble) = 0;
};

// The name without .gz or .zst.
std::filesystem::path name_inside(const std::filesystem::path& path);
// Its ending in small letters: ".jsonl" of "rows.JSONL.gz".
std::string ending_inside(const std::filesystem::path& path);

}  // namespace mynah::data
