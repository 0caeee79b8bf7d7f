#include "serve/http.h"

#include <unistd.h>

#include <algorithm>

namespace mynah::serve {
namespace {

bool is_token_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<HeadError> check_request_line(std::string_view line) {
  const size_t first = line.find(' '), second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return HeadError{400, "the request line is not METHOD TARGET HTTP/1.1"};
  const auto method = line.substr(0, first), target = line.substr(first + 1, second - first - 1),
             version = line.substr(second + 1);
  if (!is_token(method) || method.size() > 32) return HeadError{400, "the method is not a token"};
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return version.starts_with("HTTP/") && version.size() == 8
               ? HeadError{505, "the version is not HTTP/1.1 or HTTP/1.0"}
               : HeadError{400, "the request line is not METHOD TARGET HTTP/1.1"};
  if (target.empty() ||
      !(target[0] == '/' || target == "*" || target.starts_with("http://") || target.starts_with("https://")))
    return HeadError{400, "the target is not a path"};
  for (const char c : target)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      return HeadError{400, "the target holds a character that must be escaped"};
  return std::nullopt;
}

}  // namespace

Request::~Request() {
  if (body_file >= 0) ::close(body_file);
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [n, value] : headers)
    if (n == name) return value;
  return {};
}

std::string Request::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (percent_decode(pair.substr(0, equals), true) != std::string(name)) continue;
    return equals == std::string_view::npos ? "" : percent_decode(pair.substr(equals + 1), true).value_or("");
  }
  return {};
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) c = ' ';
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    out += c;
  }
  return out;
}

size_t head_end(std::string_view bytes) {
  const size_t at = bytes.find("\r\n\r\n");
  return at == std::string_view::npos ? at : at + 4;
}

std::optional<HeadError> check_head_so_far(std::string_view bytes, const HeadLimits& limits) {
  const size_t line_end = bytes.find('\n');
  if (std::min(line_end, bytes.size()) > limits.line_bytes) return HeadError{414, "the request line is too long"};
  for (size_t at = line_end; at != std::string_view::npos; at = bytes.find('\n', at + 1))
    if (at == 0 || bytes[at - 1] != '\r') return HeadError{400, "a line does not end in CR LF"};
  if (bytes.size() > limits.head_bytes) return HeadError{431, "the head of the request is too large"};
  return std::nullopt;
}

