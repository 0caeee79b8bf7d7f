// mynah logs: the requests that servers of this store have answered, and what was done to its models over them.
#include <fcntl.h>
#include <fmt/color.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>

#include "base/require.h"
#include "chat.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "serve/answer.h"
#include "serve/audit_log.h"
#include "serve/ollama.h"
#include "serve/request_log.h"
#include "store/store.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct LogsOptions {
  std::string status, route, model, id, since;
  int64_t lines = 50;
  bool follow = false, json = false, audit = false;
};

// Whole lines of a file, also those that are added later and those of the file that takes its place.
class Tail {
 public:
  explicit Tail(fs::path path) : path_(std::move(path)) {}
  ~Tail() {
    if (file_ >= 0) ::close(file_);
  }
  Tail(const Tail&) = delete;
  Tail& operator=(const Tail&) = delete;

  void read(const std::function<void(const std::string&)>& take) {
    struct stat own {}, named {};
    const bool there = ::stat(path_.c_str(), &named) == 0;
    drain(take);
    if (!there || (file_ >= 0 && ::fstat(file_, &own) == 0 && own.st_ino == named.st_ino)) return;
    if (file_ >= 0) ::close(file_);
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    rest_.clear();
    drain(take);
  }

 private:
  void drain(const std::function<void(const std::string&)>& take) {
    char buffer[65536];
    for (ssize_t n; file_ >= 0 && (n = ::read(file_, buffer, sizeof buffer)) > 0;) {
      rest_.append(buffer, static_cast<size_t>(n));
      size_t at = 0;
      for (size_t end; (end = rest_.find('\n', at)) != std::string::npos; at = end + 1) take(rest_.substr(at, end - at));
      rest_.erase(0, at);
    }
  }

  const fs::path path_;
  int file_ = -1;
  std::string rest_;
};

// "404", or "5xx" for all of a hundred.
bool fits_status(const std::string& wanted, int status) {
  const std::string got = std::to_string(status);
  return wanted.size() == got.size() && std::equal(wanted.begin(), wanted.end(), got.begin(), [](char w, char g) { return w == g || w == 'x' || w == 'X'; });
}

// When what is wanted begins, in the log's own form; empty: at the beginning.
std::string begin_of(const std::string& since) {
  if (since.empty()) return "";
  const Json object = {{"keep_alive", since}};
  try {
    const auto duration = serve::keep_alive_of(serve::Fields(object));
    if (duration->count() >= 0) return serve::utc_time(std::chrono::system_clock::now() - *duration);
  } catch (const serve::ApiError&) {
  }
  fail(ErrorCode::usage, "--since: \"{}\", expected a duration such as 10m or 2h", since);
}

std::string for_people(const Json& e, bool colours) {
  const int status = e.value("status", 0);
  std::string time = e.value("time", "").substr(0, 19);
  std::replace(time.begin(), time.end(), 'T', ' ');
  std::string word = fmt::format("{:>3}", status);
  if (colours && status >= 400) word = fmt::format(fmt::fg(status >= 500 ? fmt::terminal_color::red : fmt::terminal_color::yellow), "{}", word);
  std::string text = fmt::format("{}  {} {:>9.3f} s  {:<4} {:<26}", time, word, e.value("seconds", 0.0), e.value("method", ""), e.value("route", ""));
  if (e.contains("model")) text += fmt::format("  {}", e.value("model", ""));
  if (e.contains("prompt_tokens")) text += fmt::format("  {} + {} tokens", e.value("prompt_tokens", int64_t{0}), e.value("generated_tokens", int64_t{0}));
  if (e.value("client_left", false)) text += "  client left";
  return text + "  " + e.value("id", "") + "\n";
}

std::string change_for_people(const Json& e) {
  std::string time = e.value("time", "").substr(0, 19);
  std::replace(time.begin(), time.end(), 'T', ' ');
  const std::string who = e.contains("key") ? e.value("key", "") + (e.contains("key_name") ? " (" + e.value("key_name", "") + ")" : "") : "no key";
  return fmt::format("{}  {:<8} {:<28} {:<24} {}  from {}  {}\n", time, e.value("done", false) ? "done" : fmt::format("no, {}", e.value("status", 0)),
                     e.value("method", "") + " " + e.value("route", ""), e.value("model", "-"), who, e.value("peer", ""), e.value("id", ""));
}

