// The only file that includes Boost: its headers take long to compile.
#include "serve/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <cstring>
#include <ctime>
#include <list>
#include <map>
#include <mutex>

#include "base/log.h"
#include "base/require.h"
#include "serve/stream.h"
#include "serve/workers.h"

namespace mynah::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kHandlerThreads = 512;
constexpr size_t kWritePiece = 64 << 10;
constexpr size_t kAheadBytes = 64 << 10;  // of what a client sends before its answer has ended

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

// The client's own id where it is a plain word, so that it may stand in logs; else a number.
std::string id_of(std::string_view given, int64_t number) {
  const bool plain = !given.empty() && given.size() <= 64 && std::all_of(given.begin(), given.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  });
  return plain ? std::string(given) : fmt::format("req-{}", number);
}

// A file without a name; some file systems make none, there it loses its name at once.
int unnamed_file(const std::string& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
  std::string name = folder + "/upload-XXXXXX";
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// The part of an answer that handlers and the connection share.
struct Exchange : std::enable_shared_from_this<Exchange> {
  Exchange(asio::io_context& io, const Request& request, bool keep, Headers common_headers)
      : wake(std::in_place, io),
        context(io),
        common(std::move(common_headers)),
        keep_alive(keep),
        head_only(request.method == "HEAD"),
        chunked(!request.http_1_0) {}

  std::optional<asio::steady_timer> wake;  // the connection's own thread waits on it; none when the connection has let go
  asio::io_context& context;
  const Headers common;
  mutable std::mutex mutex;
  std::string pending;
  size_t in_flight = 0;
  int direct = -1;  // the socket, where whoever writes may also send; else only the connection's own thread does
  std::function<void()> on_gone;
  int status = 0;
  bool keep_alive, head_only, chunked;
  bool begun = false, ended = false, broken = false, notified = false;
  bool left = false;  // the client sends no more: nobody may be waiting
  bool gone = false;  // nothing can be written any more

  void notify() {  // under the mutex
    if (!wake || std::exchange(notified, true)) return;
    asio::post(context, [self = shared_from_this()] {
      if (self->wake) self->wake->cancel();
    });
  }
  // The connection looks at it no more. Handlers may hold it for longer than there is a server.
  void detach() {
    std::lock_guard lock(mutex);
    wake.reset();
    direct = -1;
    pending.clear();
    gone = true;
  }

  void put_head(int code, const std::string& type, const Headers& headers, std::optional<size_t> length) {
    begun = true;
    status = code;
    pending += fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", code, reason_phrase(code), http_date());
    if (!type.empty()) pending += "Content-Type: " + type + "\r\n";
    if (code == 204) {  // has no body by itself
    } else if (length)
      pending += fmt::format("Content-Length: {}\r\n", *length);
    else if (chunked)
      pending += "Transfer-Encoding: chunked\r\n";
    else
      keep_alive = false;
    for (const Headers* list : {&headers, &common})
      for (const auto& [name, value] : *list) pending += name + ": " + value + "\r\n";
    pending += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  }

  void send(const Answer& answer) {
    std::lock_guard lock(mutex);
    if (begun) return;
    const bool empty = answer.status == 204;
    put_head(answer.status, answer.type, answer.headers,
             empty ? std::optional<size_t>(0) : std::optional<size_t>(answer.body.size()));
    if (!head_only && !empty) pending += answer.body;
    ended = true;
    notify();
  }
  void begin(int code, const std::string& type, const Headers& headers) {
    std::lock_guard lock(mutex);
    if (begun) return;
    put_head(code, type, headers, std::nullopt);
    notify();
  }
  void write(std::string_view bytes) {
    if (bytes.empty()) return;
    std::lock_guard lock(mutex);
    if (!begun || ended || gone || head_only) return;
    const bool first = pending.empty() && in_flight == 0;
    if (chunked) pending += fmt::format("{:x}\r\n", bytes.size());
    pending += bytes;
    if (chunked) pending += "\r\n";
    if (first) send_at_once();
    if (!pending.empty()) notify();
  }
  // Under the mutex, when nothing else is on its way: what the socket takes goes out without waking the connection's thread, which would
  // want the processor of those that compute. The rest, and what is wrong with the socket, is that thread's.
  void send_at_once() {
    if (direct < 0) return;
    const ssize_t sent = ::send(direct, pending.data(), pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) pending.erase(0, static_cast<size_t>(sent));
  }
  void end(bool whole) {
    std::lock_guard lock(mutex);
    if (ended) return;
    if (whole && chunked && !head_only) pending += "0\r\n\r\n";
    broken = !whole;
    ended = true;
    notify();
  }
  // `broken_off`: a write failed or the connection was reset. A client that only closed its side is still sent what is
  // made.
  void client_left(bool broken_off) {
    std::function<void()> action;
    {
      std::lock_guard lock(mutex);
      left = true;
      if (broken_off) {
        gone = true;
        pending.clear();
      }
      action = std::exchange(on_gone, nullptr);
      if (ended) action = nullptr;
      notify();
    }
    if (action) action();
  }
};

// What handlers hold; the last one to let go ends the answer.
class HeldReply : public Reply {
 public:
  // `unanswered`: what is sent if there is nothing else.
  HeldReply(std::shared_ptr<Exchange> exchange, Answer unanswered)
      : exchange_(std::move(exchange)), unanswered_(std::move(unanswered)) {}
  ~HeldReply() override {
    if (begun())
      exchange_->end(false);
    else
      exchange_->send(unanswered_);
  }
  void send(Answer answer) override { exchange_->send(answer); }
  void begin(int status, std::string type, Headers headers) override { exchange_->begin(status, type, headers); }
  void write(std::string_view bytes) override { exchange_->write(bytes); }
  void end() override { exchange_->end(true); }
  bool begun() const override {
    std::lock_guard lock(exchange_->mutex);
    return exchange_->begun;
  }
  bool gone() const override {
    std::lock_guard lock(exchange_->mutex);
    return exchange_->left;
  }
  size_t unsent_bytes() const override {
    std::lock_guard lock(exchange_->mutex);
    return exchange_->pending.size() + exchange_->in_flight;
  }
  void on_gone(std::function<void()> action) override {
    {
      std::lock_guard lock(exchange_->mutex);
      if (exchange_->ended) return;
      if (!exchange_->left) {
        exchange_->on_gone = std::move(action);
        return;
      }
    }
    action();
  }

 private:
  std::shared_ptr<Exchange> exchange_;
  const Answer unanswered_;
};

std::optional<uint16_t> port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return std::nullopt;
}

