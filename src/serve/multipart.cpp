#include "serve/multipart.h"

#include <algorithm>

#include "serve/dialect.h"
#include "store/names.h"

namespace mynah::serve {
namespace {

// The value of a parameter in a header: name="..." or name=token.
std::string parameter_of(std::string_view header, std::string_view name) {
  for (size_t at = header.find(';'); at != std::string_view::npos;) {
    ++at;
    while (at < header.size() && (header[at] == ' ' || header[at] == '\t')) ++at;
    const size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) return "";
    const std::string key = store::lower(header.substr(at, equals - at));
    std::string value;
    size_t end = equals + 1;
    if (end < header.size() && header[end] == '"') {
      for (++end; end < header.size() && header[end] != '"'; ++end) {
        if (header[end] == '\\' && end + 1 < header.size()) ++end;
        value += header[end];
      }
    } else {
      while (end < header.size() && header[end] != ';') value += header[end++];
      while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.pop_back();
    }
    if (key == name) return value;
    at = header.find(';', end);
  }
  return "";
}

}  // namespace

std::vector<FormPart> parse_form(std::string_view body, std::string_view type) {
  const auto wrong = [](const char* what) {
    return ApiError(400, std::string("the form is not well-formed: ") + what);
  };
  if (!store::lower(type).starts_with("multipart/form-data"))
    throw ApiError(400, "the body is no form: Content-Type multipart/form-data is expected");
  const std::string boundary = parameter_of(type, "boundary");
  if (boundary.empty() || boundary.size() > 70) throw wrong("its boundary is missing");
  const std::string mark = "--" + boundary;
  std::vector<FormPart> parts;
  size_t at = body.find(mark);
  if (at == std::string_view::npos) throw wrong("its boundary does not occur");
  for (;;) {
    at += mark.size();
    if (body.substr(at, 2) == "--") return parts;
    if (body.substr(at, 2) != "\r\n") throw wrong("a boundary does not end its line");
    at += 2;
    const size_t head_end = body.find("\r\n\r\n", at), next = body.find("\r\n" + mark, at);
    if (head_end == std::string_view::npos || next == std::string_view::npos || head_end + 2 > next)
      throw wrong("a part does not end");
    FormPart part;
    for (size_t line = at; line < head_end + 2;) {
      const size_t end = body.find("\r\n", line);
      const std::string_view header = body.substr(line, end - line);
      if (store::lower(header.substr(0, header.find(':'))) == "content-disposition") {
        part.name = parameter_of(header, "name");
        part.file_name = parameter_of(header, "filename");
      }
      line = end + 2;
    }
    if (part.name.empty()) throw wrong("a part has no name");
    const size_t begin = head_end + 4;
    if (begin > next + 2) throw wrong("a part does not end");
    part.content = begin > next ? std::string_view() : body.substr(begin, next - begin);
    parts.push_back(std::move(part));
    if (parts.size() > 100) throw wrong("it has more than 100 parts");
    at = next + 2;
  }
}

}  // namespace mynah::serve
