// mynah list, show, rm, cp: what is in the store.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include "base/progress.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "model_json.h"
#include "mynah/json.h"
#include "open_model.h"
#include "serve/describe.h"

namespace mynah::app {
namespace {

struct StoredOptions {
  std::string name, to;
  std::vector<std::string> names;
  bool json = false, quiet = false, dry_run = false, chat_template = false, licence = false;
};

int act_list(const StoredOptions& o) {
  const store::Store store;
  const auto models = store.list();
  if (o.json) {
    print_json(serve::tags_json(store));
    return 0;
  }
  std::string text;
  if (!o.quiet) text = fmt::format("{:<36}{:<14}{:>10}  {:<22}{}\n", "NAME", "ID", "SIZE", "MODIFIED", "LICENCE");
  for (const auto& m : models)
    text += o.quiet ? m.name + "\n"
                    : fmt::format("{:<36}{:<14}{:>10}  {:<22}{}\n", m.name, m.digest.substr(0, 12), format_bytes(static_cast<int64_t>(m.size_bytes())), m.pulled_at, m.licence);
  print_text(text);
  return 0;
}

int act_show(const StoredOptions& o) {
  const store::Store store;
  const auto found = store.resolve(o.name);
  if (!found) store.show(o.name);  // says what is near
  auto b = bundle::open(found->path, {.name = o.name}, {.network = false, .tokenizer = true});
  if (!b->source) b->source = formats::open_checkpoint(bundle::is_adapter(found->path) ? b->path : found->path);  // an adapter shows its base
  const std::string source_template = b->gguf ? b->gguf->get<std::string>("tokenizer.chat_template", "") : b->tokenizer ? std::string(b->tokenizer->chat_template()) : "";
  if (o.chat_template) {
    print_text(source_template + "\n");
    return 0;
  }
  int64_t parameters = 0;
  for (const auto& info : b->source->tensors()) parameters += info.shape.numel();
  const std::string licence = found->model ? found->model->licence : "";
  const std::string type = serve::weight_type(*b->source), format = serve::weight_format(*b->source);
  if (o.json) {
    print_json(serve::show_json(store, found->path, found->model ? &*found->model : nullptr, false));
    return 0;
  }
  std::string text = fmt::format("{:<16}{}\n{:<16}{}\n{:<16}{:.1f} M\n{:<16}{} ({})\n", "architecture", b->architecture(), "path", found->path.string(), "parameters",
                                 static_cast<double>(parameters) / 1e6, "weights", type, format);
  if (b->tokenizer) text += fmt::format("{:<16}{} tokens\n", "vocabulary", b->tokenizer->vocab_size());
  for (const char* key : {"max_position_embeddings", "n_positions"})
    if (b->config.contains(key)) text += fmt::format("{:<16}{} tokens\n", "context", b->config[key].dump());
  text += fmt::format("{:<16}{}\n", "chat template", b->chat_template ? "yes (mynah show NAME --template)" : "no");
  if (!licence.empty()) text += fmt::format("{:<16}{}\n", "licence", licence);
  print_text(text);
  return 0;
}

int act_rm(const StoredOptions& o) {
  const store::Store store;
  uint64_t freed = 0;
  for (const std::string& name : o.names) store.show(name);  // all or none
  if (o.dry_run) {
    for (const std::string& name : o.names) fmt::print(stderr, "would remove {}\n", store.show(name).name);
    return 0;
  }
  for (const std::string& name : o.names) freed += store.remove(name);
  freed += store.collect();
  if (o.json) print_json({{"removed", o.names}, {"bytes_freed", freed}});
  else fmt::print(stderr, "removed {}, {} freed\n", fmt::join(o.names, ", "), format_bytes(static_cast<int64_t>(freed)));
  return 0;
}

int act_cp(const StoredOptions& o) {
  const auto model = store::Store().copy(o.name, o.to);
  if (o.json) print_json(model_json(model));
  else fmt::print(stderr, "{} is now also {}\n", o.name, model.name);
  return 0;
}

}  // namespace

Json model_json(const store::Model& m) {
  return {{"name", m.name}, {"model", m.name}, {"modified_at", m.pulled_at}, {"size", m.size_bytes()}, {"digest", m.digest}, {"source", m.source}, {"revision", m.revision}, {"license", m.licence}};
}

void add_list(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("list", "List the models in the store")->alias("ls");
  auto o = std::make_shared<StoredOptions>();
  c->add_flag("--quiet", o->quiet, "names only");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return act_list(*o); }; });
}

void add_show(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("show", "Describe a model");
  auto o = std::make_shared<StoredOptions>();
  c->add_option("model", o->name, "name, folder or .gguf file")->required()->type_name("MODEL");
  c->add_flag("--template", o->chat_template, "print the chat template");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return act_show(*o); }; });
}

void add_rm(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("rm", "Remove models from the store");
  auto o = std::make_shared<StoredOptions>();
  c->add_option("model", o->names, "stored names")->required()->type_name("MODEL");
  c->add_flag("--dry-run", o->dry_run, "only say what would be removed");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return act_rm(*o); }; });
}

void add_cp(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("cp", "Give a stored model a second name");
  auto o = std::make_shared<StoredOptions>();
  c->add_option("from", o->name, "a stored name")->required()->type_name("MODEL");
  c->add_option("to", o->to, "the new name")->required()->type_name("NAME");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return act_cp(*o); }; });
}

}  // namespace mynah::app
