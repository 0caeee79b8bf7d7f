// The log of answered requests: one JSON object a line, in a folder whose size is bounded. It holds no prompt, no answer and no key.
#pragma once
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::serve {

struct RequestLogLimits {
  uint64_t file_bytes = 4 << 20;  // then a new file is begun
  int files = 4;                  // older ones go
};

class RequestLog {
 public:
  // Makes the folder. Throws failure when it cannot be written to.
  explicit RequestLog(const std::filesystem::path& folder, RequestLogLimits limits = {});
  ~RequestLog();
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  // Several servers may write to one folder. A full disk costs the line, never the answer.
  void write(const Json& entry);

  static std::filesystem::path folder(const std::filesystem::path& home) { return home / "logs"; }
  // The files of a folder, the oldest lines first; empty without any.
  static std::vector<std::filesystem::path> files(const std::filesystem::path& folder);

 private:
  void open();
  void rotate();

  const std::filesystem::path folder_;
  const RequestLogLimits limits_;
  std::mutex mutex_;
  int file_ = -1;
};

}  // namespace mynah::serve
