#include "serve/request_log.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/json.h"
#include "base/require.h"

namespace mynah::serve {

namespace fs = std::filesystem;

namespace {

// requests.jsonl is the newest, requests.1.jsonl the one before it.
fs::path file_name(const fs::path& folder, int age) {
  return folder / (age == 0 ? "requests.jsonl" : fmt::format("requests.{}.jsonl", age));
}

}  // namespace

RequestLog::RequestLog(const fs::path& folder, RequestLogLimits limits) : folder_(folder), limits_(limits) {
  std::error_code error;
  fs::create_directories(folder_, error);
  open();
  if (file_ < 0) fail(ErrorCode::failure, "serve: cannot write to {}: {}", file_name(folder_, 0).string(), std::strerror(errno));
}

RequestLog::~RequestLog() {
  if (file_ >= 0) ::close(file_);
}

void RequestLog::open() {
  if (file_ >= 0) ::close(file_);
  file_ = ::open(file_name(folder_, 0).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// Under a lock of the folder, so that of several servers one moves the files and the others go on in the new one.
void RequestLog::rotate() {
  const int lock = ::open((folder_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock >= 0) ::flock(lock, LOCK_EX);
  struct stat own {}, named {};
  const fs::path newest = file_name(folder_, 0);
  if (::fstat(file_, &own) == 0 && ::stat(newest.c_str(), &named) == 0 && own.st_ino == named.st_ino) {
    for (int age = limits_.files - 1; age > 0; --age)
      ::rename(file_name(folder_, age - 1).c_str(), file_name(folder_, age).c_str());
  }
  open();
  if (lock >= 0) ::close(lock);
}

void RequestLog::write(const Json& entry) {
  const std::string line = to_text(entry) + "\n";
  std::lock_guard guard(mutex_);
  struct stat own {}, named {};
  const bool there = file_ >= 0 && ::fstat(file_, &own) == 0 && ::stat(file_name(folder_, 0).c_str(), &named) == 0;
  if (!there || own.st_ino != named.st_ino) open();  // another server has begun a new file, or somebody has removed it
  else if (static_cast<uint64_t>(own.st_size) + line.size() > limits_.file_bytes) rotate();
  if (file_ < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(file_, line.data(), line.size());
}

std::vector<fs::path> RequestLog::files(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (int age = 0; fs::exists(file_name(folder, age), error); ++age) all.push_back(file_name(folder, age));
  std::reverse(all.begin(), all.end());
  return all;
}

}  // namespace mynah::serve
