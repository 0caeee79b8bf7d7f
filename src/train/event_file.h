// TensorBoard event files: records of a length, a checksum and a small protocol buffer (tensorflow/core/util/event.proto).
#pragma once
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

namespace mynah::train {

class EventFile {
 public:
  // Creates events.out.tfevents.<time>.<host>.<pid> in the folder. Throws failure.
  explicit EventFile(const std::filesystem::path& folder);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void scalars(int64_t step, const std::map<std::string, double>& values);

 private:
  void record(const std::string& event);
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

}  // namespace mynah::train
