// Lines of a file, plain or compressed by gzip or Zstandard, with memory bounded by the longest line.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace mynah::data {

class LineReader {
 public:
  // Throws not_found or failure.
  explicit LineReader(const std::filesystem::path& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line with its newline (the last one may lack it); false at the end. Throws integrity for a damaged archive,
  // does_not_fit for a line above 64 MB.
  bool next(std::string* line);
  // Of the line that next() gave, counted from 1.
  int64_t number() const { return number_; }
  std::string where() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::filesystem::path path_;
  int64_t number_ = 0;
};

}  // namespace mynah::data
