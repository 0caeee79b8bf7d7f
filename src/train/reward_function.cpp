#include "train/reward_function.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <regex>

#include "base/json.h"
#include "base/require.h"
#include "base/unicode.h"
#include "mynah/autograd.h"
#include "train/forward_loss.h"
#include "train/row_encoder.h"

namespace mynah::train {
namespace {

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// A rule that looks at one completion.
class Rule : public RewardFunction {
 public:
  Rule(std::string name, std::function<double(const Completed&)> rule) : name_(std::move(name)), rule_(std::move(rule)) {}
  std::string name() const override { return name_; }
  std::vector<double> score(const std::vector<Completed>& all) override {
    std::vector<double> scores;
    for (const Completed& c : all) scores.push_back(rule_(c));
    return scores;
  }

 private:
  std::string name_;
  std::function<double(const Completed&)> rule_;
};

double exact(const Completed& c) {
  for (const char* key : {"answer", "solution", "completion"}) {
    const auto it = c.row->find(key);
    if (it == c.row->end()) continue;
    return trimmed(c.text) == trimmed(it->is_string() ? it->get<std::string>() : it->dump());
  }
  fail(ErrorCode::failure, "--reward exact: a row has no \"answer\"; it has {}", c.row->dump().substr(0, 120));
}

// A shell command that lives as long as the run.
class Program : public RewardFunction {
 public:
  explicit Program(const std::string& command) : command_(command) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) fail(ErrorCode::failure, "--reward cmd: {}", std::strerror(errno));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    if (pid_ < 0) fail(ErrorCode::failure, "--reward cmd: cannot start: {}", std::strerror(errno));
    to_ = in[1];
    from_ = ::fdopen(out[0], "r");
    ::fcntl(to_, F_SETFL, O_NONBLOCK);
  }
  ~Program() override {
    if (to_ >= 0) ::close(to_);
    if (from_) std::fclose(from_);
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  std::string name() const override { return "cmd"; }

  std::vector<double> score(const std::vector<Completed>& all) override {
    std::vector<double> scores;
    for (const Completed& c : all) {
      if (!rest_.empty()) fail(ErrorCode::failure, "--reward cmd: {}: got \"{}\" unasked, expected one number for each line", command_, trimmed(rest_).substr(0, 80));
      send(to_text({{"prompt", c.prompt}, {"completion", c.text}}) + "\n");
      scores.push_back(receive());
    }
    return scores;
  }

 private:
  static constexpr int kAnswerMs = 60000;

  void send(const std::string& line) {
    for (size_t sent = 0; sent < line.size();) {
      const ssize_t n = ::write(to_, line.data() + sent, line.size() - sent);
      if (n > 0) sent += static_cast<size_t>(n);
      else if (errno == EAGAIN) {
        pollfd p{to_, POLLOUT, 0};
        if (::poll(&p, 1, kAnswerMs) == 0) fail(ErrorCode::failure, "--reward cmd: {}: does not read its input", command_);
      } else if (errno != EINTR) {
        fail(ErrorCode::failure, "--reward cmd: {}: ended before its input did ({})", command_, std::strerror(errno));
      }
    }
  }

  double receive() {
    std::string line;
    for (;;) {
      if (rest_.find('\n') != std::string::npos) break;
      pollfd p{::fileno(from_), POLLIN, 0};
      const int ready = ::poll(&p, 1, kAnswerMs);
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) fail(ErrorCode::failure, "--reward cmd: {}: no answer within {} s", command_, kAnswerMs / 1000);
      char buffer[4096];
      const ssize_t n = ::read(::fileno(from_), buffer, sizeof buffer);
      if (n <= 0) fail(ErrorCode::failure, "--reward cmd: {}: ended without an answer; expected one number per line", command_);
      rest_.append(buffer, static_cast<size_t>(n));
    }
    const size_t end = rest_.find('\n');
    line = trimmed(rest_.substr(0, end));
    rest_.erase(0, end + 1);
    char* stop = nullptr;
    const double value = std::strtod(line.c_str(), &stop);
    if (line.empty() || *stop != 0 || !std::isfinite(value)) fail(ErrorCode::failure, "--reward cmd: {}: got \"{}\", expected a finite number", command_, line);
    return value;
  }

  std::string command_, rest_;
  pid_t pid_ = -1;
  int to_ = -1;
  std::FILE* from_ = nullptr;
};

class ModelReward : public RewardFunction {
 public:
  explicit ModelReward(std::shared_ptr<bundle::Bundle> model) : model_(std::move(model)) {}
  std::string name() const override { return "reward_model"; }
  std::vector<double> score(const std::vector<Completed>& all) override {
    const NoGrad no_grad;
    std::vector<std::vector<int32_t>> ids;
    for (const Completed& c : all) ids.push_back(c.ids);
    const int32_t pad = RowEncoder(*model_).pad();
    const Tensor logits = model_->network->forward({{"input_ids", padded(ids, pad)}, {"attention_mask", padding_mask(ids)}}, {}).at("logits");
    require(logits.numel() == static_cast<int64_t>(all.size()), "{}: gives {} numbers per sequence, a reward model gives one", model_->name, logits.size(1));
    const std::vector<float> values = logits.to_vector();
    return {values.begin(), values.end()};
  }

 private:
  std::shared_ptr<bundle::Bundle> model_;
};

}  // namespace

std::unique_ptr<RewardFunction> make_reward_function(const std::string& spec) {
  const size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon), rest = colon == std::string::npos ? "" : spec.substr(colon + 1);
  if (kind == "exact") return std::make_unique<Rule>("exact", exact);
  if (kind == "json")
    return std::make_unique<Rule>("json", [](const Completed& c) { return Json::accept(c.text) ? 1.0 : 0.0; });
  if (kind == "regex" && !rest.empty()) {
    try {
      return std::make_unique<Rule>("regex", [pattern = std::regex(rest)](const Completed& c) {
        try {
          return std::regex_search(c.text, pattern) ? 1.0 : 0.0;
        } catch (const std::regex_error&) {
          return 0.0;  // too complex for this text
        }
      });
    } catch (const std::regex_error& error) {
      fail(ErrorCode::usage, "--reward regex: \"{}\": {}", rest, error.what());
    }
  }
  if (kind == "length") {
    const double wanted = std::strtod(rest.c_str(), nullptr);
    if (!(wanted > 0)) fail(ErrorCode::usage, "--reward length: \"{}\", expected a number of characters above 0", rest);
    return std::make_unique<Rule>("length", [wanted](const Completed& c) {
      return std::max(0.0, 1 - std::abs(static_cast<double>(unicode::count_characters(c.text)) - wanted) / wanted);
    });
  }
  if (kind == "cmd" && !rest.empty()) return std::make_unique<Program>(rest);
  fail(ErrorCode::usage, "--reward: \"{}\", expected exact, json, regex:PATTERN, length:N or cmd:COMMAND", spec);
}

std::unique_ptr<RewardFunction> make_model_reward(std::shared_ptr<bundle::Bundle> model) { return std::make_unique<ModelReward>(std::move(model)); }

}  // namespace mynah::train
