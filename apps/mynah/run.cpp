// mynah run MODEL [PROMPT]: one answer, or a chat on a terminal.
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "chat.h"
#include "command.h"
#include "open_model.h"
#include "remote.h"

namespace mynah::app {
namespace {

std::string read_all_of_stdin() {
  std::string text;
  char buffer[65536];
  for (ssize_t n; (n = ::read(STDIN_FILENO, buffer, sizeof buffer)) != 0;) {
    if (n < 0) {
      if (errno == EINTR) continue;
      break;
    }
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > (64u << 20)) fail(ErrorCode::failure, "stdin: more than 64 MB of prompt");
  }
  return text;
}

// What is piped in. A terminal, a socket, /dev/null and a closed stdin count as empty; with a prompt at hand, an open but silent
// pipe is waited for 200 ms only.
std::string piped_input(bool have_prompt) {
  struct stat info;
  if (fstat(STDIN_FILENO, &info) != 0 || isatty(STDIN_FILENO)) return "";
  if (S_ISREG(info.st_mode)) return read_all_of_stdin();
  if (!S_ISFIFO(info.st_mode)) return "";
  if (have_prompt) {
    pollfd p{STDIN_FILENO, POLLIN, 0};
    if (poll(&p, 1, 200) <= 0) return "";
  }
  return read_all_of_stdin();
}

Json timings(const Generated& g, double load_seconds) {
  const auto ns = [](double seconds) { return static_cast<int64_t>(seconds * 1e9); };
  return {{"done_reason", g.reason == FinishReason::length ? "length" : "stop"},
          {"total_duration", ns(load_seconds + g.prompt_seconds + g.decode_seconds)},
          {"load_duration", ns(load_seconds)},
          {"prompt_eval_count", g.prompt_tokens},
          {"prompt_eval_duration", ns(g.prompt_seconds)},
          {"eval_count", g.ids.size()},
          {"eval_duration", ns(g.decode_seconds)}};
}

int answer_once(ChatOptions& o, const std::string& prompt, const Model& model, double load_seconds) {
  std::vector<int32_t> ids;
  if (o.raw) {
    require(model.tokenizer() != nullptr, "run: {} comes without a tokenizer", o.model);
    ids = model.tokenizer()->encode_ids(prompt);
  } else {
    std::vector<ChatMessage> messages;
    if (!o.system.empty()) messages.push_back({"system", o.system});
    messages.push_back({"user", prompt});
    ids = chat_prompt(model, messages);
  }
  bool first = true, ends_in_newline = false;
  double first_token = 0;
  const auto start = std::chrono::steady_clock::now();
  const Generated g = Session(model).generate(ids, o.settings(model), [&](const std::string& piece) {
    if (first) first_token = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    first = false;
    if (!o.json) print_text(piece);
    ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  if (o.json) {
    Json out = {{"model", o.model}, {"response", g.text}, {"done", true}};
    out.update(timings(g, load_seconds));
    print_json(out);
  } else {
    if (!ends_in_newline) print_text("\n");
    if (g.reason == FinishReason::length) fmt::print(stderr, "(ended at the limit of {} tokens; --max-tokens N allows more)\n", g.ids.size());
    if (o.verbose) print_rates(g, load_seconds, first_token);
  }
  return g.reason == FinishReason::cancelled ? 130 : 0;
}

// The answer of a server: that of --remote or OLLAMA_HOST.
int answer_remotely(const ChatOptions& o, const std::string& prompt) {
  Json settings = Json::object(), body = {{"model", o.model}, {"prompt", prompt}, {"stream", !o.json}};
  if (o.temperature) settings["temperature"] = *o.temperature;
  if (o.top_p) settings["top_p"] = *o.top_p;
  if (o.top_k) settings["top_k"] = *o.top_k;
  if (o.seed) settings["seed"] = *o.seed;
  if (o.context) settings["num_ctx"] = *o.context;
  settings["num_predict"] = o.max_tokens.value_or(1024);
  body["options"] = settings;
  if (!o.system.empty()) body["system"] = o.system;
  if (o.raw) body["raw"] = true;
  if (o.format == "json") body["format"] = "json";
  else if (!o.format.empty()) body["format"] = read_json_file(o.format);
  const Remote server(o.remote);
  if (o.json) {
    print_json(server.call("POST", "/api/generate", body));
    return 0;
  }
  bool ends_in_newline = false;
  server.stream("/api/generate", body, [&](const Json& record) {
    if (record.contains("error")) fail(ErrorCode::failure, "server: {}", record["error"].dump());
    const std::string piece = record.value("response", "");
    print_text(piece);
    if (!piece.empty()) ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  if (!ends_in_newline) print_text("\n");
  return interrupted() ? 130 : 0;
}

int act(ChatOptions o, const std::vector<std::string>& words) {
  std::string prompt;
  for (const std::string& word : words) prompt += (prompt.empty() ? "" : " ") + word;
  const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  const std::string piped = piped_input(!prompt.empty());
  if (!piped.empty()) prompt += (prompt.empty() ? "" : "\n\n") + piped;
  if (prompt.empty() && !terminal) fail(ErrorCode::usage, "run: no prompt; give one as an argument or on stdin, or start a chat on a terminal");
  const char* host = std::getenv("OLLAMA_HOST");
  if (!prompt.empty() && (!o.remote.empty() || (host && *host && !std::filesystem::exists(o.model)))) {
    catch_interrupts();
    return answer_remotely(o, prompt);
  }
  const auto start = std::chrono::steady_clock::now();
  const Model model = open_model(o.model, Precision::automatic);
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  catch_interrupts();
  if (prompt.empty()) return chat(o, model);
  return answer_once(o, prompt, model, load_seconds);
}

}  // namespace

void add_run(CLI::App& parent, std::function<int()>& action) {
  CLI::App* c = parent.add_subcommand("run", "Answer a prompt, or chat");
  auto o = std::make_shared<ChatOptions>();
  auto words = std::make_shared<std::vector<std::string>>();
  c->add_option("model", o->model, "name, folder or .gguf file; a name that is not stored is pulled")->required()->type_name("MODEL");
  c->add_option("prompt", *words, "the prompt; piped input is added to it; without one, a chat on a terminal")->type_name("PROMPT");
  c->add_option("--system", o->system, "system message")->type_name("TEXT");
  const auto setting = [&](const std::string& option, const char* name, const char* help) {
    c->add_option_function<std::string>(option, [o, name, option](const std::string& text) { o->set(name, text, option); }, help)->type_name("N");
  };
  setting("--temperature", "temperature", "0: always the likeliest token");
  setting("--top-k", "top_k", "draw from the k likeliest tokens");
  setting("--top-p", "top_p", "draw from the likeliest tokens up to this probability");
  setting("--seed", "seed", "same seed, same answer");
  setting("--max-tokens", "max_tokens", "most tokens of an answer (1024)");
  setting("--ctx", "context", "most tokens of prompt and answer");
  c->add_option("--format", o->format, "json, or the file of a JSON Schema that the answer keeps to")->type_name("json|FILE");
  c->add_option("--remote", o->remote, "let this server answer the prompt (OLLAMA_HOST without the option)")->type_name("URL");
  c->add_flag("--raw", o->raw, "apply no chat template");
  c->add_flag("--json", o->json, "one JSON object with the answer and its timings");
  c->add_flag("--verbose", o->verbose, "print speeds after each answer");
  c->callback([o, words, &action] { action = [o, words] { return act(*o, *words); }; });
}

}  // namespace mynah::app
