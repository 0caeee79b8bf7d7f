#include "chat.h"

#include <fmt/core.h>
#include <histedit.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/require.h"
#include "bundle/bundle.h"
#include "command.h"
#include "generation_options.h"
#include "mynah/json.h"
#include "numbers.h"
#include "serve/describe.h"
#include "store/store.h"

namespace mynah::app {
namespace {

std::atomic<bool> interrupt_flag{false};
void on_interrupt(int) { interrupt_flag.store(true); }

// The line editor with its history file.
class LineEditor {
 public:
  LineEditor() : editor_(el_init("mynah", stdin, stdout, stderr)), history_(history_init()) {
    history(history_, &event_, H_SETSIZE, 1000);
    el_set(editor_, EL_PROMPT, &LineEditor::prompt);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_SIGNAL, 1);
    el_set(editor_, EL_HIST, history, history_);
    el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    if (const char* home = std::getenv("HOME")) file_ = std::string(home) + "/.local/state/mynah/history";
    if (!file_.empty()) history(history_, &event_, H_LOAD, file_.c_str());
  }
  ~LineEditor() {
    if (!file_.empty()) {
      std::error_code ignored;
      std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), ignored);
      history(history_, &event_, H_SAVE, file_.c_str());
    }
    history_end(history_);
    el_end(editor_);
  }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // One line without its newline; none at the end of input.
  std::optional<std::string> read(const char* prompt) {
    prompt_ = prompt;
    int length = 0;
    const char* line = el_gets(editor_, &length);
    if (!line || length <= 0) return std::nullopt;
    std::string text(line, static_cast<size_t>(length));
    if (text.find_first_not_of(" \t\n") != std::string::npos) history(history_, &event_, H_ENTER, line);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return text;
  }

 private:
  static char* prompt(EditLine*) { return const_cast<char*>(prompt_); }
  static inline const char* prompt_ = ">>> ";
  EditLine* editor_;
  History* history_;
  HistEvent event_{};
  std::string file_;
};

constexpr const char* kHelp =
    "/help                 this list\n"
    "/set NAME VALUE       temperature, top_k, top_p, seed, max_tokens, system\n"
    "/show                 the model and the settings\n"
    "/clear                forget the conversation\n"
    "/retry                answer the last message again\n"
    "/bye                  leave (also Ctrl-D)\n"
    "\"\"\"                   begin and end a message of several lines\n";

class Chat {
 public:
  Chat(ChatOptions& options, const Model& model) : o_(options), model_(model), session_(model) { clear(); }

  int run() {
    fmt::print(stderr, "{} - type a message, /help for commands, /bye to leave\n", o_.model);
    while (auto line = editor_.read(">>> ")) {
      if (line->empty()) continue;
      if (line->rfind("\"\"\"", 0) == 0) line = rest_of_block(line->substr(3));
      if (!line) break;
      if (line->front() == '/') {
        if (!command(*line)) break;
      } else {
        say(*line);
      }
    }
    return 0;
  }

 private:
  std::optional<std::string> rest_of_block(std::string text) {
    for (;;) {
      if (text.size() >= 3 && text.compare(text.size() - 3, 3, "\"\"\"") == 0) return text.substr(0, text.size() - 3);
      const auto line = editor_.read("... ");
      if (!line) return std::nullopt;
      text += "\n" + *line;
    }
  }

  void clear() {
    messages_.clear();
    if (!o_.system.empty()) messages_.push_back({"system", o_.system});
    messages_.insert(messages_.end(), o_.examples.begin(), o_.examples.end());
  }

