// A blob that is being written: a file in blobs/partial that one process at a time holds, that survives being killed,
// and that becomes a blob only when its bytes are verified.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "store/folder.h"

namespace mynah::store {

class Partial {
 public:
  // Takes hold of the partial file `key`, waiting while another pull has it. `waiting(size)` is called about ten times
  // a second meanwhile with the size reached by the other, and ends the wait with `interrupted` by returning false.
  // `done` is asked whenever the file becomes free: when it says true (the other one finished), nothing is returned.
  static std::optional<Partial> open(const Folder& folder, std::string_view key, const std::function<bool()>& done,
                                     const std::function<bool(uint64_t size_bytes)>& waiting);
  Partial(Partial&& other) noexcept;
  Partial& operator=(Partial&&) = delete;
  ~Partial();  // keeps the bytes for the next try

  const std::filesystem::path& path() const { return path_; }
  uint64_t size_bytes() const { return size_; }
  // Adds at the end. Throws does_not_fit when the disk is full.
  void append(const char* data, size_t size);
  // Adds a file's bytes; the file system shares the blocks where it can. Throws not_found when it cannot be opened.
  void append_file(const std::filesystem::path& source);
  // Forgets all bytes.
  void clear();
  // Removes the file: its bytes are wrong.
  void discard();
  // The bytes are those of `digest`: syncs them and gives them their place among the blobs.
  void commit(const Folder& folder, const Digest& digest);

 private:
  Partial(std::filesystem::path path, int descriptor, uint64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace mynah::store
