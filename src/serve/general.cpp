// Routes that belong to no dialect: the page, health, metrics.
#include "serve/page.h"
#include "serve/service.h"

namespace mynah::serve {
namespace {

void general_root(Call& call) {
  if (call.request->header("accept").find("text/html") == std::string_view::npos)
    return call.reply->send({200, "text/plain; charset=utf-8", "Ollama is running", {{"Vary", "Accept"}}});
  call.reply->send(page_answer());
}

void health(Call& call) { call.send_json({{"status", "ok"}}); }

void openapi(Call& call) {
  static const Json document = openapi_json(all_routes(), call.service.version);
  call.send_json(document);
}

void metrics(Call& call) {
  call.reply->send(
      {200,
       "text/plain; version=0.0.4; charset=utf-8",
       call.service.metrics.text(call.service.models, call.service.connections ? call.service.connections() : 0),
       {}});
}

}  // namespace

std::span<const Route> general_routes() {
  static const Route routes[] = {{"GET", "/", general_root, Scope::any},
                                 {"GET", "/health", health, Scope::any},
                                 {"GET", "/ready", health, Scope::any},
                                 {"GET", "/metrics", metrics, Scope::metrics},
                                 {"GET", "/openapi.json", openapi, Scope::any}};
  return routes;
}

}  // namespace mynah::serve