  // False to leave.
  bool command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space), rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (name == "/bye" || name == "/exit" || name == "/quit") return false;
    if (name == "/help" || name == "/?")
      fmt::print("{}", kHelp);
    else if (name == "/clear")
      clear();
    else if (name == "/show")
      show();
    else if (name == "/retry")
      retry();
    else if (name == "/set")
      set(rest);
    else
      fmt::print(stderr, "{} is not a command; /help lists them\n", name);
    return true;
  }

  void show() const {
    const GenerationConfig c = o_.settings(model_);
    fmt::print(
        "model        {} ({}, {:.0f} M parameters, context {})\nsystem       {}\ntemperature  {}\ntop_k        "
        "{}\ntop_p        {}\nmax_tokens   {}\n",
        o_.model, model_.architecture(), static_cast<double>(model_.parameter_count()) / 1e6, model_.context_length(),
        o_.system.empty() ? "(none)" : o_.system, c.do_sample ? c.temperature : 0.0f, c.top_k, c.top_p,
        *c.max_new_tokens);
  }

  void set(const std::string& words) {
    constexpr std::string_view kParameter = "parameter ";  // as Ollama has it: /set parameter seed 7
    const std::string rest = words.starts_with(kParameter) ? words.substr(kParameter.size()) : words;
    const size_t space = rest.find(' ');
    const std::string name = rest.substr(0, space), value = space == std::string::npos ? "" : rest.substr(space + 1);
    if (name.empty()) {
      fmt::print(stderr, "/set NAME VALUE; /help lists what can be set\n");
      return;
    }
    try {
      if (name == "system") {
        o_.system = value;
        clear();
      } else if (name == "context" || !o_.set(name, value, name)) {
        fmt::print(stderr, "{} cannot be set; /help lists what can\n", name);
      }
    } catch (const Error& error) {
      fmt::print(stderr, "{}\n", error.what());
    }
  }

  void say(const std::string& text) {
    messages_.push_back({"user", text});
    reply();
  }

  void retry() {
    if (!messages_.empty() && messages_.back().role == "assistant") messages_.pop_back();
    if (messages_.empty() || messages_.back().role != "user") return;
    ++attempt_;
    reply();
  }

  // The oldest exchange goes when the conversation outgrows the context.
  std::vector<int32_t> fitting_prompt(int64_t answer) {
    for (;;) {
      std::vector<int32_t> ids = prompt_ids(o_, model_, messages_);
      const int64_t context = o_.context ? *o_.context : model_.context_length();
      const size_t first = !messages_.empty() && messages_[0].role == "system" ? 1 : 0;
      if (context <= 0 || static_cast<int64_t>(ids.size()) + std::min<int64_t>(answer, context / 4) <= context ||
          messages_.size() <= first + 1)
        return ids;
      const size_t end = std::min(first + 2, messages_.size() - 1);
      messages_.erase(messages_.begin() + static_cast<long>(first), messages_.begin() + static_cast<long>(end));
      fmt::print(stderr, "(the conversation outgrew the context of {} tokens: its oldest exchange is dropped)\n",
                 context);
    }
  }

  void reply() {
    GenerationConfig config = o_.settings(model_);
    config.seed += attempt_;
    clear_interrupt();
    try {
      const auto ids = fitting_prompt(*config.max_new_tokens);
      keep_to_context(o_, static_cast<int64_t>(ids.size()), &config);
      double first_token = 0;
      const auto start = std::chrono::steady_clock::now();
      const Generated g = session_.generate(ids, config, [&](const std::string& piece) {
        if (first_token == 0)
          first_token = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        print_text(piece);
        return !interrupted();
      });
      print_text("\n\n");
      if (g.reason == FinishReason::length)
        fmt::print(stderr, "({})\n", limit_note(o_, model_, g, "/set max_tokens N"));
      if (o_.verbose) print_rates(g, 0, first_token);
      messages_.push_back({"assistant", g.text});
    } catch (const Error& error) {
      fmt::print(stderr, "mynah: {}\n", error.what());
      messages_.pop_back();
    }
    clear_interrupt();
  }

  ChatOptions& o_;
  Model model_;
  Session session_;
  LineEditor editor_;
  std::vector<ChatMessage> messages_;
  uint64_t attempt_ = 0;
};

bool ends_a_line(std::string_view text) { return text.find('\n') != std::string_view::npos; }
bool ends_a_thought(std::string_view text) {
  return text.ends_with('.') || text.ends_with('!') || text.ends_with('?') || text.ends_with("```") || text.find("\n\n") != std::string_view::npos;
}