// Nothing for a Unix socket.
std::optional<asio::ip::address> address_of(const Protocol::endpoint& endpoint) {
  sockaddr_storage address{};
  std::memcpy(&address, endpoint.data(), std::min(endpoint.size(), sizeof address));
  if (address.ss_family == AF_INET)
    return asio::ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  if (address.ss_family != AF_INET6) return std::nullopt;
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, bytes.size());
  const asio::ip::address_v6 v6(bytes);
  return v6.is_v4_mapped() ? asio::ip::address(asio::ip::make_address_v4(asio::ip::v4_mapped, v6))
                           : asio::ip::address(v6);
}

}  // namespace

struct Server::State {
  struct Connection;

  State(const ServerOptions& o, Application& a) : options(o), application(a), signals(io), workers(kHandlerThreads) {}

  ServerOptions options;
  Application& application;
  asio::io_context io{1};
  asio::signal_set signals;
  std::vector<Acceptor> acceptors;
  std::optional<asio::ssl::context> tls;
  std::string unix_socket;  // to be removed at the end
  std::list<std::weak_ptr<Connection>> connections;
  std::map<std::string, int64_t> by_address;
  std::atomic<int64_t> open{0}, request_number{0};
  bool draining = false;
  Workers workers;  // last: its threads end before the rest goes

  void listen();
  void listen_on_names();
  void listen_on_unix();
  void take_over(int first, int count);
  void open_tls();
  bool bind(const tcp::endpoint& endpoint, bool optional);
  asio::awaitable<void> accept(Acceptor& acceptor);
  asio::awaitable<void> watch_signals();
  void drain();
  asio::awaitable<void> serve(std::shared_ptr<Connection> c);
};

