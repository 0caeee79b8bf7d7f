// The program: parses the command line, runs one subcommand, and translates errors once into a line and an exit code.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "app_error.h"
#include "base/json.h"
#include "base/require.h"
#include "base/suggest.h"
#include "base/thread_pool.h"
#include "boolean_words.h"
#include "cli.h"
#include "command.h"
#include "open_model.h"
#include "ops/machine.h"
#include "training_options.h"

namespace mynah::app {
namespace {

// clang-format off: one a line
constexpr AddCommand kCommands[] = {
    add_run,
    add_pull,
    add_push,
    add_list,
    add_show,
    add_rm,
    add_cp,
    add_create,
    add_serve,
    add_ps,
    add_stop,
    add_top,
    add_logs,
    add_key,
    add_replay,
    add_generate,
    add_pipeline,
    add_embed,
    add_tokenize,
    add_forward,
    add_quantize,
    add_convert,
    add_bench,
    add_doctor,
    add_tokenizer,
    add_pretrain,
    add_finetune,
    add_align,
    add_merge,
    add_eval,
    add_plot,
    add_transcribe,
    add_speak,
    add_talk,
    add_watch,
    add_search_images,
    add_completion,
    add_index,
    add_ask,
    add_extract,
    add_review,
    add_complete,
};
// clang-format on

std::vector<std::string> boolean_flags() {
  std::vector<std::string> all = {"--do-sample",     "--renormalize-logits", "--remove-invalid-values",
                                  "--grad",          "--hidden-states",      "--output-scores",
                                  "--output-logits", "--early-stopping"};
  all.insert(all.end(), training_flags().begin(), training_flags().end());
  return all;
}

// "help" and "help VERB" as people type them.
std::vector<std::string> without_help_verb(std::vector<std::string> words) {
  if (words.empty() || words[0] != "help") return words;
  if (words.size() == 1) return {"--help"};
  return {words[1], "--help"};
}

// One line for a parse error, with a suggestion for a misspelt verb or option.
int usage_error(const cli::App& app, const cli::ParseError& error, const std::vector<std::string>& words) {
  const cli::App* command = app.parsed_subcommand();
  std::string text = error.what(), typed = command ? command->get_name() : "";
  while (command && command->parsed_subcommand()) {  // tokenizer train
    command = command->parsed_subcommand();
    typed += " " + command->get_name();
  }
  if (!command && !words.empty() && words[0].rfind("-", 0) != 0) {
    std::vector<std::string> names;
    for (const cli::App* sub : app.get_subcommands()) names.push_back(sub->get_name());
    text = fmt::format("\"{}\" is not a command{}; see mynah --help", words[0], did_you_mean(words[0], names));
  } else if (command && dynamic_cast<const cli::ExtrasError*>(&error)) {
    std::vector<std::string> names;
    for (const cli::Option& option : command->get_options())
      for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    for (const std::string& word : command->remaining()) {
      const std::string name = word.substr(0, word.find('='));
      text = fmt::format("{}: {} is not expected{}; see mynah {} --help", typed, name, name.rfind("-", 0) == 0 ? did_you_mean(name, names) : "", typed);
      break;
    }
  } else if (command) {
    text = fmt::format("{}: {}; see mynah {} --help", typed, text, typed);
  } else {
    text += "; see mynah --help";
  }
  for (char& c : text)
    if (c == '\n') c = ' ';
  fmt::print(stderr, "mynah: {}\n", text);
  return 2;
}

int run(int argc, char** argv) {
  cli::App app("mynah: language models on the machine you have", "mynah");
  app.set_version_flag("--version", std::string("mynah ") + MYNAH_VERSION);
  app.require_subcommand(0, 1);
  std::function<int()> action;
  for (const AddCommand add : kCommands) add(app, action);
  for (cli::App* sub : app.get_subcommands()) sub->fallthrough(false);
  std::vector<std::string> words = without_help_verb(join_boolean_values({argv + 1, argv + argc}, boolean_flags()));
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const cli::CallForHelp&) {
    print_text(app.parsed_subcommand() ? app.parsed_subcommand()->help("mynah") : app.help());
    return 0;
  } catch (const cli::CallForVersion&) {
    print_text(std::string("mynah ") + MYNAH_VERSION + "\n");
    return 0;
  } catch (const cli::ParseError& error) {
    return usage_error(app, error, words);
  }
  if (!action) {
    print_text(app.help());
    return 0;
  }
  wanted_threads();  // a bad value is said by every verb, not only by those that compute
  if (const char* wanted = std::getenv("MYNAH_ISA"); wanted && *wanted) ops::choose_instruction_set(wanted);
  return action();
}

}  // namespace

void print_text(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  // As fmt::print says it of stderr; report() knows it.
  if (errno == EPIPE) throw std::system_error(EPIPE, std::generic_category(), "stdout");
  fail(ErrorCode::failure, "stdout: {}", std::strerror(errno));
}

void print_json(const Json& value) { print_text(to_text(value) + "\n"); }

}  // namespace mynah::app

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  // Without a stderr what would be said goes nowhere, and no file that is opened later takes its number.
  if (fcntl(STDERR_FILENO, F_GETFD) == -1) dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  mynah::app::open_adapters_beside_their_bases();
  try {
    return mynah::app::run(argc, argv);
  } catch (const std::exception& error) {
    return mynah::app::report(error);
  }
}
