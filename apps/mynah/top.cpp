// mynah top: what the running server does now, from its /metrics and /api/ps.
#include <fmt/core.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/progress.h"
#include "base/require.h"
#include "chat.h"
#include "cli.h"
#include "command.h"
#include "metrics_text.h"
#include "mynah/json.h"
#include "remote.h"
#include "serve/describe.h"

namespace mynah::app {
namespace {

struct TopOptions {
  std::string remote;
  double interval = 1;
  bool json = false, once = false;
};

struct Sample {
  std::chrono::steady_clock::time_point time;
  MetricsText numbers;
  Json models;  // of /api/ps
};


Sample take(const Remote& remote) {
  const Remote::Answer answer = remote.ask("GET", "/metrics", {}, nullptr);
  if (answer.status != 200) fail(answer.status == 401 ? ErrorCode::auth : ErrorCode::failure, "server: {} answers /metrics with {}", remote.url(), answer.status);
  return {std::chrono::steady_clock::now(), MetricsText(answer.body), remote.call("GET", "/api/ps", nullptr)["models"]};
}

// What a counter grew by in a second. One that is smaller than before has begun anew with its model.
double rate(double before, double after, double seconds) { return seconds > 0 ? (after >= before ? after - before : after) / seconds : 0; }

Json state_of(const Remote& remote, const Sample& before, const Sample& now) {
  const double seconds = std::chrono::duration<double>(now.time - before.time).count();
  const auto sum = [&](const char* name) { return now.numbers.sum(name); };
  const auto whole = [&](const char* name) { return static_cast<int64_t>(sum(name)); };
  const auto grown = [&](const char* name) { return rate(before.numbers.sum(name), sum(name), seconds); };
  const double firsts = sum("mynah_time_to_first_token_seconds_count"), looked_up = sum("mynah_prefix_cache_queries_total");
  Json models = Json::array();
  double prompt_rate = 0, generated_rate = 0;
  const auto names = now.numbers.values_of("mynah_model_memory_bytes", "model");
  for (const std::string& name : names) {
    const auto of = [&](const Sample& s, const char* metric, const char* label = nullptr, const char* value = nullptr) {
      std::map<std::string, std::string> labels = {{"model", name}};
      if (label) labels[label] = value;
      return s.numbers.value(metric, labels);
    };
    const auto tokens = [&](const char* kind) {
      return rate(of(before, "mynah_model_tokens_total", "kind", kind), of(now, "mynah_model_tokens_total", "kind", kind), seconds);
    };
    prompt_rate += tokens("prompt");
    generated_rate += tokens("generated");
    Json row = {{"name", name},
                {"size_bytes", static_cast<int64_t>(of(now, "mynah_model_memory_bytes", "part", "weights"))},
                {"cache_bytes", static_cast<int64_t>(of(now, "mynah_model_memory_bytes", "part", "cache"))},
                {"slots", static_cast<int64_t>(of(now, "mynah_model_slots"))},
                {"running", static_cast<int64_t>(of(now, "mynah_model_requests", "state", "running"))},
                {"waiting", static_cast<int64_t>(of(now, "mynah_model_requests", "state", "waiting"))},
                {"tokens_per_second", tokens("generated")},
                {"prompt_tokens_per_second", tokens("prompt")}};
    for (const Json& m : now.models)
      if (m.value("name", "") == serve::tagged_name(name)) {
        row["context_length"] = m.value("context_length", int64_t{0});
        row["expires_at"] = m.value("expires_at", "");
      }
    models.push_back(std::move(row));
  }
  return {{"server", remote.url()},
          {"seconds", seconds},
          {"requests",
           {{"running", whole("mynah_requests_running")},
            {"waiting", whole("mynah_requests_waiting")},
            {"per_second", grown("mynah_http_requests_total")},
            {"rejected", whole("mynah_requests_rejected_total")},
            {"cancelled", whole("mynah_requests_cancelled_total")}}},
          {"tokens_per_second", {{"generated", generated_rate}, {"prompt", prompt_rate}}},
          {"first_token_seconds", firsts > 0 ? Json(sum("mynah_time_to_first_token_seconds_sum") / firsts) : Json()},
          {"prompt_reused_share", looked_up > 0 ? Json(sum("mynah_prefix_cache_hits_total") / looked_up) : Json()},
          {"connections", whole("mynah_http_connections")},
          {"memory_bytes", whole("process_resident_memory_bytes")},
          {"models", std::move(models)}};
}

std::string for_people(const Json& s) {
  const Json &r = s["requests"], &t = s["tokens_per_second"];
  std::string text = fmt::format("{}   {} connections   {} of memory\n", s.value("server", ""), s.value("connections", int64_t{0}), format_bytes(s.value("memory_bytes", int64_t{0})));
  text += fmt::format("requests   {} running, {} waiting, {:.1f} a second   {} refused, {} left\n", r.value("running", int64_t{0}), r.value("waiting", int64_t{0}), r.value("per_second", 0.0),
                      r.value("rejected", int64_t{0}), r.value("cancelled", int64_t{0}));
  text += fmt::format("tokens/s   {:.1f} generated, {:.1f} of prompts", t.value("generated", 0.0), t.value("prompt", 0.0));
  if (s["first_token_seconds"].is_number()) text += fmt::format("   first after {:.2f} s in the mean", s["first_token_seconds"].get<double>());
  if (s["prompt_reused_share"].is_number()) text += fmt::format("   {:.0f} % of prompts reused", 100 * s["prompt_reused_share"].get<double>());
  text += fmt::format("\n\n{:<36}{:>10}{:>9}{:>8}{:>7}{:>10}{:>11}  {}\n", "MODEL", "SIZE", "CONTEXT", "SLOTS", "QUEUE", "TOKENS/S", "CACHE", "UNTIL");
  for (const Json& m : s["models"]) {
    const int64_t slots = m.value("slots", int64_t{0});
    text += fmt::format("{:<36}{:>10}{:>9}{:>8}{:>7}{:>10}{:>11}  {}\n", m.value("name", ""), format_bytes(m.value("size_bytes", int64_t{0})), m.value("context_length", int64_t{0}),
                        slots > 0 ? fmt::format("{}/{}", m.value("running", int64_t{0}), slots) : "-", slots > 0 ? std::to_string(m.value("waiting", int64_t{0})) : "-",
                        slots > 0 ? fmt::format("{:.1f}", m.value("tokens_per_second", 0.0)) : "-", format_bytes(m.value("cache_bytes", int64_t{0})), m.value("expires_at", "").substr(0, 19));
  }
  if (s["models"].empty()) text += "(no model is loaded)\n";
  return text;
}

// Keys come one by one and unseen, and the screen comes back at the end.
class Screen {
 public:
  Screen() {
    if (::tcgetattr(STDIN_FILENO, &before_) == 0) {
      termios keys = before_;
      keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
    }
    print_text("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const std::string& text) const {
    std::string lines = "\x1b[H";
    for (const char c : text) lines += c == '\n' ? "\x1b[K\n" : std::string(1, c);
    print_text(lines + "\x1b[J\n(q ends)");
  }
  // Whether q was pressed within this time.
  bool ends(double seconds) const {
    pollfd p{STDIN_FILENO, POLLIN, 0};
    char c = 0;
    return ::poll(&p, 1, static_cast<int>(seconds * 1000)) > 0 && ::read(STDIN_FILENO, &c, 1) == 1 && (c == 'q' || c == 'Q');
  }

 private:
  termios before_{};
  bool changed_ = false;
};

int run_top(const TopOptions& o) {
  const Remote remote(o.remote);
  Sample before = take(remote);
  if (o.json || o.once || isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) {
    ::usleep(static_cast<useconds_t>(o.interval * 1e6));
    const Json state = state_of(remote, before, take(remote));
    if (o.json) print_json(state);
    else print_text(for_people(state));
    return 0;
  }
  catch_interrupts();
  const Screen screen;
  screen.show(for_people(state_of(remote, before, before)));
  while (!interrupted() && !screen.ends(o.interval) && !interrupted()) {
    Sample now = take(remote);
    screen.show(for_people(state_of(remote, before, now)));
    before = std::move(now);
  }
  return 0;
}

}  // namespace

void add_top(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("top", "Watch the running server: models, slots, tokens per second, queue");
  auto o = std::make_shared<TopOptions>();
  c->add_option("--interval", o->interval, "seconds between two looks")->capture_default_str()->check(cli::Range(0.1, 3600.0));
  c->add_flag("--once", o->once, "look once and end, as where the output is no terminal");
  c->add_option("--remote", o->remote, "the server to ask (OLLAMA_HOST, or 127.0.0.1:11434)")->type_name("URL");
  c->add_flag("--json", o->json, "look once and print JSON");
  c->callback([o, &action] { action = [o] { return run_top(*o); }; });
}

}  // namespace mynah::app
