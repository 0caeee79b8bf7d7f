#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "base/require.h"

namespace mynah {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* action) {
  const int error = errno;
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::not_found
                         : error == ENOSPC || error == EDQUOT ? ErrorCode::does_not_fit
                                                              : ErrorCode::failure;
  fail(code, "{}: cannot {}: {}", path.string(), action, std::strerror(error));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void sync_folder(const std::filesystem::path& folder) {
  Descriptor d{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (d.fd >= 0) ::fsync(d.fd);
}

void drop_pages(const void* data, size_t size) {
  const uintptr_t page = 4096, begin = (reinterpret_cast<uintptr_t>(data) + page - 1) & ~(page - 1),
                  end = (reinterpret_cast<uintptr_t>(data) + size) & ~(page - 1);
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

// Every mapping by its first byte.
std::mutex mappings_mutex;
std::map<const std::byte*, size_t>& mappings() {
  static auto* all = new std::map<const std::byte*, size_t>;  // outlives every static object that keeps a file
  return *all;
}

}  // namespace

bool MappedFile::drop_any(const void* data, size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  const std::lock_guard lock(mappings_mutex);
  auto next = mappings().upper_bound(first);
  if (next == mappings().begin()) return false;
  const auto& [begin, length] = *--next;
  if (first + size > begin + length) return false;
  drop_pages(first, size);
  return true;
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  Descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.fd < 0) fail_errno(path, "open");
  struct stat info;
  if (::fstat(d.fd, &info) != 0) fail_errno(path, "stat");
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::failure, "{}: not a regular file", path.string());
  auto file = std::shared_ptr<MappedFile>(new MappedFile);
  file->path_ = path;
  file->size_ = static_cast<size_t>(info.st_size);
  if (file->size_ > 0) {
    void* p = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, d.fd, 0);
    if (p == MAP_FAILED) fail_errno(path, "map");
    file->data_ = static_cast<const std::byte*>(p);
    const std::lock_guard lock(mappings_mutex);
    mappings()[file->data_] = file->size_;
  }
  return file;
}

MappedFile::~MappedFile() {
  if (!data_) return;
  {
    const std::lock_guard lock(mappings_mutex);
    mappings().erase(data_);
  }
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(const void* data, size_t size) const { drop_pages(data, size); }

void MappedFile::prefetch(const void* data, size_t size) const {
  const uintptr_t page = 4096, begin = reinterpret_cast<uintptr_t>(data) & ~(page - 1), end = reinterpret_cast<uintptr_t>(data) + size;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  static std::atomic<unsigned> counter{0};
  temporary_ = path_;
  temporary_ += fmt::format(".tmp-{}-{}", ::getpid(), counter.fetch_add(1));
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_errno(path_, "create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  const char* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(descriptor_, p, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path_, "write");
    }
    p += n;
    size -= static_cast<size_t>(n);
    written_ += static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail_errno(path_, "sync");
  ::close(descriptor_);
  descriptor_ = -1;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    errno = error;
    fail_errno(path_, "rename to");
  }
  sync_folder(path_.parent_path());
}

std::string read_text_file(const std::filesystem::path& path, size_t limit_bytes) {
  auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > limit_bytes)
    fail(ErrorCode::does_not_fit, "{}: {} bytes, at most {} expected", path.string(), bytes.size(), limit_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace mynah
