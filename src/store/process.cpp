#include "store/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/require.h"

extern char** environ;

namespace mynah::store {
namespace {

// Ends the child when it goes out of scope before it was reaped: asks first, insists after two seconds.
class Child {
 public:
  explicit Child(pid_t id) : id_(id) {}
  ~Child() {
    if (reaped_) return;
    ::kill(id_, SIGTERM);
    for (int i = 0; i < 40; ++i) {
      if (poll()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ::kill(id_, SIGKILL);
    while (::waitpid(id_, &status_, 0) < 0 && errno == EINTR) {
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  bool poll() {
    const pid_t done = ::waitpid(id_, &status_, WNOHANG);
    reaped_ = done == id_ || (done < 0 && errno == ECHILD);
    return reaped_;
  }
  int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }

 private:
  pid_t id_;
  int status_ = 0;
  bool reaped_ = false;
};

}  // namespace

std::optional<std::filesystem::path> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    if (!folder.empty()) {
      const auto candidate = std::filesystem::path(folder) / name;
      struct stat info;
      if (::stat(candidate.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(candidate.c_str(), X_OK) == 0)
        return candidate;
    }
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

int run_process(const std::vector<std::string>& arguments,
                const std::vector<std::pair<std::string, std::string>>& environment,
                const std::filesystem::path& output, const std::function<bool()>& watch) {
  MYNAH_CHECK(!arguments.empty());
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> variables;
  for (char** v = environ; *v; ++v) {
    const std::string_view text = *v;
    bool replaced = false;
    for (const auto& [key, value] : environment) replaced |= text.starts_with(key + "=");
    if (!replaced) variables.emplace_back(text);
  }
  for (const auto& [key, value] : environment) variables.push_back(key + "=" + value);
  std::vector<char*> envp;
  for (auto& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;  // we may block or ignore signals; the child starts with none of that
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGTERM);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t id = 0;
  const int error = ::posix_spawn(&id, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) fail(ErrorCode::failure, "{}: cannot be started: {}", arguments[0], std::strerror(error));

  Child child(id);
  for (int round = 0; !child.poll(); ++round) {
    if (round % 5 == 0 && watch && !watch()) fail(ErrorCode::interrupted, "{}: interrupted", arguments[0]);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return child.code();
}

}  // namespace mynah::store
