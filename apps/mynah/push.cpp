// mynah push NAME: a stored model goes to a registry.
#include "cli.h"
#include "store/push.h"

#include <fmt/core.h>

#include <memory>

#include "base/progress.h"
#include "chat.h"
#include "command.h"
#include "mynah/json.h"

namespace mynah::app {
namespace {

struct PushOptions {
  std::string model;
  bool insecure = false, json = false, quiet = false;
};

int run_push(const PushOptions& o) {
  catch_interrupts();
  store::PullOptions options;
  options.insecure = o.insecure;
  options.cancelled = [] { return interrupted(); };
  std::unique_ptr<Progress> bar;
  std::string file;
  options.progress = [&](const store::Progress& p) {
    if (o.quiet || o.json) return;
    if (p.file != file) {
      if (bar) bar->finish();
      file = p.file;
      bar = std::make_unique<Progress>("pushing " + file, static_cast<int64_t>(p.total_bytes));
    }
    bar->set(static_cast<int64_t>(p.done_bytes));
  };
  store::push(store::Store(), o.model, options);
  if (bar) bar->finish();
  if (o.json)
    print_json({{"status", "success"}, {"name", o.model}});
  else if (!o.quiet)
    fmt::print(stderr, "{} is pushed\n", o.model);
  return 0;
}

}  // namespace

void add_push(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("push", "Send a stored model to a registry");
  auto o = std::make_shared<PushOptions>();
  c->add_option("model", o->model, "[http://]host[:port]/namespace/model[:tag], a name that the model has (mynah cp)")
      ->required()
      ->type_name("NAME");
  c->add_flag("--insecure", o->insecure, "allow plain http");
  c->add_flag("--quiet", o->quiet, "no progress");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return run_push(*o); }; });
}

}  // namespace mynah::app