// One client.
struct Server::State::Connection : std::enable_shared_from_this<Connection> {
  Connection(State& s, Stream::Socket accepted, std::string from)
      : state(s),
        stream(std::move(accepted), s.tls ? &*s.tls : nullptr),
        socket(stream.socket()),
        timer(s.io),
        watched(s.io),
        peer(std::move(from)) {}

  State& state;
  Stream stream;
  Stream::Socket& socket;  // the stream's own
  asio::steady_timer timer;
  asio::steady_timer watched;  // ends when nobody watches
  bool watching = false;
  std::string peer;
  boost::beast::flat_buffer buffer{128 << 10};
  bool idle = true, timed_out = false;
  uint64_t alarm = 0;
  std::list<std::weak_ptr<Connection>>::iterator place;

  // Reading or writing is given up when this much time has passed; calm() takes it back.
  void arm(Clock::duration time) {
    timed_out = false;
    timer.expires_after(time);
    timer.async_wait([self = shared_from_this(), mine = ++alarm](error_code ec) {
      if (ec || mine != self->alarm) return;
      self->timed_out = true;
      error_code ignored;
      self->socket.cancel(ignored);
    });
  }
  void calm() {
    ++alarm;
    timer.cancel();
  }
  std::string_view bytes() const { return {static_cast<const char*>(buffer.data().data()), buffer.size()}; }

  asio::awaitable<void> run();
  asio::awaitable<bool> one_request(int64_t number);
  asio::awaitable<std::optional<HeadError>> read_head(int64_t number, size_t* end, bool* closed);
  asio::awaitable<std::optional<HeadError>> read_body(Request& request, const BodyRule& rule, bool* closed);
  asio::awaitable<bool> write_answer(std::shared_ptr<Exchange> exchange);
  asio::awaitable<bool> write_bytes(std::string_view out);
  asio::awaitable<void> refuse(const std::string& path, HeadError error);
  asio::awaitable<void> watch(std::shared_ptr<Exchange> exchange);
  asio::awaitable<void> linger();
};

asio::awaitable<void> Server::State::Connection::run() {
  if (stream.encrypted()) {
    arm(seconds(state.options.header_seconds));
    const auto [ec] = co_await stream.async_handshake(kAwait);
    calm();
    if (ec) co_return socket.close();
  }
  for (int64_t number = 1; co_await one_request(number); ++number) {
  }
  if (stream.encrypted()) {
    arm(seconds(1));
    co_await stream.async_shutdown(kAwait);
    calm();
  }
  error_code ignored;
  socket.shutdown(asio::socket_base::shutdown_both, ignored);
  socket.close(ignored);
}

// Waits for a request and reads its head into the buffer.
asio::awaitable<std::optional<HeadError>> Server::State::Connection::read_head(int64_t number, size_t* end,
                                                                               bool* closed) {
  const ServerOptions& o = state.options;
  if (buffer.size() == 0) {
    buffer.shrink_to_fit();  // an idle connection holds no buffer
    idle = true;
    arm(seconds(number == 1 ? o.header_seconds : o.idle_seconds));
    error_code ec;
    if (stream.encrypted()) {  // what has come may wait in the TLS layer, where the socket does not show it
      size_t n = 0;
      std::tie(ec, n) = co_await stream.async_read_some(buffer.prepare(4096), kAwait);
      buffer.commit(n);
    } else {
      std::tie(ec) = co_await socket.async_wait(asio::socket_base::wait_read, kAwait);
    }
    calm();
    idle = false;
    if (ec || state.draining) {
      *closed = true;
      co_return std::nullopt;
    }
  }
  idle = false;
  arm(seconds(o.header_seconds));
  for (;;) {
    while (number > 1 && bytes().starts_with("\r\n")) buffer.consume(2);  // some clients end a body with an empty line
    *end = head_end(bytes());
    if (*end != std::string_view::npos && *end <= o.head.head_bytes + 4) break;
    if (auto error = check_head_so_far(bytes(), o.head)) {
      calm();
      co_return error;
    }
    const auto [ec, n] = co_await stream.async_read_some(buffer.prepare(4096), kAwait);
    if (ec) {
      calm();
      if (timed_out && buffer.size() > 0) co_return HeadError{408, "the head of the request did not come in time"};
      *closed = true;
      co_return std::nullopt;
    }
    buffer.commit(n);
  }
  calm();
  co_return check_head(bytes().substr(0, *end), o.head);
}

