// mynah pipeline TASK [--model MODEL] [INPUT...]: the tasks of Hugging Face pipelines, their options and their JSON.
#include <fmt/ranges.h>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "task_command.h"

namespace mynah::app {
namespace {

std::string list_of_tasks() {
  std::string text = "Tasks (mynah pipeline TASK --help says more):\n";
  for (const std::string& name : tasks::task_names()) text += fmt::format("  {:<31} {}\n", name, tasks::find_task(name).help);
  return text;
}

int run_pipeline(const std::vector<std::string>& words) {
  if (words.empty()) fail(ErrorCode::usage, "pipeline: name a task: {}", fmt::join(tasks::task_names(), ", "));
  const TaskEntry& entry = tasks::find_task(words[0]);
  const TaskArguments a = parse_task_arguments(entry, {words.begin() + 1, words.end()});
  if (a.help) {
    print_text(task_help(entry));
    return 0;
  }
  return run_task(entry, words[0], a);
}

}  // namespace

void add_pipeline(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("pipeline", "Work on texts, pictures and sounds by task: classify, extract, answer, translate, generate ...");
  // The task decides what follows it.
  c->prefix_command();
  c->footer("mynah pipeline TASK [--model MODEL] [INPUT...] [--json] [--OPTION VALUE ...]\n" + list_of_tasks());
  c->callback([c, &action] { action = [words = c->remaining()] { return run_pipeline(words); }; });
}

}  // namespace mynah::app
