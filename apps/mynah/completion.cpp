// Shell completions and the manual page, made from the same definitions as --help.
#include <fmt/core.h>

#include "base/require.h"
#include "cli.h"
#include "command.h"

namespace mynah::app {
namespace {

std::string options_of(const cli::App& command) {
  std::string words;
  for (const cli::Option& option : command.get_options())
    for (const std::string& name : option.get_lnames()) words += " --" + name;
  return words;
}

std::string names_of(const cli::App& app) {
  std::string words;
  for (const cli::App* sub : app.get_subcommands()) words += " " + sub->get_name();
  return words;
}

// Words after the verb are options, stored models and files.
std::string bash(const cli::App& app) {
  std::string text = "# bash completion of mynah: source <(mynah completion bash)\n_mynah() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\" options=\"\"\n"
                     "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W \"" + names_of(app) + " --help --version\" -- \"$word\"))\n    return\n  fi\n"
                     "  case \"${COMP_WORDS[1]}\" in\n";
  for (const cli::App* sub : app.get_subcommands()) text += fmt::format("    {}) options=\"{}\" ;;\n", sub->get_name(), options_of(*sub));
  text += "  esac\n  case \"$word\" in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
          "    *) COMPREPLY=($(compgen -W \"$(mynah list --quiet 2>/dev/null)\" -- \"$word\") $(compgen -f -- \"$word\")) ;;\n  esac\n}\ncomplete -F _mynah mynah\n";
  return text;
}

std::string zsh(const cli::App& app) {
  std::string text = "#compdef mynah\n# zsh completion of mynah: mynah completion zsh > \"${fpath[1]}/_mynah\"\n_mynah() {\n  if (( CURRENT == 2 )); then\n    local -a verbs=(\n";
  for (const cli::App* sub : app.get_subcommands()) text += fmt::format("      '{}:{}'\n", sub->get_name(), sub->get_description());
  text += "    )\n    _describe 'command' verbs\n    return\n  fi\n  case \"${words[2]}\" in\n";
  for (const cli::App* sub : app.get_subcommands()) text += fmt::format("    {}) compadd --{} ;;\n", sub->get_name(), options_of(*sub));
  text += "  esac\n  compadd -- ${(f)\"$(mynah list --quiet 2>/dev/null)\"}\n  _files\n}\n_mynah \"$@\"\n";
  return text;
}

std::string fish(const cli::App& app) {
  std::string text = "# fish completion of mynah: mynah completion fish > ~/.config/fish/completions/mynah.fish\n";
  for (const cli::App* sub : app.get_subcommands()) {
    text += fmt::format("complete -c mynah -n __fish_use_subcommand -a {} -d '{}'\n", sub->get_name(), sub->get_description());
    for (const cli::Option& option : sub->get_options())
      for (const std::string& name : option.get_lnames())
        text += fmt::format("complete -c mynah -n '__fish_seen_subcommand_from {}' -l {}\n", sub->get_name(), name);
  }
  text += "complete -c mynah -n 'not __fish_use_subcommand' -a '(mynah list --quiet 2>/dev/null)'\n";
  return text;
}

std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\\' ? "\\\\" : c == '-' ? "\\-" : std::string(1, c);
  return out;
}

std::string manual(const cli::App& app) {
  std::string text = ".TH MYNAH 1\n.SH NAME\nmynah \\- " + roff(app.get_description()) + "\n.SH SYNOPSIS\n.B mynah\n.I command\n.RI [ options ]\n.SH COMMANDS\n";
  for (const cli::App* sub : app.get_subcommands()) {
    text += ".SS " + roff(sub->get_name()) + "\n" + roff(sub->get_description()) + "\n";
    for (const cli::Option& option : sub->get_options()) {
      if (option.get_name() == "--help") continue;
      text += ".TP\n.B " + roff(option.get_name(option.get_positional(), true)) + "\n" + roff(option.get_description()) + "\n";
    }
  }
  text += ".SH EXIT STATUS\n0 ok, 1 failure, 2 usage, 3 not found, 4 network, 5 integrity, 6 does not fit, 7 credentials, 8 busy, 130 interrupted\n"
          ".SH ENVIRONMENT\nMYNAH_HOME (store), MYNAH_THREADS, MYNAH_ISA, MYNAH_OFFLINE, MYNAH_LOG, HF_ENDPOINT, HF_TOKEN, OLLAMA_HOST, NO_COLOR\n";
  return text;
}

}  // namespace

void add_completion(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("completion", "Print completions for bash, zsh or fish, or the manual page (man)");
  auto kind = std::make_shared<std::string>();
  c->add_option("shell", *kind, "bash, zsh, fish or man")->required()->check(cli::IsMember({"bash", "zsh", "fish", "man"}));
  c->callback([&parent, kind, &action] {
    action = [&parent, kind] {
      print_text(*kind == "bash" ? bash(parent) : *kind == "zsh" ? zsh(parent) : *kind == "fish" ? fish(parent) : manual(parent));
      return 0;
    };
  });
}

}  // namespace mynah::app
