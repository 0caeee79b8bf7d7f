#include "diff.h"

#include <cstdio>

#include "base/require.h"

namespace mynah::app {
namespace {

// "+++ b/src/x.cpp<tab>date" -> "src/x.cpp"
std::string path_of(std::string_view line) {
  line.remove_prefix(4);
  if (const size_t tab = line.find('\t'); tab != std::string_view::npos) line = line.substr(0, tab);
  if (line.size() > 1 && line.front() == '"' && line.back() == '"') line = line.substr(1, line.size() - 2);
  if (line.starts_with("a/") || line.starts_with("b/")) line.remove_prefix(2);
  return std::string(line);
}

}  // namespace

std::vector<DiffHunk> parse_diff(std::string_view text) {
  std::vector<DiffHunk> hunks;
  std::string old_path, path;
  long long old_left = 0, new_left = 0, next = 0;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    if (old_left > 0 || new_left > 0) {
      if (line.starts_with('\\')) continue;  // "\ No newline at end of file"
      const char kind = line.empty() ? ' ' : line[0];
      if (kind != ' ' && kind != '+' && kind != '-')
        fail(ErrorCode::failure, "diff: line {}: got \"{}\", expected a line that starts with a blank, + or -", number,
             line.substr(0, 40));
      hunks.back().lines.push_back({kind, next, std::string(line.empty() ? line : line.substr(1))});
      if (kind != '+') --old_left;
      if (kind != '-') {
        --new_left;
        ++next;
      }
    } else if (line.starts_with("--- ")) {
      old_path = path_of(line);
    } else if (line.starts_with("+++ ")) {
      path = path_of(line);
      if (path == "/dev/null") path = old_path;
    } else if (line.starts_with("@@ ")) {
      const std::string header(line);
      long long first = 0, old_count = 1, new_count = 1;
      char rest = 0;
      int used = 0;
      const bool read =
          std::sscanf(header.c_str(), "@@ -%*d,%lld +%lld,%lld @%c%n", &old_count, &first, &new_count, &rest, &used) ==
              4 ||
          (new_count = 1,
           std::sscanf(header.c_str(), "@@ -%*d,%lld +%lld @%c%n", &old_count, &first, &rest, &used) == 3) ||
          (old_count = 1,
           std::sscanf(header.c_str(), "@@ -%*d +%lld,%lld @%c%n", &first, &new_count, &rest, &used) == 3) ||
          (new_count = 1, std::sscanf(header.c_str(), "@@ -%*d +%lld @%c%n", &first, &rest, &used) == 2);
      if (!read || path.empty() || old_count < 0 || new_count < 0)
        fail(ErrorCode::failure, "diff: line {}: got \"{}\", expected a hunk of a file; give the output of git diff",
             number, line.substr(0, 60));
      const size_t heading = line.find_first_not_of(' ', static_cast<size_t>(used));
      hunks.push_back({path, heading == std::string_view::npos ? "" : std::string(line.substr(heading)), {}});
      old_left = old_count;
      new_left = new_count;
      next = first;
    }
  }
  if (old_left > 0 || new_left > 0)
    fail(ErrorCode::failure, "diff: ends inside a hunk of {}, {} lines are missing; give all of it", path,
         std::max(old_left, new_left));
  return hunks;
}

}  // namespace mynah::app
