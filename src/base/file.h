// Files: memory-mapped reading and atomic writing. Anything a user keeps is written whole or not at all.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mynah {

// A read-only mapping of a whole file. Throws not_found or failure with the path and the system's reason.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Tells the kernel that these bytes of the mapping will not be read again soon (whole pages inside the range are dropped).
  void drop(const void* data, size_t size) const;
  void prefetch(const void* data, size_t size) const;
  // drop() on whichever mapping holds these bytes; false if none does.
  static bool drop_any(const void* data, size_t size);

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Writes a file that appears under its name only when commit() has returned: temporary in the same folder, fsync, rename,
// fsync of the folder. Destroyed without commit it leaves nothing behind. Throws failure (also disk full: does_not_fit).
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  size_t written() const { return written_; }
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  size_t written_ = 0;
};

// A whole small file as text. Throws not_found; does_not_fit above `limit_bytes`.
std::string read_text_file(const std::filesystem::path& path, size_t limit_bytes = 256u << 20);

}  // namespace mynah
