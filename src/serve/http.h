// What a request is and how it is answered, for code that knows no sockets.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/keys.h"
#include "serve/notes.h"

namespace mynah::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;
  std::string path;   // as sent, without the query
  std::string query;  // after '?', as sent
  Headers headers;    // names in lower case, in order
  std::string body;
  int body_file = -1;  // bodies that go to a file: its descriptor, read from the start
  std::string peer;    // address of the client
  bool http_1_0 = false;
  std::string id;     // for logs and X-Request-Id
  std::optional<ApiKey> key;  // the API key that it carries; nothing where none is needed
  std::string owner;          // stands for the key; empty without one
  bool left = false;  // the client did not wait for the end; known once it is answered
  std::shared_ptr<RequestNotes> notes = std::make_shared<RequestNotes>();

  ~Request();
  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // The first header of this name (lower case), empty without one.
  std::string_view header(std::string_view name) const;
  // A parameter of the query, decoded; empty without it.
  std::string query_value(std::string_view name) const;
};

struct Answer {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  Headers headers;
};

// One answer under way. Its methods may be called from any thread; none of them blocks. An answer that is dropped
// unfinished becomes an error of the server's.
class Reply {
 public:
  virtual ~Reply() = default;
  // The whole answer at once.
  virtual void send(Answer answer) = 0;
  // An answer whose parts follow: its head goes out at once.
  virtual void begin(int status, std::string type, Headers headers = {}) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  virtual bool begun() const = 0;
  // The client has left, or sends no more.
  virtual bool gone() const = 0;
  // What the client has not taken yet.
  virtual size_t unsent_bytes() const = 0;
  // Called once, on any thread, when the client leaves before the end; at once if it has.
  virtual void on_gone(std::function<void()> action) = 0;
};
using ReplyPtr = std::shared_ptr<Reply>;

// %XX and, in queries, '+'. Nothing for a bad escape or a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

// What is wrong with a request's head: a status to answer with before the connection closes.
struct HeadError {
  int status;
  const char* reason;
};

struct HeadLimits {
  size_t line_bytes = 8 << 10, head_bytes = 32 << 10, headers = 100;
};

// Checks the bytes of a request's head, up to and with its empty line, strictly: what two servers could read
// differently is refused (RFC 9112: bare LF, folded lines, both lengths, lengths that are not plain digits, unknown
// transfer codings).
std::optional<HeadError> check_head(std::string_view head, const HeadLimits& limits);
// The same for a beginning that has no empty line yet: what is wrong for sure.
std::optional<HeadError> check_head_so_far(std::string_view bytes, const HeadLimits& limits);
// Where the body begins, npos while the empty line has not come.
size_t head_end(std::string_view bytes);

// Takes a head apart that check_head() has accepted: method, path, query, version and headers. False when the target
// names another host than the Host header.
bool parse_head(std::string_view head, Request* request);
// How long the body is: nothing for chunks.
std::optional<uint64_t> body_length(const Request& request);
// Whether the client wants to send another request on the connection.
bool keeps_alive(const Request& request);

// Takes the chunked transfer coding apart, strictly: lines end in CR LF, sizes are plain hexadecimal digits.
class ChunkDecoder {
 public:
  // Takes what it can from `in` and appends the data in it to `out`; `used` is how much it took. False for what is not
  // well-formed.
  bool take(std::string_view in, size_t* used, std::string* out);
  bool done() const { return state_ == State::done; }

 private:
  enum class State { size, data, data_end, trailer, done } state_ = State::size;
  std::string line_;
  uint64_t left_ = 0;
  size_t trailer_bytes_ = 0;
};

const char* reason_phrase(int status);

}  // namespace mynah::serve
