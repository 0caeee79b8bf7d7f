// Token files: what texts and rows of training become, 32-bit words in files named by what they are made of. They are written once and
// read piece by piece from then on, so that memory holds only what is being read, and the next run begins at once.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "train/arguments.h"

namespace mynah::train {

class TokenFile {
 public:
  using Numbers = std::array<int64_t, 6>;

  // The file, or nothing where there is none that is whole.
  static std::optional<TokenFile> open(const std::filesystem::path& path);

  int64_t size() const { return size_; }  // in words
  const Numbers& numbers() const { return numbers_; }  // what its writer noted
  // Fills `to` with the words from `begin` on. Throws failure where they cannot be read.
  void read(int64_t begin, std::span<int32_t> to) const;

 private:
  struct Descriptor;
  std::filesystem::path path_;
  std::shared_ptr<const Descriptor> file_;
  int64_t size_ = 0;
  Numbers numbers_{};
};

class TokenFileWriter {
 public:
  // Makes the folder where there is none. Without commit() nothing is left.
  explicit TokenFileWriter(const std::filesystem::path& path);

  void write(std::span<const int32_t> words);
  int64_t size() const { return size_; }  // words so far
  void commit(const TokenFile::Numbers& numbers);

 private:
  void flush();

  AtomicFile file_;
  std::vector<int32_t> waiting_;
  int64_t size_ = 0;
};

// Where a token file lies that contents of `files`, the tokenizer (its files are in `tokenizer`: a folder or a GGUF file; empty where words need
// none) and `how` decide, the rest of what decides the words. Throws failure for what is not a file, not_found for what is not there.
std::filesystem::path token_file_path(const Arguments& arguments, const std::vector<std::filesystem::path>& files, const std::filesystem::path& tokenizer,
                                      const std::string& how);

}  // namespace mynah::train
