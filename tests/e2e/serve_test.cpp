// mynah serve, ps and stop as a user starts them: ports, keys, signals.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "program.h"

namespace mynah::e2e {
namespace {

// A server in the background; ended with the test.
class Running {
 public:
  Running(const fs::path& folder, std::vector<std::string> arguments) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 2);
    arguments.insert(arguments.begin(), {"mynah", "serve"});
    std::vector<std::string> environment = {"MYNAH_HOME=" + (folder / "home").string(), "HOME=" + folder.string(), "MYNAH_OFFLINE=1", "MYNAH_THREADS=2", "MYNAH_LOG=info"};
    std::vector<char*> words, variables;
    for (auto& word : arguments) words.push_back(word.data());
    for (auto& variable : environment) variables.push_back(variable.data());
    words.push_back(nullptr);
    variables.push_back(nullptr);
    const int problem = posix_spawn(&process_, MYNAH_PROGRAM, &files, nullptr, words.data(), variables.data());
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    errors_ = ends[0];
    if (problem != 0) throw std::runtime_error("cannot start");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(300);  // machines may be busy
    while (text_.find("listening on") == std::string::npos || text_.find('\n', text_.find("listening on")) == std::string::npos)
      if (!read_more() || std::chrono::steady_clock::now() > end) throw std::runtime_error("no server: " + text_);
    const size_t at = text_.find("listening on");
    port_ = static_cast<uint16_t>(std::stoi(text_.substr(text_.find(':', text_.find("//", at)) + 1)));
  }
  ~Running() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    close(errors_);
  }
  uint16_t port() const { return port_; }
  void signal(int number) const { kill(process_, number); }
  // The exit code, 128 + the signal; -1 if it does not end.
  int wait() {
    for (int i = 0; i < 60000; ++i) {
      int status = 0;
      if (waitpid(process_, &status, WNOHANG) > 0) {
        process_ = 0;
        while (read_more()) {
        }
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return -1;
  }
  const std::string& log() const { return text_; }

  int connect() const {
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    if (::connect(s, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      close(s);
      return -1;
    }
    return s;
  }
  // What comes back until the connection ends.
  std::string ask(const std::string& request) const {
    const int s = connect();
    if (s < 0) return "";
    send_all(s, request);
    std::string text;
    while (receive(s, &text)) {
    }
    close(s);
    return text;
  }
  static void send_all(int s, const std::string& bytes) { EXPECT_EQ(send(s, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size())); }
  static bool receive(int s, std::string* text) {
    pollfd p{s, POLLIN, 0};
    if (poll(&p, 1, 120000) <= 0) return false;
    char buffer[8192];
    const ssize_t n = recv(s, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    text->append(buffer, static_cast<size_t>(n));
    return true;
  }

 private:
  bool read_more() {
    pollfd p{errors_, POLLIN, 0};
    if (poll(&p, 1, 30000) <= 0) return false;
    char buffer[4096];
    const ssize_t n = read(errors_, buffer, sizeof buffer);
    if (n <= 0) return false;
    text_.append(buffer, static_cast<size_t>(n));
    return true;
  }
  pid_t process_ = 0;
  int errors_ = -1;
  uint16_t port_ = 0;
  std::string text_;
};

std::string post(const std::string& path, const std::string& body, const std::string& more = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class Serve : public Sandbox {};

TEST_F(Serve, AnswersAndEndsWhenTold) {
  Running server(file(""), {"--port", "0", "--model", golden("gguf_llama_f32").string()});
  const std::string answer = server.ask(post("/api/generate", R"({"model":"model.gguf","prompt":"secret-prompt","stream":false,"options":{"num_predict":4}})"));
  EXPECT_NE(answer.find("\"done\":true"), std::string::npos) << answer;
  EXPECT_NE(server.ask(post("/", R"({"inputs":"hello","parameters":{"max_new_tokens":3}})")).find("[{\"generated_text\":\"hello"), std::string::npos);
  set_environment("OLLAMA_HOST", "127.0.0.1:" + std::to_string(server.port()));
  const Json ps = run_well({"ps", "--json"}).json();
  EXPECT_EQ(ps["models"].size(), 1u);
  EXPECT_EQ(run({"stop", "model.gguf"}).code, 0);
  EXPECT_EQ(run({"stop", "none"}).code, 3);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_EQ(server.log().find("secret-prompt"), std::string::npos);
  expect_refused({"ps"}, {4}, {"serve"});
}

// Weights in a folder below the configuration count as well.
TEST_F(Serve, LoadedModelsSayTheirSize) {
  Running server(file(""), {"--port", "0", "--model", golden("onnx_bert").string()});
  set_environment("OLLAMA_HOST", "127.0.0.1:" + std::to_string(server.port()));
  const Json ps = run_well({"ps", "--json"}).json();
  ASSERT_EQ(ps["models"].size(), 1u);
  EXPECT_GE(ps["models"][0]["size"].get<uint64_t>(), fs::file_size(golden("onnx_bert") / "onnx" / "model_q4.onnx"));
}

TEST_F(Serve, LogsTopAndReplay) {
  expect_refused({"logs"}, {3}, {"mynah serve"});
  std::string recorded;
  {
    Running server(file(""), {"--port", "0", "--model", golden("gguf_llama_f32").string(), "--record", file("records").string()});
    set_environment("OLLAMA_HOST", "127.0.0.1:" + std::to_string(server.port()));
    server.ask(post("/api/generate", R"({"model":"model.gguf","prompt":"secret-prompt","stream":false,"options":{"num_predict":4}})", "X-Request-Id: first\r\n"));
    server.ask(post("/v1/chat/completions", R"({"model":"model.gguf","messages":[{"role":"user","content":"a"}],"max_tokens":6,"stream":true,"temperature":1.2})"));
    server.ask(post("/api/show", R"({"model":"none"})"));
    const Json top = run_well({"top", "--json", "--interval", "0.1"}).json();
    EXPECT_EQ(top["models"].size(), 1u);
    EXPECT_EQ(top["models"][0]["slots"], 16);
    EXPECT_EQ(top["models"][0]["running"], 0);
    EXPECT_EQ(top["requests"]["waiting"], 0);
    EXPECT_GT(top["memory_bytes"].get<int64_t>(), 1000000);
    EXPECT_GT(top["first_token_seconds"].get<double>(), 0);
    const std::string screen = run_well({"top", "--interval", "0.1"}).out;
    for (const char* word : {"model.gguf", "0/16", "tokens/s", "QUEUE"}) EXPECT_NE(screen.find(word), std::string::npos) << screen;
    const Result same = run_well({"replay", file("records").string()});
    EXPECT_EQ(same.lines().size(), 2u);
    for (const std::string& line : same.lines()) EXPECT_NE(line.find(": the same, "), std::string::npos) << line;
    for (const auto& entry : fs::directory_iterator(file("records"))) recorded = entry.path().string();
    std::string changed = read_file(recorded);
    changed.replace(changed.find("\"status\":200"), 12, "\"status\":201");
    write_file(file("changed.json"), changed);
    const Result differs = run({"replay", file("changed.json").string(), recorded, "--json"});
    EXPECT_EQ(differs.code, 1);
    EXPECT_EQ(differs.json()[0]["difference"], "status 200, recorded 201");
    EXPECT_EQ(differs.json()[1]["same"], true);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait(), 0);
  }
  const auto lines = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"logs", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<Json> all;
    for (const std::string& line : run_well(words).lines()) all.push_back(Json::parse(line));
    return all;
  };
  EXPECT_EQ(lines({"--id", "first"}).at(0)["model"], "model.gguf");
  EXPECT_EQ(lines({"--route", "/api/show", "--status", "4xx"}).size(), 1u);
  EXPECT_EQ(lines({"--status", "200", "-n", "1"}).size(), 1u);
  EXPECT_EQ(lines({"--since", "1h"}).size(), lines({"-n", "0"}).size());
  EXPECT_EQ(run_well({"logs"}).out.find("secret"), std::string::npos);
  EXPECT_NE(run_well({"logs", "--id", "first"}).out.find("POST /api/generate"), std::string::npos);
  expect_refused({"logs", "--status", "many"}, {2}, {"5xx"});
  expect_refused({"logs", "--since", "soon"}, {2}, {"10m"});
  expect_refused({"replay", recorded}, {4});
  expect_refused({"replay", file("none").string()}, {3}, {"none"});
  write_file(file("no-record.json"), "{}");
  expect_refused({"replay", file("no-record.json").string()}, {1}, {"--record"});
  expect_refused({"top"}, {4}, {"serve"});
}

TEST_F(Serve, KeysAreMadeListedAndTakenBack) {
  const std::string keys = file("keys").string();
  const Json made = run_well({"key", "add", keys, "--name", "ops", "--json"}).json();
  const std::string few = run_well({"key", "add", keys, "--name", "app", "--scopes", "infer", "--requests-per-minute", "100", "--json"}).json()["key"].get<std::string>();
  EXPECT_EQ(made["scopes"].size(), 3u);
  for (const std::string& key : {made["key"].get<std::string>(), few}) EXPECT_EQ(read_file(keys).find(key), std::string::npos);
  const Json listed = run_well({"key", "list", keys, "--json"}).json();
  EXPECT_EQ(listed.size(), 2u);
  EXPECT_NE(run_well({"key", "list", keys}).out.find(made["id"].get<std::string>()), std::string::npos);
  expect_refused({"key", "add", keys, "--scopes", "all"}, {2}, {"infer"});
  expect_refused({"key", "add", keys, "--name", "ops"}, {2}, {"ops", "already", made["id"].get<std::string>()});
  expect_refused({"key", "add", keys, "--expires", "soon"}, {2}, {"YYYY-MM-DD"});
  expect_refused({"key", "rm", keys, "nobody"}, {3}, {"nobody"});
  {
    Running server(file(""), {"--port", "0", "--api-key-file", keys});
    set_environment("OLLAMA_HOST", "127.0.0.1:" + std::to_string(server.port()));
    expect_refused({"ps"}, {7}, {"MYNAH_API_KEY"});
    set_environment("MYNAH_API_KEY", few);
    run_well({"ps"});
    const auto copy = [&](const std::string& key) { return server.ask(post("/api/copy", R"({"source":"a","destination":"b"})", "Authorization: Bearer " + key + "\r\n")).substr(9, 3); };
    EXPECT_EQ(copy(few), "403");
    EXPECT_EQ(copy(made["key"].get<std::string>()), "404");
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait(), 0);
  }
  EXPECT_EQ(run_well({"key", "rm", keys, "app", "--json"}).json()["removed"], 1);
  EXPECT_EQ(run_well({"key", "list", keys, "--json"}).json().size(), 1u);
  EXPECT_EQ(run_well({"logs", "--audit"}).lines().size(), 2u);
  const Json first = Json::parse(run_well({"logs", "--audit", "--json"}).lines().at(0));
  EXPECT_EQ(first["key_name"], "app");
  EXPECT_EQ(first["status"], 403);
  const fs::path record = file("home") / "logs" / "audit.jsonl";
  std::string changed = read_file(record);
  changed.replace(changed.find("403"), 3, "200");
  write_file(record, changed);
  EXPECT_EQ(run({"logs", "--audit"}).code, 5);
}

TEST_F(Serve, StreamsReachTheirEndAfterASignal) {
  Running server(file(""), {"--port", "0", "--model", golden("gguf_llama_f32").string()});
  const int s = server.connect();
  Running::send_all(s, post("/api/generate", R"({"model":"model.gguf","prompt":"a","options":{"num_predict":55,"temperature":0}})"));
  std::string text;
  while (text.find("\"done\":false") == std::string::npos && Running::receive(s, &text)) {
  }
  server.signal(SIGTERM);
  while (Running::receive(s, &text)) {
  }
  close(s);
  EXPECT_NE(text.find("\"done\":true"), std::string::npos);
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(Serve, WhatCannotBeServedIsRefused) {
  Running server(file(""), {"--port", "0"});
  const std::string port = std::to_string(server.port());
  expect_refused({"serve", "--port", port}, {1, 8}, {port});
  for (const char* bad : {"99999", "-1", "abc", ""}) expect_refused({"serve", "--port", bad}, {2});
  expect_refused({"serve", "--port", "0", "--nothing"}, {2});
  expect_refused({"serve", "--port", "0", "--model", "nothing/here"}, {3, 4}, {"nothing/here"});
  expect_refused({"serve", "--port", "0", "--host", "0.0.0.0"}, {2}, {"--api-key-file"});
  write_file(file("empty"), "\r\n\n");
  expect_refused({"serve", "--port", "0", "--api-key-file", file("empty").string()}, {2}, {"key"});
  expect_refused({"serve", "--port", "0", "--api-key-file", file("none").string()}, {3});
  set_environment("OLLAMA_NUM_PARALLEL", "many");
  expect_refused({"serve", "--port", "0"}, {2}, {"OLLAMA_NUM_PARALLEL"});
}

TEST_F(Serve, Keys) {
  write_file(file("keys"), "sk-one\r\nsk-two\n");
  Running server(file(""), {"--port", "0", "--api-key-file", file("keys").string()});
  const auto get = [&](const std::string& path, const std::string& more) { return server.ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more + "\r\n"); };
  EXPECT_NE(get("/api/version", "").find(" 401 "), std::string::npos);
  EXPECT_NE(get("/health", "").find(" 200 "), std::string::npos);
  EXPECT_NE(get("/api/version", "Authorization: BEARER sk-one\r\n").find(" 200 "), std::string::npos);
  EXPECT_NE(get("/v1/models?api_key=sk-two", "").find(" 401 "), std::string::npos);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_EQ(server.log().find("sk-"), std::string::npos);
}

TEST_F(Serve, CreateFromAModelfile) {
  write_file(file("Modelfile"), "FROM " + golden("gguf_llama_f32").string() + "\nPARAMETER temperature 0\nSYSTEM \"\"\"A bird.\"\"\"\n");
  EXPECT_EQ(run({"create", "bird", "-f", file("Modelfile").string()}).code, 0);
  const Json show = run_well({"show", "bird", "--json"}).json();
  EXPECT_EQ(show["system"], "A bird.");
  Running server(file(""), {"--port", "0"});
  const std::string tags = server.ask("GET /api/tags HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(Json::parse(tags.substr(tags.find("\r\n\r\n") + 4)), run_well({"list", "--json"}).json());
  write_file(file("bad"), "FROM x\nCOLOUR red\n");
  expect_refused({"create", "y", "-f", file("bad").string()}, {2}, {"line 2"});
}

}  // namespace
}  // namespace mynah::e2e
