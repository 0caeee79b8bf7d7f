// The record of what was done to the models over the server: one JSON object a line, only ever added to. Each line holds the digest of
// the one before it, so that a line which is changed or taken out later shows.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/json.h"

namespace mynah::serve {

class AuditLog {
 public:
  // Makes the folder and the file. Throws failure when it cannot be written to.
  explicit AuditLog(const std::filesystem::path& folder);

  // Several servers may write to one file. A full disk costs the line, never the answer, and is said in the log.
  void write(Json entry);

  static std::filesystem::path file(const std::filesystem::path& folder) { return folder / "audit.jsonl"; }
  // Goes through the lines; the first number (from 1) of a line that does not follow from the one before it, if there is one.
  static std::optional<int64_t> read(const std::filesystem::path& folder, const std::function<void(const std::string& line)>& take);

 private:
  std::filesystem::path path_;
};

}  // namespace mynah::serve