asio::awaitable<std::optional<HeadError>> Server::State::Connection::read_body(Request& request, const BodyRule& rule,
                                                                               bool* closed) {
  const ServerOptions& o = state.options;
  const auto length = body_length(request);
  if (length && *length > rule.limit_bytes) co_return HeadError{413, "the body is too large"};
  if (const auto expect = request.header("expect"); !expect.empty() && !request.http_1_0) {
    if (expect != "100-continue") co_return HeadError{417, "the only expectation that is met is 100-continue"};
    if (!co_await write_bytes("HTTP/1.1 100 Continue\r\n\r\n")) {
      *closed = true;
      co_return std::nullopt;
    }
  }
  if (rule.to_file) {
    request.body_file = unnamed_file(o.upload_folder);
    if (request.body_file < 0) co_return HeadError{507, "there is no place for the upload"};
  }
  const auto start = Clock::now();
  uint64_t received = 0, raw = 0;
  ChunkDecoder chunks;
  std::string piece;
  while (length ? received < *length : !chunks.done()) {
    if (buffer.size() == 0) {
      const auto allowed =
          seconds(o.body_seconds + static_cast<double>(received) / static_cast<double>(o.body_bytes_per_second));
      arm(std::max<Clock::duration>(start + allowed - Clock::now(), Clock::duration(1)));
      const auto [ec, n] = co_await stream.async_read_some(buffer.prepare(64 << 10), kAwait);
      calm();
      buffer.commit(n);
      if (ec) {
        if (timed_out) co_return HeadError{408, "the body did not come in time"};
        *closed = true;
        co_return std::nullopt;
      }
    }
    piece.clear();
    size_t used = 0;
    if (length) {
      used = static_cast<size_t>(std::min<uint64_t>(*length - received, buffer.size()));
      piece.assign(bytes().substr(0, used));
    } else if (!chunks.take(bytes(), &used, &piece)) {
      co_return HeadError{400, "the body is not well-formed"};
    }
    buffer.consume(used);
    raw += used;
    received += piece.size();
    if (received > rule.limit_bytes) co_return HeadError{413, "the body is too large"};
    if (!rule.to_file) {
      request.body += piece;
    } else if (!write_all(request.body_file, piece)) {
      co_return HeadError{507, "the disk is full"};
    }
    if (raw > (100 << 10) && received < raw / 5) co_return HeadError{400, "the chunks of the body are too small"};
  }
  if (rule.to_file) ::lseek(request.body_file, 0, SEEK_SET);
  co_return std::nullopt;
}

// True if another request may follow.
asio::awaitable<bool> Server::State::Connection::one_request(int64_t number) {
  size_t end = 0;
  bool closed = false;
  if (const auto error = co_await read_head(number, &end, &closed)) {
    co_await refuse("", *error);
    co_return false;
  }
  if (closed) co_return false;
  auto request = std::make_shared<Request>();
  const bool same_host = parse_head(bytes().substr(0, end), request.get());
  buffer.consume(end);
  if (!same_host) {
    co_await refuse(request->path, {400, "the target names another host than the Host header"});
    co_return false;
  }
  request->peer = peer;
  request->id = id_of(request->header("x-request-id"), ++state.request_number);
  const auto start = Clock::now();
  bool keep = keeps_alive(*request) && number < state.options.requests_per_connection && !state.draining;
  auto refusal = state.application.check(*request);
  const bool has_body = body_length(*request) != 0;
  if (!refusal && has_body)
    if (const auto error = co_await read_body(*request, state.application.body_rule(*request), &closed)) {
      co_await refuse(request->path, *error);
      state.application.finished(*request, error->status, std::chrono::duration<double>(Clock::now() - start).count());
      co_return false;
    }
  if (closed) co_return false;
  if (refusal && has_body) keep = false;  // its body is not read
  auto exchange = std::make_shared<Exchange>(state.io, *request, keep, state.application.common_headers(*request));
  if (!stream.encrypted()) exchange->direct = socket.native_handle();
  const std::unique_ptr<Exchange, void (*)(Exchange*)> attached(exchange.get(), [](Exchange* e) { e->detach(); });
  if (refusal) {
    exchange->send(*refusal);
  } else {
    auto reply = std::make_shared<HeldReply>(
        exchange, state.application.refuse(request->path, 500, "the request ended without an answer"));
    state.workers.run([&application = state.application, request, reply = std::move(reply)]() mutable {
      application.handle(request, std::move(reply));
    });
    watching = true;
    asio::co_spawn(state.io, watch(exchange), asio::detached);
  }
  const bool written = co_await write_answer(exchange);
  error_code ignored;
  socket.cancel(ignored);  // ends the watch
  while (watching) {
    watched.expires_at(asio::steady_timer::time_point::max());
    co_await watched.async_wait(kAwait);
  }
  {
    std::lock_guard lock(exchange->mutex);
    request->left = exchange->left;
  }
  state.application.finished(*request, exchange->status, std::chrono::duration<double>(Clock::now() - start).count());
  if (!written) co_return false;
  if (refusal && has_body) co_await linger();
  co_return exchange->keep_alive && !state.draining;
}

