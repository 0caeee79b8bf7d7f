// Notes in a text file, one a line, that any editor may change as well.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace mynah::assistant {

class Notes {
 public:
  explicit Notes(std::filesystem::path file) : file_(std::move(file)) {}

  std::vector<std::string> all() const;  // none if there is no file
  // Line ends within a note become blanks. The file is written whole or not at all. Throws failure when it would grow
  // beyond 1 MB.
  void add(const std::string& note);
  // The note that was removed; empty if there was none.
  std::string remove_last();
  size_t remove_all();  // how many there were

 private:
  void write(const std::vector<std::string>& notes) const;
  std::filesystem::path file_;
};

}  // namespace mynah::assistant