std::optional<HeadError> check_head(std::string_view head, const HeadLimits& limits) {
  if (auto error = check_head_so_far(head, limits)) return error;
  size_t end = head.find("\r\n");
  if (end == std::string_view::npos) return HeadError{400, "the head of the request is not complete"};
  if (auto error = check_request_line(head.substr(0, end))) return error;
  const bool old = head.substr(0, end).ends_with("HTTP/1.0");
  size_t count = 0;
  int hosts = 0, lengths = 0, codings = 0;
  for (size_t at = end + 2;; at = end + 2) {
    end = head.find("\r\n", at);
    if (end == std::string_view::npos) return HeadError{400, "the head of the request is not complete"};
    if (end == at) break;
    const auto line = head.substr(at, end - at);
    if (++count > limits.headers) return HeadError{431, "there are too many headers"};
    if (line[0] == ' ' || line[0] == '\t') return HeadError{400, "a header is folded over lines"};
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
      return HeadError{400, "a header's name is not a token"};
    for (const char c : line)
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
        return HeadError{400, "a header holds a control character"};
    const std::string name = lower(line.substr(0, colon));
    const auto value = trimmed(line.substr(colon + 1));
    if (name == "host" && ++hosts > 1) return HeadError{400, "there is more than one Host header"};
    if (name == "content-length") {
      if (++lengths > 1) return HeadError{400, "there is more than one Content-Length"};
      if (value.empty() || value.size() > 18 ||
          !std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return HeadError{400, "Content-Length is not a number"};
    }
    if (name == "transfer-encoding" && (++codings > 1 || lower(value) != "chunked"))
      return HeadError{400, "Transfer-Encoding is not chunked"};
  }
  if (lengths > 0 && codings > 0) return HeadError{400, "there are both Content-Length and Transfer-Encoding"};
  if (codings > 0 && old) return HeadError{400, "HTTP/1.0 has no Transfer-Encoding"};
  if (hosts == 0 && !old) return HeadError{400, "the Host header is missing"};
  return std::nullopt;
}

bool parse_head(std::string_view head, Request* request) {
  const size_t line_end = head.find("\r\n");
  const auto line = head.substr(0, line_end);
  const size_t first = line.find(' '), second = line.find(' ', first + 1);
  request->method = line.substr(0, first);
  request->http_1_0 = line.ends_with("HTTP/1.0");
  std::string_view target = line.substr(first + 1, second - first - 1);
  for (size_t at = line_end + 2; at < head.size();) {
    const size_t end = head.find("\r\n", at);
    if (end == at || end == std::string_view::npos) break;
    const auto field = head.substr(at, end - at);
    const size_t colon = field.find(':');
    request->headers.emplace_back(lower(field.substr(0, colon)), trimmed(field.substr(colon + 1)));
    at = end + 2;
  }
  bool same_host = true;
  if (target.starts_with("http://") || target.starts_with("https://")) {
    target.remove_prefix(target.find("//") + 2);
    const size_t slash = std::min(target.find('/'), target.size());
    const auto host = request->header("host");
    same_host = host.empty() || lower(target.substr(0, slash)) == lower(host);
    target.remove_prefix(slash);
  }
  target = target.substr(0, target.find('#'));
  request->path = target.substr(0, target.find('?'));
  if (request->path.empty()) request->path = "/";
  if (const auto mark = target.find('?'); mark != std::string_view::npos) request->query = target.substr(mark + 1);
  return same_host;
}

std::optional<uint64_t> body_length(const Request& request) {
  if (!request.header("transfer-encoding").empty()) return std::nullopt;
  uint64_t length = 0;
  for (const char c : request.header("content-length")) length = length * 10 + static_cast<uint64_t>(c - '0');
  return length;
}

bool keeps_alive(const Request& request) {
  const std::string words = "," + lower(request.header("connection")) + ",";
  std::string tight;
  for (const char c : words)
    if (c != ' ' && c != '\t') tight += c;
  if (tight.find(",close,") != std::string::npos) return false;
  return !request.http_1_0 || tight.find(",keep-alive,") != std::string::npos;
}

bool ChunkDecoder::take(std::string_view in, size_t* used, std::string* out) {
  *used = 0;
  while (*used < in.size() && state_ != State::done) {
    if (state_ == State::data) {
      const auto part = in.substr(*used, static_cast<size_t>(std::min<uint64_t>(left_, in.size() - *used)));
      out->append(part);
      *used += part.size();
      left_ -= part.size();
      if (left_ == 0) state_ = State::data_end;
      continue;
    }
    const char c = in[(*used)++];
    line_ += c;
    if (line_.size() > 4096 || (c == '\n' && (line_.size() < 2 || line_[line_.size() - 2] != '\r'))) return false;
    if (state_ == State::data_end && c != (line_.size() == 1 ? '\r' : '\n')) return false;
    if (c != '\n') continue;
    const std::string line = line_.substr(0, line_.size() - 2);
    line_.clear();
    if (state_ == State::data_end) {
      state_ = State::size;
    } else if (state_ == State::trailer) {
      trailer_bytes_ += line.size();
      if (trailer_bytes_ > 8192) return false;
      if (line.empty())
        state_ = State::done;
      else if (const size_t colon = line.find(':');
               colon == std::string::npos || !is_token(std::string_view(line).substr(0, colon)))
        return false;
    } else {
      const size_t digits = std::min(line.find_first_of("; \t"), line.size());
      if (digits == 0 || digits > 15) return false;
      left_ = 0;
      for (const char d : line.substr(0, digits)) {
        if (hex_value(d) < 0) return false;
        left_ = left_ * 16 + static_cast<uint64_t>(hex_value(d));
      }
      for (const char d : line.substr(digits))
        if (static_cast<unsigned char>(d) < 0x20 && d != '\t') return false;
      state_ = left_ > 0 ? State::data : State::trailer;
    }
  }
  return true;
}

const char* reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Answer";
  }
}

}  // namespace mynah::serve
