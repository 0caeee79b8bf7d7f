// mynah ps and stop: the models that the running server holds.
#include <fmt/core.h>

#include "base/progress.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "remote.h"

namespace mynah::app {
namespace {

int act_ps(bool json) {
  const Json answer = Remote().call("GET", "/api/ps", nullptr);
  if (json) {
    print_json(answer);
    return 0;
  }
  std::string text = fmt::format("{:<36}{:<14}{:>10}  {:>9}  {}\n", "NAME", "ID", "SIZE", "CONTEXT", "UNTIL");
  for (const Json& m : answer["models"])
    text += fmt::format("{:<36}{:<14}{:>10}  {:>9}  {}\n", m.value("name", ""), m.value("digest", "").substr(0, 12), format_bytes(m.value("size", int64_t{0})),
                        m.value("context_length", int64_t{0}), m.value("expires_at", "").substr(0, 19));
  print_text(text);
  return 0;
}

int act_stop(const std::string& model, bool json) {
  const Json answer = Remote().call("POST", "/api/generate", {{"model", model}, {"keep_alive", 0}, {"stream", false}});
  if (json) print_json(answer);
  else fmt::print(stderr, "{} is given up\n", model);
  return 0;
}

}  // namespace

void add_ps(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("ps", "List the models that the running server holds");
  auto json = std::make_shared<bool>(false);
  c->add_flag("--json", *json, "print JSON");
  c->callback([json, &action] { action = [json] { return act_ps(*json); }; });
}

void add_stop(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("stop", "Let the running server give up a model");
  auto model = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  c->add_option("model", *model, "its name")->required()->type_name("MODEL");
  c->add_flag("--json", *json, "print JSON");
  c->callback([model, json, &action] { action = [model, json] { return act_stop(*model, *json); }; });
}

}  // namespace mynah::app
