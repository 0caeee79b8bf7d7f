#include "serve/audit_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/log.h"
#include "base/require.h"
#include "store/digest.h"

namespace mynah::serve {
namespace {

constexpr const char* kPrevious = "previous";

std::string digest_of_line(const std::string& line) { return line.empty() ? "" : store::digest_of_text(line).hex(); }

// The last whole line of an open file, without its end. A line that a full disk has cut off is closed first.
std::string last_line(int file) {
  const off_t size = ::lseek(file, 0, SEEK_END);
  std::string text;
  for (off_t want = 4096; size > 0; want *= 4) {
    const off_t n = std::min(want, size);
    text.resize(static_cast<size_t>(n));
    const ssize_t got = ::pread(file, text.data(), text.size(), size - n);
    if (got < 0) return "";
    text.resize(static_cast<size_t>(got));
    if (!text.empty() && text.back() != '\n') {
      [[maybe_unused]] const ssize_t closed = ::write(file, "\n", 1);
      text += '\n';
    }
    const auto begin = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
    if (begin != std::string::npos) return text.substr(begin + 1, text.size() - begin - 2);
    if (n == size) return text.substr(0, text.empty() ? 0 : text.size() - 1);
  }
  return "";
}

int open_file(const std::filesystem::path& path) { return ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600); }

}  // namespace

AuditLog::AuditLog(const std::filesystem::path& folder) : path_(file(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const int opened = open_file(path_);
  if (opened < 0) fail(ErrorCode::failure, "serve: cannot write to {}: {}", path_.string(), std::strerror(errno));
  ::close(opened);
}

void AuditLog::write(Json entry) {
  const int file = open_file(path_);
  if (file < 0) return warn("serve: a change of models is not written down: {}: {}", path_.string(), std::strerror(errno));
  ::flock(file, LOCK_EX);
  entry[kPrevious] = digest_of_line(last_line(file));
  const std::string line = to_text(entry) + "\n";
  const ssize_t written = ::write(file, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size()) || ::fsync(file) != 0)
    warn("serve: a change of models is not written down whole: {}: {}", path_.string(), written < 0 ? std::strerror(errno) : "the disk is full");
  ::close(file);  // and the lock with it
}

std::optional<int64_t> AuditLog::read(const std::filesystem::path& folder, const std::function<void(const std::string&)>& take) {
  std::ifstream in(file(folder));
  std::optional<int64_t> broken;
  std::string before;
  int64_t number = 0;
  for (std::string line; std::getline(in, line); before = line) {
    ++number;
    const Json entry = Json::parse(line, nullptr, false);
    // A line that a full disk has cut off holds nothing; the one after it holds its digest.
    if (!broken && entry.is_object() && entry.value(kPrevious, "-") != digest_of_line(before)) broken = number;
    take(line);
  }
  return broken;
}

}  // namespace mynah::serve
