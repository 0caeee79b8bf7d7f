// Bodies of multipart/form-data (RFC 7578): forms with files.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::serve {

struct FormPart {
  std::string name, file_name;
  std::string_view content;  // into the body that was parsed
};

// The parts of a body, in order; `type` is its Content-Type. Throws ApiError 400 for what is no such form, and above
// 100 parts.
std::vector<FormPart> parse_form(std::string_view body, std::string_view type);

}  // namespace mynah::serve
