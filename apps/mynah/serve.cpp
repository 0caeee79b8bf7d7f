// mynah serve: the API server.
#include "serve/serve.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "open_model.h"
#include "serve/dialect.h"

namespace mynah::app {
namespace {

struct ServeOptions {
  std::string host, key_file, tls_certificate, tls_key, unix_socket, record;
  std::optional<int> port;
  std::vector<std::string> models;
  bool insecure = false, no_log = false;
};

// Listening sockets that systemd hands over (sd_listen_fds(3)).
int inherited_sockets() {
  const char *pid = std::getenv("LISTEN_PID"), *count = std::getenv("LISTEN_FDS");
  if (!pid || !count || std::atol(pid) != ::getpid()) return 0;
  return std::clamp(std::atoi(count), 0, 64);
}

// A line to the service manager that has started this program, if one has (sd_notify(3)).
void tell_service_manager(const char* line) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (!path || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  if (path[0] == '@') address.sun_path[0] = 0;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  ::sendto(fd, line, std::strlen(line), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path)));
  ::close(fd);
}

int run_serve(const ServeOptions& o) {
  serve::ServeOptions options;
  options.version = MYNAH_VERSION;
  options.read_environment([](const char* name) { return std::getenv(name); });
  if (const char* host = std::getenv("OLLAMA_HOST"); host && *host) {
    const auto parsed = serve::parse_host(host);
    options.server.host = parsed.host;
    options.server.port = parsed.port;
  }
  if (!o.host.empty()) options.server.host = o.host;
  if (o.port) options.server.port = static_cast<uint16_t>(*o.port);
  options.server.tls_certificate = o.tls_certificate;
  options.server.tls_key = o.tls_key;
  options.server.unix_socket = o.unix_socket;
  options.server.inherited_sockets = inherited_sockets();
  options.api_key_file = o.key_file;
  options.insecure = o.insecure;
  options.log_requests = !o.no_log;
  options.record = o.record;
  for (const std::string& model : o.models) model_path(model);  // pulls what is not here
  options.models.served = o.models;
  try {
    serve::serve(options, [&](uint16_t port) {
      const bool v6 = options.server.host.find(':') != std::string::npos;
      const std::string scheme = o.tls_certificate.empty() ? "http" : "https";
      if (options.server.inherited_sockets > 0)
        fmt::print(stderr, "mynah: listening on {} sockets of the service manager\n", options.server.inherited_sockets);
      else if (!o.unix_socket.empty())
        fmt::print(stderr, "mynah: listening on {}\n", o.unix_socket);
      else
        fmt::print(stderr, "mynah: listening on {}://{}{}{}:{}\n", scheme, v6 ? "[" : "", options.server.host,
                   v6 ? "]" : "", port);
      tell_service_manager("READY=1");
    });
  } catch (const serve::ApiError& error) {
    fail(error.status == 404   ? ErrorCode::not_found
         : error.status == 507 ? ErrorCode::does_not_fit
                               : ErrorCode::failure,
         "serve: {}", error.what());
  }
  return 0;
}

}  // namespace

void add_serve(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("serve", "Answer requests of Ollama, OpenAI, Hugging Face and other clients");
  auto o = std::make_shared<ServeOptions>();
  c->add_option("--host", o->host, "address to listen on (127.0.0.1, or OLLAMA_HOST)")->type_name("ADDRESS");
  c->add_option("--port", o->port, "port to listen on (11434, or OLLAMA_HOST); 0 takes a free one")
      ->type_name("N")
      ->check(cli::Range(0, 65535));
  c->add_option("--api-key-file", o->key_file, "file with the keys that requests must carry, one a line")
      ->type_name("FILE");
  c->add_option("--model", o->models, "a model to load at the start; the first one answers where a request names none")
      ->type_name("MODEL");
  c->add_option("--tls-cert", o->tls_certificate, "certificate chain in PEM; every connection is TLS then")
      ->type_name("FILE");
  c->add_option("--tls-key", o->tls_key, "its private key in PEM, when it is not in the same file")->type_name("FILE");
  c->add_option("--unix", o->unix_socket, "listen on this socket in the file system instead of host and port")
      ->type_name("PATH");
  c->add_option("--record", o->record, "keep requests and their answers here, prompts and all, for mynah replay")->type_name("DIR");
  c->add_flag("--no-log", o->no_log, "write no line for each request into MYNAH_HOME/logs (mynah logs)");
  c->add_flag("--insecure", o->insecure, "listen beyond this machine without keys");
  c->callback([o, &action] { action = [o] { return run_serve(*o); }; });
}

}  // namespace mynah::app