// What ends a line: sorted ids. What ends a thought: sequences, for byte-level tokenizers make an empty line of two tokens. Special tokens
// are among both.
struct Endings {
  std::vector<int32_t> lines;
  std::vector<std::vector<int32_t>> thoughts;
};
Endings find_endings(const Tokenizer& tokenizer) {
  Endings found;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const bool special = tokenizer.is_special(id);
    const std::string text = special ? std::string() : tokenizer.token_bytes(id);
    if (special || ends_a_line(text)) found.lines.push_back(id);
    if (special || ends_a_thought(text)) found.thoughts.push_back({id});
    if (text == "\n") found.thoughts.push_back({id, id});
  }
  return found;
}

}  // namespace

bool ChatOptions::set(const std::string& name, const std::string& value, const std::string& where) {
  constexpr int64_t kMost = 1 << 30;
  if (name == "temperature")
    temperature = number_in(where, value, 0, 100);
  else if (name == "top_p")
    top_p = number_in(where, value, 0, 1);
  else if (name == "top_k")
    top_k = integer_in(where, value, 0, kMost);
  else if (name == "seed")
    seed = seed_of(where, value);
  else if (name == "max_tokens")
    max_tokens = integer_in(where, value, 1, kMost);
  else if (name == "context")
    context = integer_in(where, value, 1, kMost);
  else
    return false;
  return true;
}

// Models with fewer parameters are helped out of loops.
constexpr int64_t kSmall = 500'000'000;

GenerationConfig ChatOptions::settings(const Model& opened) const {
  GenerationConfig c = generation_defaults(opened);
  const auto& tokenizer = opened.bundle().tokenizer;
  if (c.eos_token_id.empty() && tokenizer && tokenizer->eos_id()) c.eos_token_id = {*tokenizer->eos_id()};
  const Json& own = opened.bundle().generation_config;
  const bool says =
      own.contains("do_sample") || own.contains("temperature") || own.contains("top_p") || own.contains("top_k");
  const bool small = !says && opened.parameter_count() < kSmall;
  if (!says) {
    c.do_sample = true;
    c.temperature = small ? 0.5f : 0.7f;
    c.top_p = 0.9f;
    c.top_k = 40;
    if (small) c.min_p = 0.05f;
  }
  if (temperature) {
    c.temperature = static_cast<float>(*temperature);
    c.do_sample = *temperature > 0;
  }
  if (top_p) c.top_p = static_cast<float>(*top_p);
  if (top_k) c.top_k = *top_k;
  if (top_p || top_k) c.do_sample = c.temperature > 0;
  // Small models fall into loops without help, and seldom find an end: after some 100 tokens the end of a thought becomes ever more
  // likely to be the end of the answer. Line ends are free to come again: verses and lists are made of them. Not where the likeliest
  // tokens are asked for, nor where a format decides what must come again; who names a length gets it.
  if (small && c.do_sample && format.empty()) {
    c.no_repeat_ngram_size = 4;
    c.repetition_penalty = 1.07f;
    if (tokenizer) {
      Endings endings = find_endings(*tokenizer);
      c.repetition_exempt = std::move(endings.lines);
      if (!max_tokens) {
        c.exponential_decay_length_penalty = {100, 1.02f};
        c.decay_after = std::move(endings.thoughts);
      }
    }
  }
  // Without a seed every run draws anew.
  c.seed = seed ? *seed : (static_cast<uint64_t>(std::random_device{}()) << 32) | std::random_device{}();
  c.max_new_tokens = max_tokens.value_or(1024);
  if (!format.empty()) c.format = read_format(format);
  if (repeat_penalty) c.repetition_penalty = static_cast<float>(*repeat_penalty);
  c.stop_strings.insert(c.stop_strings.end(), stops.begin(), stops.end());
  return c;
}

void keep_to_context(const ChatOptions& o, int64_t prompt_tokens, GenerationConfig* config) {
  if (!o.context) return;
  require(prompt_tokens < *o.context, "the prompt has {} tokens, --ctx allows {}; shorten the prompt or allow more", prompt_tokens, *o.context);
  config->max_new_tokens = std::min(*config->max_new_tokens, *o.context - prompt_tokens);
}

