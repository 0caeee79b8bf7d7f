// mynah serve: the API server.
#include "serve/serve.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/require.h"
#include "command.h"
#include "open_model.h"
#include "serve/dialect.h"

namespace mynah::app {
namespace {

struct Options {
  std::string host, key_file;
  std::optional<int> port;
  std::vector<std::string> models;
  bool insecure = false;
};

int act(const Options& o) {
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
  options.api_key_file = o.key_file;
  options.insecure = o.insecure;
  for (const std::string& model : o.models) model_path(model);  // pulls what is not here
  options.models.served = o.models;
  try {
    serve::serve(options, [&](uint16_t port) {
      const bool v6 = options.server.host.find(':') != std::string::npos;
      fmt::print(stderr, "mynah: listening on http://{}{}{}:{}\n", v6 ? "[" : "", options.server.host, v6 ? "]" : "", port);
    });
  } catch (const serve::ApiError& error) {
    fail(error.status == 404 ? ErrorCode::not_found : error.status == 507 ? ErrorCode::does_not_fit : ErrorCode::failure, "serve: {}", error.what());
  }
  return 0;
}

}  // namespace

void add_serve(CLI::App& parent, std::function<int()>& action) {
  CLI::App* c = parent.add_subcommand("serve", "Answer requests of Ollama, OpenAI, Hugging Face and other clients");
  auto o = std::make_shared<Options>();
  c->add_option("--host", o->host, "address to listen on (127.0.0.1, or OLLAMA_HOST)")->type_name("ADDRESS");
  c->add_option("--port", o->port, "port to listen on (11434, or OLLAMA_HOST); 0 takes a free one")->type_name("N")->check(CLI::Range(0, 65535));
  c->add_option("--api-key-file", o->key_file, "file with the keys that requests must carry, one a line")->type_name("FILE");
  c->add_option("--model", o->models, "a model to load at the start; the first one answers where a request names none")->type_name("MODEL");
  c->add_flag("--insecure", o->insecure, "listen beyond this machine without keys");
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
