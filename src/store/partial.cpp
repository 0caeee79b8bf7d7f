#include "store/partial.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/require.h"

namespace mynah::store {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* action) {
  const int error = errno;
  fail(error == ENOSPC || error == EDQUOT ? ErrorCode::does_not_fit : ErrorCode::failure, "store: cannot {} {}: {}",
       action, path.string(), std::strerror(error));
}

// Whether `descriptor` still is what the path names: the one who had it may have renamed or removed it.
bool same_file(int descriptor, const std::filesystem::path& path, struct stat& info) {
  struct stat named;
  return ::fstat(descriptor, &info) == 0 && ::lstat(path.c_str(), &named) == 0 && info.st_ino == named.st_ino &&
         info.st_dev == named.st_dev;
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

std::optional<Partial> Partial::open(const Folder& folder, std::string_view key, const std::function<bool()>& done,
                                     const std::function<bool(uint64_t)>& waiting) {
  const auto path = folder.partial(key);
  while (!done()) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) fail_errno(path, "open");
    Partial partial(path, descriptor, 0);  // closes it on every way out
    while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) fail_errno(path, "lock");
      struct stat info;
      const uint64_t size = ::fstat(descriptor, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
      if (waiting && !waiting(size)) fail(ErrorCode::interrupted, "pull: interrupted");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    struct stat info;
    if (!same_file(descriptor, path, info)) continue;
    partial.size_ = static_cast<uint64_t>(info.st_size);
    if (::lseek(descriptor, 0, SEEK_END) < 0) fail_errno(path, "seek in");
    return partial;
  }
  return std::nullopt;
}

Partial::Partial(Partial&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(other.descriptor_), size_(other.size_) {
  other.descriptor_ = -1;
}

Partial::~Partial() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Partial::append(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(descriptor_, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path_, "write");
    }
    data += n;
    size -= static_cast<size_t>(n);
    size_ += static_cast<uint64_t>(n);
  }
}

void Partial::append_file(const std::filesystem::path& source) {
  const auto file = MappedFile::open(source);
  const auto bytes = file->bytes();
  const int from = ::open(source.c_str(), O_RDONLY | O_CLOEXEC);
  uint64_t copied = 0;
  while (from >= 0 && copied < bytes.size()) {
    const ssize_t n = ::copy_file_range(from, nullptr, descriptor_, nullptr, bytes.size() - copied, 0);
    if (n <= 0) break;  // not between these file systems: the rest is written
    copied += static_cast<uint64_t>(n);
  }
  if (from >= 0) ::close(from);
  size_ += copied;
  append(reinterpret_cast<const char*>(bytes.data()) + copied, bytes.size() - copied);
}

void Partial::clear() {
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) < 0) fail_errno(path_, "empty");
  size_ = 0;
}

void Partial::discard() {
  ::unlink(path_.c_str());
  ::close(descriptor_);
  descriptor_ = -1;
}

void Partial::commit(const Folder& folder, const Digest& digest) {
  if (::fchmod(descriptor_, 0444) != 0 || ::fsync(descriptor_) != 0) fail_errno(path_, "sync");
  const auto blob = folder.blob(digest);
  if (::rename(path_.c_str(), blob.c_str()) != 0) fail_errno(path_, "rename");
  sync_folder(blob.parent_path());
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace mynah::store
