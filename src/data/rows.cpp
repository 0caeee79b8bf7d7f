#include "data/rows.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/require.h"
#include "base/unicode.h"
#include "data/byte_source.h"
#include "data/line_reader.h"

namespace mynah::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestRow = 64u << 20, kBuffer = 1u << 18;
constexpr std::string_view kMark = "\xEF\xBB\xBF";  // with which some editors begin a file

bool is_json(const std::string& ending) { return ending == ".jsonl" || ending == ".ndjson" || ending == ".json"; }

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
    if (lines.number() == 1 && line.starts_with(kMark)) line.erase(0, kMark.size());
    if (is_blank(line)) continue;
    Json row = parse_json(line, lines.where());
    if (!row.is_object()) fail(ErrorCode::failure, "{}: {}, expected a JSON object in one line", lines.where(), row.type_name());
    if (!take(std::move(row), lines.where())) return;
  }
}

// The elements of a list of objects, one after another, whatever lines they take.
class ListReader {
 public:
  explicit ListReader(const fs::path& path) : path_(path), source_(ByteSource::open(path)), buffer_(kBuffer) {}
  // Whether the file's first character opens a list; it is then passed.
  bool opens() {
    int c = next();
    for (const char mark : kMark)
      if (c == static_cast<unsigned char>(mark)) c = next();
    while (is_space(c)) c = next();
    return c == '[';
  }
  // The next element; false after the last one.
  bool next_row(Json* row, std::string* where) {
    int c = next();
    while (is_space(c) || (c == ',' && rows_ > 0 && !std::exchange(comma_, true))) c = next();
    const std::string place = fmt::format("{}:{} row {}", path_.string(), line_, rows_ + 1);
    if (c == ']') {
      for (c = next(); is_space(c);) c = next();
      if (c >= 0) fail(ErrorCode::integrity, "{}:{}: text after the end of the list", path_.string(), line_);
      return false;
    }
    if (c < 0) fail(ErrorCode::integrity, "{}: the list of rows does not end", place);
    if (c != '{' || (rows_ > 0 && !comma_)) fail(ErrorCode::integrity, "{}: \"{}\", expected a JSON object{}", place, static_cast<char>(c), rows_ > 0 && !comma_ ? " after a comma" : "");
    std::string text;
    int64_t depth = 0;
    for (bool quoted = false, escaped = false;; c = next()) {
      if (c < 0) fail(ErrorCode::integrity, "{}: the row does not end", place);
      if (text.size() >= kLongestRow) fail(ErrorCode::does_not_fit, "{}: a row of more than {} MB", place, kLongestRow >> 20);
      text += static_cast<char>(c);
      if (quoted) {
        quoted = c != '"' || escaped;
        escaped = c == '\\' && !escaped;
      } else {
        quoted = c == '"';
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
      }
      if (depth == 0) break;
    }
    *row = parse_json(text, place);
    *where = place;
    ++rows_;
    comma_ = false;
    return true;
  }

 private:
  static bool is_space(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  // A byte, or -1 at the end.
  int next() {
    if (at_ == end_) {
      std::string trouble;
      end_ = source_->read(buffer_.data(), buffer_.size(), &trouble);
      at_ = 0;
      if (!trouble.empty()) fail(ErrorCode::integrity, "{}:{}: cannot read on: {}", path_.string(), line_, trouble);
      if (end_ == 0) return -1;
    }
    const char c = buffer_[at_++];
    line_ += c == '\n';
    return static_cast<unsigned char>(c);
  }

  fs::path path_;
  std::unique_ptr<ByteSource> source_;
  std::vector<char> buffer_;
  size_t at_ = 0, end_ = 0;
  int64_t line_ = 1, rows_ = 0;
  bool comma_ = false;  // since the last row
};

void read_json(const fs::path& path, const RowTaker& take) {
  ListReader list(path);
  if (!list.opens()) return read_json_lines(path, take);
  Json row;
  std::string where;
  while (list.next_row(&row, &where))
    if (!take(std::move(row), where)) return;
}

// One record of RFC 4180, which may span lines; false at the end.
bool read_record(LineReader& lines, char separator, std::vector<std::string>* fields, std::string* where) {
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
      } else if (c == separator) {
        fields->emplace_back();
      } else if (c != '\n' && c != '\r') {
        field += c;
      }
    }
    if (!quoted) return true;
    if (!lines.next(&line)) fail(ErrorCode::integrity, "{}: a quoted field that does not end", *where);
  }
}

void read_csv(const fs::path& path, char separator, const RowTaker& take) {
  LineReader lines(path);
  std::vector<std::string> names, fields;
  std::string where;
  if (!read_record(lines, separator, &names, &where)) return;
  if (names[0].starts_with(kMark)) names[0].erase(0, kMark.size());
  for (size_t i = 0; i < names.size(); ++i)
    require(std::find(names.begin(), names.begin() + static_cast<long>(i), names[i]) == names.begin() + static_cast<long>(i), "{}: the header names \"{}\" twice", where, names[i]);
  while (read_record(lines, separator, &fields, &where)) {
    if (fields.size() == 1 && is_blank(fields[0])) continue;
    require(fields.size() == names.size(), "{}: {} fields, the header has {}", where, fields.size(), names.size());
    Json row = Json::object();
    for (size_t i = 0; i < names.size(); ++i) row[names[i]] = unicode::to_valid(fields[i]);
    if (!take(std::move(row), where)) return;
  }
}

void check_text(const std::string& line, const std::string& where) {
  require(line.find('\0') == std::string::npos, "{}: a zero byte; this is no text (of UTF-16, iconv -t UTF-8 makes UTF-8)", where);
}

void read_lines(const fs::path& path, const RowTaker& take) {
  LineReader lines(path);
  std::string line;
  while (lines.next(&line)) {
    trim_line_end(&line);
    check_text(line, lines.where());
    if (lines.number() == 1 && line.starts_with(kMark)) line.erase(0, kMark.size());
    if (!is_blank(line) && !take({{"text", unicode::to_valid(line)}}, lines.where())) return;
  }
}

void read_rows(const fs::path& path, const RowTaker& take) {
  int64_t rows = 0;
  const RowTaker counted = [&](Json row, const std::string& where) {
    ++rows;
    return take(std::move(row), where);
  };
  const std::string ending = ending_inside(path);
  if (is_json(ending)) read_json(path, counted);
  else if (ending == ".csv" || ending == ".tsv") read_csv(path, ending == ".csv" ? ',' : '\t', counted);
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

bool holds_fields(const fs::path& path) {
  const std::string ending = ending_inside(path);
  return is_json(ending) || ending == ".csv" || ending == ".tsv";
}

void for_each_line(const fs::path& path, const std::function<void(std::string_view)>& visit) {
  LineReader lines(path);
  std::string line;
  while (lines.next(&line)) {
    check_text(line, lines.where());
    visit(unicode::is_valid(line) ? line : unicode::to_valid(line));
  }
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
