#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/require.h"

extern char** environ;

namespace mynah {
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
  pid_t id() const { return id_; }
  int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }

 private:
  pid_t id_;
  int status_ = 0;
  bool reaped_ = false;
};

// A file descriptor that is closed with its owner.
struct Descriptor {
  int fd = -1;
  ~Descriptor() { close(); }
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

// Starts a program with our environment, but none of our blocked or ignored signals. `actions` say what its descriptors are.
pid_t start(const std::vector<std::string>& arguments, char** environment, const posix_spawn_file_actions_t& actions) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t id = 0;
  const int error = ::posix_spawn(&id, argv[0], &actions, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) fail(ErrorCode::failure, "{}: cannot be started: {}", arguments[0], std::strerror(error));
  return id;
}

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
  const auto destroy = [](posix_spawn_file_actions_t* a) { posix_spawn_file_actions_destroy(a); };
  const std::unique_ptr<posix_spawn_file_actions_t, decltype(destroy)> destroyed(&actions, destroy);
  const pid_t id = start(arguments, envp.data(), actions);

  Child child(id);
  for (int round = 0; !child.poll(); ++round) {
    if (round % 5 == 0 && watch && !watch()) fail(ErrorCode::interrupted, "{}: interrupted", arguments[0]);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return child.code();
}

std::string run_filter(const std::vector<std::string>& arguments, std::string_view input, size_t most_bytes, int seconds) {
  MYNAH_CHECK(!arguments.empty());
  int to[2], from[2];
  // A socket, because writing to one that nobody reads need not raise SIGPIPE.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, to) != 0) fail(ErrorCode::failure, "{}: no pipe: {}", arguments[0], std::strerror(errno));
  Descriptor their_in{to[0]}, our_out{to[1]};
  if (::pipe2(from, O_CLOEXEC) != 0) fail(ErrorCode::failure, "{}: no pipe: {}", arguments[0], std::strerror(errno));
  Descriptor our_in{from[0]}, their_out{from[1]};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, their_in.fd, 0);
  posix_spawn_file_actions_adddup2(&actions, their_out.fd, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto destroy = [](posix_spawn_file_actions_t* a) { posix_spawn_file_actions_destroy(a); };
  const std::unique_ptr<posix_spawn_file_actions_t, decltype(destroy)> destroyed(&actions, destroy);
  Child child(start(arguments, environ, actions));
  their_in.close();
  their_out.close();

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::string output;
  while (our_in.fd >= 0) {
    if (input.empty()) our_out.close();
    pollfd wanted[2] = {{our_in.fd, POLLIN, 0}, {our_out.fd, POLLOUT, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) fail(ErrorCode::failure, "{}: no answer within {} seconds", arguments[0], seconds);
    if (::poll(wanted, 2, static_cast<int>(left)) < 0 && errno != EINTR) fail(ErrorCode::failure, "{}: {}", arguments[0], std::strerror(errno));
    if (wanted[1].revents != 0) {
      const ssize_t n = ::send(our_out.fd, input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) input.remove_prefix(static_cast<size_t>(n));
      if (n < 0 && errno != EAGAIN && errno != EINTR) input = {};  // it reads no more
    }
    if (wanted[0].revents != 0) {
      char bytes[4096];
      const ssize_t n = ::read(our_in.fd, bytes, sizeof bytes);
      if (n > 0) output.append(bytes, static_cast<size_t>(n));
      if (n == 0 || (n < 0 && errno != EINTR)) our_in.close();
      if (output.size() > most_bytes) fail(ErrorCode::failure, "{}: more than {} bytes of output", arguments[0], most_bytes);
    }
  }
  while (!child.poll()) {
    if (std::chrono::steady_clock::now() > end) fail(ErrorCode::failure, "{}: does not end within {} seconds", arguments[0], seconds);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (child.code() != 0) fail(ErrorCode::failure, "{}: ended with status {}", arguments[0], child.code());
  return output;
}

struct ProgramInput::State {
  Descriptor out;
  std::unique_ptr<Child> child;
  std::mutex reaping;  // a process that was reaped must not be signalled: its number may be another's by then
  bool ended = false;
};

ProgramInput::ProgramInput(const std::vector<std::string>& arguments) : state_(std::make_unique<State>()) {
  MYNAH_CHECK(!arguments.empty());
  int to[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, to) != 0) fail(ErrorCode::failure, "{}: no pipe: {}", arguments[0], std::strerror(errno));
  const Descriptor theirs{to[0]};
  state_->out.fd = to[1];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.fd, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto destroy = [](posix_spawn_file_actions_t* a) { posix_spawn_file_actions_destroy(a); };
  const std::unique_ptr<posix_spawn_file_actions_t, decltype(destroy)> destroyed(&actions, destroy);
  state_->child = std::make_unique<Child>(start(arguments, environ, actions));
}

ProgramInput::~ProgramInput() { state_->out.close(); }

bool ProgramInput::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(state_->out.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

int ProgramInput::finish() {
  state_->out.close();
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
    const std::lock_guard lock(state_->reaping);
    state_->ended = state_->ended || state_->child->poll();
    if (state_->ended) return state_->child->code();
  }
}

void ProgramInput::stop() {
  const std::lock_guard lock(state_->reaping);
  if (!state_->ended) ::kill(state_->child->id(), SIGTERM);
}

struct ProgramOutput::State {
  Descriptor in;
  std::unique_ptr<Child> child;
};

ProgramOutput::ProgramOutput(const std::vector<std::string>& arguments) : state_(std::make_unique<State>()) {
  MYNAH_CHECK(!arguments.empty());
  int from[2];
  if (::pipe2(from, O_CLOEXEC) != 0) fail(ErrorCode::failure, "{}: no pipe: {}", arguments[0], std::strerror(errno));
  state_->in.fd = from[0];
  const Descriptor theirs{from[1]};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.fd, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto destroy = [](posix_spawn_file_actions_t* a) { posix_spawn_file_actions_destroy(a); };
  const std::unique_ptr<posix_spawn_file_actions_t, decltype(destroy)> destroyed(&actions, destroy);
  state_->child = std::make_unique<Child>(start(arguments, environ, actions));
}

ProgramOutput::~ProgramOutput() { state_->in.close(); }

std::optional<size_t> ProgramOutput::read(std::span<std::byte> into, int milliseconds) {
  pollfd wanted{state_->in.fd, POLLIN, 0};
  const int ready = ::poll(&wanted, 1, milliseconds);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return std::nullopt;
  const ssize_t n = ::read(state_->in.fd, into.data(), into.size());
  if (n < 0 && errno == EINTR) return std::nullopt;
  return n > 0 ? static_cast<size_t>(n) : 0;
}

}  // namespace mynah
