// Python's str on UTF-8 text: positions are code points, blanks and cases are Unicode's. Invalid bytes count as one
// code point each, so that no input can lead out of a string.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::jinja {

// The code point at `position`, which moves behind it. Invalid bytes give themselves + 0xDC00 (as surrogateescape
// does).
uint32_t next_code_point(std::string_view text, size_t& position);
void append_code_point(std::string& out, uint32_t code_point);
size_t count_code_points(std::string_view text);
// Byte offset of code point `index` (at most the end).
size_t byte_offset(std::string_view text, size_t index);
bool is_valid_utf8(std::string_view text);

bool is_space(uint32_t c);
bool is_alpha(uint32_t c);
bool is_decimal(uint32_t c);
bool is_upper(uint32_t c);
bool is_lower(uint32_t c);
bool is_printable(uint32_t c);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);
std::string swapcase(std::string_view text);

// Without `chars` blanks are stripped.
std::string_view strip(std::string_view text, const std::optional<std::string>& chars, bool left, bool right);
// Without `separator` at runs of blanks. `limit` < 0 is none.
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit);
std::vector<std::string> rsplit(std::string_view text, const std::optional<std::string>& separator, int64_t limit);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);
// Byte position of the first or last occurrence, npos for none; linear time.
size_t find(std::string_view text, std::string_view needle, size_t from = 0);
size_t rfind(std::string_view text, std::string_view needle);
std::string repeat(std::string_view text, int64_t times);
enum class Align { left, right, center };
std::string pad(std::string_view text, int64_t width, std::string_view fill, Align align);

std::string repr_text(std::string_view text);
std::string repr_real(double value);
// int(text, base) and float(text); nothing when the text is no number. Throws when the number needs more than 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int base);
std::optional<double> parse_real(std::string_view text);

}  // namespace mynah::jinja