// Waits for the client to leave while its answer is made. What it sends meanwhile is its next request, or the line end that some
// clients put behind a body: it is kept, and the end may come behind it.
asio::awaitable<void> Server::State::Connection::watch(std::shared_ptr<Exchange> exchange) {
  const auto self = shared_from_this();
  for (bool there = true; there && buffer.size() < kAheadBytes;) {
    error_code ec;
    size_t n = 0;
    if (stream.encrypted()) {
      std::tie(ec, n) = co_await stream.async_read_some(buffer.prepare(4096), kAwait);
    } else {
      std::tie(ec) = co_await socket.async_wait(asio::socket_base::wait_read, kAwait);
      char byte;
      const ssize_t first = ec ? 0 : ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (!ec && first == 0) ec = asio::error::eof;
      if (!ec && first < 0 && errno != EAGAIN && errno != EINTR) ec = asio::error::connection_reset;
      if (!ec && first > 0) {
        const auto space = buffer.prepare(4096);  // a connection that only waits holds no buffer
        n = static_cast<size_t>(std::max<ssize_t>(0, ::recv(socket.native_handle(), space.data(), space.size(), MSG_DONTWAIT)));
      }
    }
    buffer.commit(n);
    there = !ec;
    if (ec && ec != asio::error::operation_aborted) exchange->client_left(ec == asio::error::connection_reset);
  }
  watching = false;
  watched.cancel();
}

asio::awaitable<bool> Server::State::Connection::write_bytes(std::string_view out) {
  for (size_t at = 0; at < out.size();) {
    arm(seconds(state.options.write_seconds));
    const auto piece = out.substr(at, kWritePiece);
    const auto [ec, n] = co_await asio::async_write(stream, asio::buffer(piece.data(), piece.size()), kAwait);
    calm();
    if (ec) co_return false;
    at += n;
  }
  co_return true;
}

// Sends what the handlers give until the end; false when the connection is of no more use.
asio::awaitable<bool> Server::State::Connection::write_answer(std::shared_ptr<Exchange> exchange) {
  std::string out;
  for (;;) {
    bool ended = false;
    out.clear();
    {
      std::lock_guard lock(exchange->mutex);
      exchange->notified = false;
      if (exchange->gone) co_return false;
      out.swap(exchange->pending);
      exchange->in_flight = out.size();
      ended = exchange->ended;
    }
    if (out.empty()) {
      if (ended) co_return !exchange->broken;
      exchange->wake->expires_at(asio::steady_timer::time_point::max());
      co_await exchange->wake->async_wait(kAwait);
      continue;
    }
    if (!co_await write_bytes(out)) {
      exchange->client_left(true);
      co_return false;
    }
    std::lock_guard lock(exchange->mutex);
    exchange->in_flight = 0;
  }
}

// Answers what cannot be read further and lets the client see it.
asio::awaitable<void> Server::State::Connection::refuse(const std::string& path, HeadError error) {
  Request none;
  Exchange exchange(state.io, none, false, {});
  const Answer answer = state.application.refuse(path, error.status, error.reason);
  exchange.notified = true;  // nobody waits
  exchange.send(answer);
  if (co_await write_bytes(exchange.pending)) co_await linger();
}

