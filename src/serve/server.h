// The HTTP/1.1 server: connections, limits, time-outs and streams. One thread moves the bytes of all connections;
// handlers run on threads of their own and answer through Reply, so a slow client costs a connection and never a
// thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/http.h"

namespace mynah::serve {

struct BodyRule {
  uint64_t limit_bytes = 0;
  bool to_file = false;  // large uploads: Request::body_file
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address or a name; also listens on ::1 when it is 127.0.0.1 and that is free
  uint16_t port = 11434;           // 0: any free one
  HeadLimits head;
  double header_seconds = 10, idle_seconds = 75, write_seconds = 60;
  double body_seconds = 10;                                    // a body may be slow for so long ...
  uint64_t body_bytes_per_second = 1024;                       // ... and must come at this rate then
  int64_t connections = 10000, connections_per_address = 256;  // loopback addresses have no limit of their own
  int64_t requests_per_connection = 1000;
  std::string upload_folder;             // where bodies that go to files lie
  std::string tls_certificate, tls_key;  // PEM files; with a certificate every connection is TLS
  std::string unix_socket;               // a path to listen on instead of host and port
  int inherited_sockets = 0;  // listening sockets that systemd has opened, from descriptor 3 on, instead of both
};

// What the server asks and tells.
class Application {
 public:
  virtual ~Application() = default;
  // Looks at a request before its body is read (which is empty then): an answer refuses it.
  virtual std::optional<Answer> check(Request& request) = 0;
  virtual BodyRule body_rule(const Request& request) = 0;
  // Called on a thread of its own; answers now or later.
  virtual void handle(std::shared_ptr<Request> request, ReplyPtr reply) = 0;
  // A request that is refused by the server itself; `path` may be empty.
  virtual Answer refuse(const std::string& path, int status, const std::string& reason) = 0;
  // Headers that every answer to this request carries.
  virtual Headers common_headers(const Request& request) = 0;
  virtual void finished(const Request& request, int status, double seconds) = 0;
};

class Server {
 public:
  // Binds; throws busy when the port is taken, failure for an address that is not ours.
  Server(const ServerOptions& options, Application& application);
  ~Server();
  uint16_t port() const;
  // Serves until SIGTERM or SIGINT (or stop()) and until the answers under way have reached their end. A second signal
  // ends the process at once.
  void run();
  // Begins the end; may be called from any thread.
  void stop();
  int64_t open_connections() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mynah::serve