// The record of changes, whole or its last lines; 5 when it was tampered with.
int show_audit(const LogsOptions& o, const fs::path& folder) {
  if (!fs::exists(serve::AuditLog::file(folder))) fail(ErrorCode::not_found, "logs: there is no record of changes in {}; mynah serve writes one", folder.string());
  std::deque<std::string> last;
  const auto broken = serve::AuditLog::read(folder, [&](const std::string& line) {
    const Json e = Json::parse(line, nullptr, false);
    last.push_back(o.json ? line + "\n" : e.is_object() ? change_for_people(e) : "(a line that is cut off)\n");
    if (o.lines > 0 && static_cast<int64_t>(last.size()) > o.lines) last.pop_front();
  });
  for (const std::string& text : last) print_text(text);
  if (broken) fail(ErrorCode::integrity, "logs: line {} of {} does not follow from the one before it: a line was changed or taken out", *broken, serve::AuditLog::file(folder).string());
  return 0;
}

int run_logs(const LogsOptions& o) {
  const fs::path folder = serve::RequestLog::folder(store::Store().settings().home);
  if (o.audit) return show_audit(o, folder);
  const std::string begin = begin_of(o.since);
  if (!o.status.empty() && (o.status.size() != 3 || o.status.find_first_not_of("0123456789xX") != std::string::npos))
    fail(ErrorCode::usage, "--status: \"{}\", expected a status such as 404, or 5xx", o.status);
  const bool colours = isatty(STDOUT_FILENO) != 0 && !std::getenv("NO_COLOR");
  const auto shown = [&](const std::string& line) -> std::string {
    const Json e = Json::parse(line, nullptr, false);
    if (!e.is_object()) return "";  // cut off by a full disk
    const bool wanted = (begin.empty() || e.value("time", "") >= begin) && (o.status.empty() || fits_status(o.status, e.value("status", 0))) &&
                        (o.route.empty() || e.value("route", "") == o.route) && (o.model.empty() || e.value("model", "") == o.model) &&
                        (o.id.empty() || e.value("id", "") == o.id);
    return !wanted ? "" : o.json ? line + "\n" : for_people(e, colours);
  };
  const std::vector<fs::path> files = serve::RequestLog::files(folder);
  if (files.empty() && !o.follow) fail(ErrorCode::not_found, "logs: there is no log in {}; mynah serve writes one", folder.string());
  std::deque<std::string> last;
  const auto keep = [&](const std::string& line) {
    if (std::string text = shown(line); !text.empty()) last.push_back(std::move(text));
    if (o.lines > 0 && static_cast<int64_t>(last.size()) > o.lines) last.pop_front();
  };
  for (size_t i = 0; i + 1 < files.size(); ++i) Tail(files[i]).read(keep);
  Tail newest(folder / "requests.jsonl");
  newest.read(keep);
  for (const std::string& text : last) print_text(text);
  if (!o.follow) return 0;
  catch_interrupts();
  while (!interrupted()) {
    newest.read([&](const std::string& line) {
      if (const std::string text = shown(line); !text.empty()) print_text(text);
    });
    ::usleep(200000);
  }
  return 0;
}

}  // namespace

void add_logs(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("logs", "Show the requests that the server has answered");
  auto o = std::make_shared<LogsOptions>();
  c->add_option("-n,--lines", o->lines, "how many of the last ones; 0: all that are kept")->capture_default_str()->check(cli::Range(int64_t{0}, int64_t{1} << 40));
  c->add_flag("-f,--follow", o->follow, "go on with those that come, until Ctrl-C");
  c->add_option("--status", o->status, "only answers with this status: 404, or 5xx")->type_name("STATUS");
  c->add_option("--route", o->route, "only of this route: /api/chat")->type_name("PATH");
  c->add_option("--model", o->model, "only with this model, as the request named it")->type_name("NAME");
  c->add_option("--id", o->id, "only the request with this X-Request-Id")->type_name("ID");
  c->add_option("--since", o->since, "only of the last 10m, 2h ...")->type_name("DURATION");
  c->add_flag("--audit", o->audit, "what was done to models over the server, and by whom, in place of requests");
  c->add_flag("--json", o->json, "one JSON object a line, as the log holds them");
  c->callback([o, &action] { action = [o] { return run_logs(*o); }; });
}

}  // namespace mynah::app