// Reads on for a moment: closing with unread bytes would take our answer back.
asio::awaitable<void> Server::State::Connection::linger() {
  error_code ignored;
  if (!stream.encrypted()) socket.shutdown(asio::socket_base::shutdown_send, ignored);
  arm(seconds(2));
  char drop[4096];
  for (size_t total = 0; total < (64 << 20);) {
    const auto [ec, n] = co_await stream.async_read_some(asio::buffer(drop), kAwait);
    if (ec) break;
    total += n;
  }
  calm();
}

asio::awaitable<void> Server::State::serve(std::shared_ptr<Connection> c) {
  c->place = connections.insert(connections.end(), c);
  try {
    co_await c->run();
  } catch (const std::exception& error) {
    warn("serve: a connection ended with an error: {}", error.what());
  }
  c->calm();
  connections.erase(c->place);
  --open;
  if (const auto it = by_address.find(c->peer); it != by_address.end() && --it->second <= 0) by_address.erase(it);
  if (draining && open == 0) {
    error_code ignored;
    signals.cancel(ignored);
  }
}

asio::awaitable<void> Server::State::accept(Acceptor& acceptor) {
  for (;;) {
    auto [ec, socket] = co_await acceptor.async_accept(kAwait);
    if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    if (ec) {  // too many open files: wait for some to close
      asio::steady_timer pause(io, std::chrono::milliseconds(50));
      co_await pause.async_wait(kAwait);
      continue;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const auto from = address_of(socket.remote_endpoint(ignored));
    const std::string peer = from ? from->to_string() : "unix";
    const bool full = open >= options.connections ||
                      (from && !from->is_loopback() && by_address[peer] >= options.connections_per_address);
    ++open;
    ++by_address[peer];
    auto connection = std::make_shared<Connection>(*this, std::move(socket), peer);
    if (full) connection->buffer.max_size(0);
    asio::co_spawn(io, full ? [](State& s, std::shared_ptr<Connection> c) -> asio::awaitable<void> {
      co_await c->refuse("", {503, "there are too many connections"});
      error_code done;
      c->socket.close(done);
      --s.open;
      if (const auto it = s.by_address.find(c->peer); it != s.by_address.end() && --it->second <= 0) s.by_address.erase(it);
    }(*this, connection) : serve(connection), asio::detached);
  }
}

asio::awaitable<void> Server::State::watch_signals() {
  if (draining) co_return;  // stopped before it ran
  const auto [ec, number] = co_await signals.async_wait(kAwait);
  if (ec) co_return;
  drain();
  if (open == 0) co_return;
  info("serve: waiting for {} connections; a second signal ends at once", open.load());
  const auto [again, second] = co_await signals.async_wait(kAwait);
  if (!again) ::_exit(128 + second);
}

void Server::State::drain() {
  if (draining) return;
  draining = true;
  error_code ignored;
  for (auto& acceptor : acceptors) acceptor.close(ignored);
  for (const auto& weak : connections)
    if (const auto c = weak.lock(); c && c->idle) c->socket.cancel(ignored);
  if (open == 0) signals.cancel(ignored);
}

bool Server::State::bind(const tcp::endpoint& endpoint, bool optional) {
  error_code ec;
  Acceptor acceptor(io);
  acceptor.open(Protocol(endpoint.protocol()), ec);
  if (!ec) acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec && endpoint.address().is_v6())
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), ec);
  if (!ec) acceptor.bind(Protocol::endpoint(endpoint), ec);
  if (!ec) acceptor.listen(4096, ec);
  if (!ec) {
    acceptors.push_back(std::move(acceptor));
    return true;
  }
  if (optional) return false;
  const std::string where = fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
  if (ec == asio::error::address_in_use)
    fail(ErrorCode::busy, "serve: {} is taken by another program; give --port or stop it", where);
  fail(ErrorCode::failure, "serve: cannot listen on {}: {}", where, ec.message());
}

