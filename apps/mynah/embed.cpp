// mynah embed MODEL TEXT...: a vector for each text. The task sentence-embedding under a shorter name.

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "task_command.h"

namespace mynah::app {

void add_embed(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("embed", "Turn texts into vectors");
  c->prefix_command();
  c->footer("mynah embed MODEL TEXT... [--json] [--OPTION VALUE ...]; the options are those of mynah pipeline sentence-embedding.\n"
            "One JSON list of numbers a line; with --json one object {\"embeddings\": [...]}.");
  c->callback([c, &action] {
    action = [words = c->remaining()] {
      const TaskEntry& entry = tasks::find_task("sentence-embedding");
      TaskArguments a = parse_task_arguments(entry, words);
      if (a.help) {
        print_text(task_help(entry));
        return 0;
      }
      if (a.model.empty()) {
        if (a.inputs.empty()) fail(ErrorCode::usage, "embed: MODEL is needed; see mynah embed --help");
        a.model = a.inputs[0];
        a.inputs.erase(a.inputs.begin());
      }
      return run_task(entry, "sentence-embedding", a, [](const Json& results) { return Json{{"embeddings", results}}; });
    };
  });
}

}  // namespace mynah::app
