// A unified diff, as git prints it, taken apart.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::app {

struct DiffLine {
  char kind;         // ' ', '+' or '-'
  int64_t new_line;  // its number in the new file; of a removed line, that of the line that follows it there
  std::string text;
};

struct DiffHunk {
  std::string path;  // of the new file, or of the old one if it was deleted
  std::string heading;
  std::vector<DiffLine> lines;
};

// The hunks of a diff in its order. Binary files have none. Throws failure naming the line where it is no diff.
std::vector<DiffHunk> parse_diff(std::string_view text);

}  // namespace mynah::app