// Sockets that systemd has opened, numbered from `first`.
void Server::State::take_over(int first, int count) {
  for (int fd = first; fd < first + count; ++fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      fail(ErrorCode::failure, "serve: the inherited descriptor {} is no socket", fd);
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    Acceptor acceptor(io);
    acceptor.assign(Protocol(address.ss_family, address.ss_family == AF_UNIX ? 0 : IPPROTO_TCP), fd);
    acceptors.push_back(std::move(acceptor));
    if (const auto port = port_of(address)) options.port = *port;
  }
}

void Server::State::open_tls() {
  if (options.tls_certificate.empty()) return;
  try {
    tls.emplace(asio::ssl::context::tls_server);
    ::SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
    tls->use_certificate_chain_file(options.tls_certificate);
    tls->use_private_key_file(options.tls_key.empty() ? options.tls_certificate : options.tls_key,
                              asio::ssl::context::pem);
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::usage, "serve: the certificate {} and its key cannot be used: {}", options.tls_certificate,
         error.code().message());
  }
}

void Server::State::listen_on_unix() {
  const std::string& path = options.unix_socket;
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path)
    fail(ErrorCode::usage, "serve: the path {} is too long for a socket, at most {} bytes", path,
         sizeof address.sun_path - 1);
  // A socket that nobody listens on is left over from a server that was killed.
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) fail(ErrorCode::usage, "serve: {} exists and is no socket", path);
    asio::local::stream_protocol::socket probe(io);
    error_code ec;
    probe.connect(asio::local::stream_protocol::endpoint(path), ec);
    if (!ec) fail(ErrorCode::busy, "serve: {} is taken by another program", path);
    ::unlink(path.c_str());
  }
  error_code ec;
  Acceptor acceptor(io);
  acceptor.open(Protocol(asio::local::stream_protocol()), ec);
  const mode_t before = ::umask(0177);  // for this user alone
  if (!ec) acceptor.bind(Protocol::endpoint(asio::local::stream_protocol::endpoint(path)), ec);
  ::umask(before);
  if (!ec) acceptor.listen(4096, ec);
  if (ec) fail(ErrorCode::failure, "serve: cannot listen on {}: {}", path, ec.message());
  unix_socket = path;
  acceptors.push_back(std::move(acceptor));
}

void Server::State::listen() {
  open_tls();
  if (options.inherited_sockets > 0) return take_over(3, options.inherited_sockets);
  if (!options.unix_socket.empty()) return listen_on_unix();
  listen_on_names();
}

void Server::State::listen_on_names() {
  error_code ec;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, "", tcp::resolver::passive, ec);
  if (ec || found.empty())
    fail(ErrorCode::failure, "serve: \"{}\" is not an address of this machine: {}", options.host, ec.message());
  std::vector<asio::ip::address> addresses;
  for (const auto& entry : found)
    if (std::find(addresses.begin(), addresses.end(), entry.endpoint().address()) == addresses.end())
      addresses.push_back(entry.endpoint().address());
  bind({addresses[0], options.port}, false);
  {
    const auto own = acceptors[0].local_endpoint();
    sockaddr_storage address{};
    std::memcpy(&address, own.data(), std::min(own.size(), sizeof address));
    options.port = port_of(address).value_or(options.port);
  }
  for (size_t i = 1; i < addresses.size(); ++i) bind({addresses[i], options.port}, addresses[i].is_v6());
  // Names like localhost may mean either family to clients.
  if (options.host == "127.0.0.1") bind({asio::ip::address_v6::loopback(), options.port}, true);
}

Server::Server(const ServerOptions& options, Application& application)
    : state_(std::make_unique<State>(options, application)) {
  state_->listen();
}
Server::~Server() {
  if (!state_->unix_socket.empty()) ::unlink(state_->unix_socket.c_str());
}

uint16_t Server::port() const { return state_->options.port; }
int64_t Server::open_connections() const { return state_->open; }

void Server::run() {
  State& s = *state_;
  s.signals.add(SIGTERM);
  s.signals.add(SIGINT);
  for (auto& acceptor : s.acceptors) asio::co_spawn(s.io, s.accept(acceptor), asio::detached);
  asio::co_spawn(s.io, s.watch_signals(), asio::detached);
  s.io.run();
}

void Server::stop() {
  asio::post(state_->io, [s = state_.get()] { s->drain(); });
}

}  // namespace mynah::serve
