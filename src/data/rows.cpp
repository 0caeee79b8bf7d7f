#include "data/rows.h"

#include <algorithm>
#include <vector>

#include "base/require.h"
#include "base/unicode.h"
#include "data/byte_source.h"
#include "data/line_reader.h"

namespace mynah::data {
namespace {

namespace fs = std::filesystem;

std::string format_of(const fs::path& path) { return name_inside(path).extension().string(); }

void trim_line_end(std::string* line) {
  while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
}

// Returns false to read no further.
using RowTaker = std::function<bool(Json row, const std::string& where)>;

bool is_blank(const std::string& line) { return line.find_first_not_of(" \t\r\n") == std::string::npos; }

void read_json_lines(const fs::path& path, const RowTaker& take) {
  LineReader lines(path);
  std::string line;
  while (lines.next(&line)) {
    trim_line_end(&line);
    if (lines.number() == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (is_blank(line)) continue;
    Json row = parse_json(line, lines.where());
    if (!row.is_object()) fail(ErrorCode::failure, "{}: {}, expected a JSON object in one line", lines.where(), row.type_name());
    if (!take(std::move(row), lines.where())) return;
  }
}

// One record of RFC 4180, which may span lines; false at the end.
bool read_record(LineReader& lines, std::vector<std::string>* fields, std::string* where) {
  std::string line;
  if (!lines.next(&line)) return false;
  *where = lines.where();
  fields->assign(1, "");
  bool quoted = false;
  for (;;) {
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      std::string& field = fields->back();
      if (quoted) {
        if (c != '"') field += c;
        else if (i + 1 < line.size() && line[i + 1] == '"') field += line[++i];
        else quoted = false;
      } else if (c == '"' && field.empty()) {
        quoted = true;
      } else if (c == ',') {
        fields->emplace_back();
      } else if (c != '\n' && c != '\r') {
        field += c;
      }
    }
    if (!quoted) return true;
    if (!lines.next(&line)) fail(ErrorCode::integrity, "{}: a quoted field that does not end", *where);
  }
}

void read_csv(const fs::path& path, const RowTaker& take) {
  LineReader lines(path);
  std::vector<std::string> names, fields;
  std::string where;
  if (!read_record(lines, &names, &where)) return;
  if (names[0].starts_with("\xEF\xBB\xBF")) names[0].erase(0, 3);
  while (read_record(lines, &fields, &where)) {
    if (fields.size() == 1 && is_blank(fields[0])) continue;
    require(fields.size() == names.size(), "{}: {} fields, the header has {}", where, fields.size(), names.size());
    Json row = Json::object();
    for (size_t i = 0; i < names.size(); ++i) row[names[i]] = unicode::to_valid(fields[i]);
    if (!take(std::move(row), where)) return;
  }
}

void read_lines(const fs::path& path, const RowTaker& take) {
  LineReader lines(path);
  std::string line;
  while (lines.next(&line)) {
    trim_line_end(&line);
    if (!is_blank(line) && !take({{"text", unicode::to_valid(line)}}, lines.where())) return;
  }
}

void read_rows(const fs::path& path, const RowTaker& take) {
  int64_t rows = 0;
  const RowTaker counted = [&](Json row, const std::string& where) {
    ++rows;
    return take(std::move(row), where);
  };
  const std::string format = format_of(path);
  if (format == ".jsonl" || format == ".json") read_json_lines(path, counted);
  else if (format == ".csv") read_csv(path, counted);
  else read_lines(path, counted);
  require(rows > 0, "{}: no rows", path.string());
}

}  // namespace

void for_each_row(const fs::path& path, const RowVisitor& visit) {
  read_rows(path, [&](Json row, const std::string& where) {
    visit(std::move(row), where);
    return true;
  });
}

Json first_row(const fs::path& path) {
  Json first;
  read_rows(path, [&](Json row, const std::string&) {
    first = std::move(row);
    return false;
  });
  return first;
}

void for_each_line(const fs::path& path, const std::function<void(std::string_view)>& visit) {
  LineReader lines(path);
  std::string line;
  while (lines.next(&line)) visit(unicode::is_valid(line) ? line : unicode::to_valid(line));
}

const Json& field(const Json& row, const char* name, const std::string& where) {
  const auto it = row.find(name);
  if (it != row.end() && !it->is_null()) return *it;
  std::string names;
  for (const auto& [key, value] : row.items()) names += (names.empty() ? "" : ", ") + key;
  fail(ErrorCode::failure, "{}: no \"{}\"; the row has {}", where, name, names.empty() ? "nothing" : names);
}

std::string text_field(const Json& row, const char* name, const std::string& where) {
  const Json& value = field(row, name, where);
  require(value.is_string(), "{}: \"{}\" is {}, expected a string", where, name, value.type_name());
  return value.get<std::string>();
}

}  // namespace mynah::data