std::string limit_note(const ChatOptions& o, const Model& model, const Generated& g, const std::string& more) {
  const int64_t own = model.context_length(), answer = static_cast<int64_t>(g.ids.size());
  const int64_t context = o.context && (own <= 0 || *o.context < own) ? *o.context : own;
  if (context > 0 && g.prompt_tokens + answer >= context) return fmt::format("ended after {} tokens: prompt and answer fill the context of {}", answer, context);
  return fmt::format("ended at the limit of {} tokens; {} allows more", answer, more);
}

void apply_modelfile(ChatOptions& o) {
  const store::Store store;
  const auto stored = store.find(o.model);
  std::error_code error;
  if (!stored || std::filesystem::exists(o.model, error)) return;  // a path wins
  const serve::ModelSettings s = serve::settings_of(store, *stored);
  if (o.system.empty()) o.system = s.system;
  if (!s.template_text.empty() && !serve::is_jinja(s.template_text)) {
    try {
      o.go_template = serve::GoTemplate::parse(s.template_text, o.model);
    } catch (const Error& unreadable) {
      fmt::print(stderr, "{}: its template asks for more than is here; the one that its weights carry is used\n", o.model);
    }
  }
  if (s.messages.is_array())
    for (const Json& m : s.messages)
      if (m.is_object() && m.contains("role") && m["role"].is_string() && m.contains("content") && m["content"].is_string())
        o.examples.push_back({m["role"].get<std::string>(), m["content"].get<std::string>()});
  const auto number = [&](const char* name) -> std::optional<double> {
    const auto it = s.parameters.find(name);
    return it != s.parameters.end() && it->is_number() ? std::optional(it->get<double>()) : std::nullopt;
  };
  if (!o.temperature) o.temperature = number("temperature");
  if (!o.top_p) o.top_p = number("top_p");
  if (const auto k = number("top_k"); k && !o.top_k) o.top_k = static_cast<int64_t>(*k);
  if (const auto n = number("num_predict"); n && *n > 0 && !o.max_tokens) o.max_tokens = static_cast<int64_t>(*n);
  if (const auto n = number("num_ctx"); n && *n > 0 && !o.context) o.context = static_cast<int64_t>(*n);
  if (const auto n = number("seed"); n && *n >= 0 && !o.seed) o.seed = static_cast<uint64_t>(*n);
  o.repeat_penalty = number("repeat_penalty");
  if (const auto it = s.parameters.find("stop"); it != s.parameters.end())
    for (const Json& stop : it->is_array() ? *it : Json::array({*it}))
      if (stop.is_string() && !stop.get_ref<const std::string&>().empty()) o.stops.push_back(stop.get<std::string>());
}

std::vector<int32_t> prompt_ids(const ChatOptions& o, const Model& model, const std::vector<ChatMessage>& messages) {
  if (!o.go_template) return chat_prompt(model, messages);
  Json all = Json::array();
  for (const auto& m : messages) all.push_back({{"role", m.role}, {"content", m.content}});
  require(model.tokenizer() != nullptr, "run: {} comes without a tokenizer", o.model);
  return model.tokenizer()->encode_ids(o.go_template->prompt(all, nullptr, nullptr), true, true);
}

int chat(ChatOptions& options, const Model& model) { return Chat(options, model).run(); }

void print_rates(const Generated& g, double load_seconds, double first_token_seconds) {
  const double computed = static_cast<double>(g.prompt_tokens - g.reused_tokens),
               decoded = static_cast<double>(g.ids.size()) - 1;
  fmt::print(stderr,
             "load           {:.3f} s\nfirst text     {:.3f} s\nprompt         {} tokens ({} from the cache), {:.1f} "
             "tokens/s\nanswer         {} tokens, {:.1f} tokens/s\n",
             load_seconds, first_token_seconds, g.prompt_tokens, g.reused_tokens, computed / g.prompt_seconds,
             g.ids.size(), decoded > 0 ? decoded / g.decode_seconds : 0.0);
}

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
}
bool interrupted() { return interrupt_flag.load(); }
void clear_interrupt() { interrupt_flag.store(false); }

}  // namespace mynah::app
