// Rows of training and evaluation files, streamed: JSONL, a JSON list, CSV with a header, or plain text. Compressed
// files (.gz, .zst) are decompressed on the way. Every row knows where it stands, so that a complaint can name file and line.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace mynah::data {

// A row and its place, "prefs.jsonl:12".
using RowVisitor = std::function<void(Json row, const std::string& where)>;

// Calls `visit` for each row, in order. By the name's ending: .jsonl, .ndjson and .json hold one object a line, or one list of objects;
// .csv has a header line and gives objects of strings, .tsv the same with tabs; anything else is text, a line each, {"text": line}. Empty
// lines are skipped. Throws not_found, integrity (damaged line or archive, naming file and line) or failure (no rows, no text).
void for_each_row(const std::filesystem::path& path, const RowVisitor& visit);
// The first of them, without what follows. Throws the same.
Json first_row(const std::filesystem::path& path);

// Whether a file of this name holds rows with fields, not plain text.
bool holds_fields(const std::filesystem::path& path);

// Calls `visit` for each line with its newline, as it stands in the file (an invalid UTF-8 sequence becomes U+FFFD). Throws failure
// for a line with a zero byte, which text does not have.
void for_each_line(const std::filesystem::path& path, const std::function<void(std::string_view line)>& visit);

// Fields of a row; a complaint names `where`, the field and what was expected.
const Json& field(const Json& row, const char* name, const std::string& where);
std::string text_field(const Json& row, const char* name, const std::string& where);

}  // namespace mynah::data
