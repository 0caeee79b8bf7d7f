// The whole server: options from the command line and the environment, then it runs until it is told to end.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "serve/models.h"
#include "serve/server.h"

namespace mynah::serve {

struct ServeOptions {
  ServerOptions server;
  ModelsOptions models;
  std::string api_key_file;
  bool insecure = false;  // listen beyond loopback without a key
  std::vector<std::string> hosts, origins;
  bool log_requests = true;  // in MYNAH_HOME/logs
  std::string record;        // a folder for requests and their answers; empty: none are kept
  std::string version;

  // Values of OLLAMA_* and MYNAH_* variables (the latter win). Throws usage for a value that cannot be meant.
  void read_environment(const std::function<const char*(const char*)>& variable);
};

// "[scheme://]host[:port][/path]", as OLLAMA_HOST has it. Throws usage.
struct HostPort {
  std::string scheme = "http", host = "127.0.0.1";
  uint16_t port = 11434;
};
HostPort parse_host(const std::string& text);

// Runs until SIGTERM. `ready` is called with the port once it listens.
void serve(const ServeOptions& options, const std::function<void(uint16_t)>& ready);

}  // namespace mynah::serve
