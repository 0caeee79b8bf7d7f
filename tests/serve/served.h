// A server inside the test's process on a free port, with tiny random models in a store of its own, and a client that sends any
// bytes and reads answers with bounded waits.
#pragma once
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "base/unicode.h"
#include "mynah/json.h"
#include "mynah/model.h"
#include "serve/router.h"
#include "serve/serve.h"

namespace mynah::test {

namespace fs = std::filesystem;

constexpr int kWaitMs = 60000;  // of a wait that should be over at once: machines may be busy

struct Reply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool complete = false;  // the body ended as its framing says
  Json json() const {
    Json value = Json::parse(body, nullptr, false);
    if (value.is_discarded()) throw std::runtime_error("not JSON: " + body);
    return value;
  }
  std::vector<Json> lines() const {
    std::vector<Json> all;
    std::istringstream stream(body);
    for (std::string line; std::getline(stream, line);) all.push_back(Json::parse(line));
    return all;
  }
  // The data of server-sent events; "[DONE]" as a string.
  std::vector<Json> events() const {
    std::vector<Json> all;
    std::istringstream stream(body);
    for (std::string line; std::getline(stream, line);)
      if (line.rfind("data: ", 0) == 0) all.push_back(line == "data: [DONE]" ? Json("[DONE]") : Json::parse(line.substr(6)));
    return all;
  }
};

// One connection.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("cannot connect");
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  int descriptor() const { return socket_; }

  void send(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<size_t>(n);
    }
  }
  // Reads until `text_` holds `mark`; false at the end of the connection or the time.
  bool read_more(int wait_ms = kWaitMs) {
    pollfd p{socket_, POLLIN, 0};
    if (::poll(&p, 1, wait_ms) <= 0) return false;
    char buffer[16384];
    const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
    if (n <= 0) {
      closed_ = true;
      return false;
    }
    text_.append(buffer, static_cast<size_t>(n));
    return true;
  }
  bool read_until(const std::string& mark) {
    while (text_.find(mark) == std::string::npos)
      if (!read_more()) return false;
    return true;
  }
  const std::string& raw() const { return text_; }
  // Whether the server ended the connection.
  bool is_closed(int wait_ms = kWaitMs) {
    while (!closed_ && read_more(wait_ms)) {
    }
    return closed_;
  }

  Reply receive(bool head_only = false) {
    Reply reply;
    if (!read_until("\r\n\r\n")) return reply;
    const size_t end = text_.find("\r\n\r\n");
    reply.status = std::stoi(text_.substr(9, 3));
    for (size_t at = text_.find("\r\n") + 2; at < end;) {
      const size_t stop = text_.find("\r\n", at), colon = text_.find(':', at);
      std::string name = text_.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      reply.headers[name] = text_.substr(colon + 2, stop - colon - 2);
      at = stop + 2;
    }
    text_.erase(0, end + 4);
    if (head_only || reply.status == 204) {
      reply.complete = true;
      return reply;
    }
    if (reply.headers.count("transfer-encoding")) {
      for (;;) {
        if (!read_until("\r\n")) return reply;
        const size_t line = text_.find("\r\n"), size = std::stoul(text_.substr(0, line), nullptr, 16);
        while (text_.size() < line + 2 + size + 2)
          if (!read_more()) return reply;
        reply.body += text_.substr(line + 2, size);
        text_.erase(0, line + 2 + size + 2);
        if (size == 0) break;
      }
      reply.complete = true;
    } else if (reply.headers.count("content-length")) {
      const size_t size = std::stoul(reply.headers["content-length"]);
      while (text_.size() < size)
        if (!read_more()) return reply;
      reply.body = text_.substr(0, size);
      text_.erase(0, size);
      reply.complete = true;
    } else {
      while (read_more()) {
      }
      reply.body = std::exchange(text_, "");
      reply.complete = closed_;
    }
    return reply;
  }

 private:
  int socket_;
  std::string text_;
  bool closed_ = false;
};

inline std::string head(const std::string& method, const std::string& path, const std::string& more = "") {
  return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}
inline std::string with_body(const std::string& method, const std::string& path, const std::string& body, const std::string& more = "") {
  return head(method, path, "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more) + body;
}

inline void write_file(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// A tokenizer of single bytes with the marks of a chat.
inline Json byte_tokenizer() {
  Json vocabulary = Json::object(), added = Json::array();
  int other = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    std::string text;
    unicode::append(text, shown ? static_cast<char32_t>(byte) : static_cast<char32_t>(other++));
    vocabulary[text] = byte;
  }
  int id = 256;
  for (const char* mark : {"<|im_start|>", "<|im_end|>"}) {
    vocabulary[mark] = id;
    added.push_back({{"id", id++}, {"content", mark}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
  }
  return {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added}, {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}},
          {"post_processor", nullptr}, {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}},
          {"model", {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr}, {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
}

constexpr const char* kChatTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr const char* kToolTemplate =
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t.function.name }}{% endfor %}<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// A random Llama of two layers.
inline void make_llama(const fs::path& folder, const std::string& chat_template, int64_t context, uint64_t seed) {
  fs::create_directories(folder);
  const Json config = {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"hidden_size", 32}, {"intermediate_size", 48}, {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                       {"num_key_value_heads", 2}, {"vocab_size", 258}, {"max_position_embeddings", context}, {"rms_norm_eps", 1e-5}, {"initializer_range", 0.5}, {"bos_token_id", 256}, {"eos_token_id", 257}, {"tie_word_embeddings", false}};
  Model::create(config.dump(), seed).save(folder.string());
  write_file(folder / "tokenizer.json", byte_tokenizer().dump());
  write_file(folder / "tokenizer_config.json", Json{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"eos_token", "<|im_end|>"}, {"bos_token", "<|im_start|>"}, {"chat_template", chat_template}}.dump());
}
inline void make_bert(const fs::path& folder) {
  fs::create_directories(folder);
  const Json config = {{"architectures", {"BertModel"}}, {"model_type", "bert"}, {"hidden_size", 12}, {"intermediate_size", 19}, {"num_hidden_layers", 1}, {"num_attention_heads", 3},
                       {"vocab_size", 258}, {"max_position_embeddings", 64}, {"type_vocab_size", 2}, {"initializer_range", 0.5}};
  Model::create(config.dump(), 5).save(folder.string());
  write_file(folder / "tokenizer.json", byte_tokenizer().dump());
}

class Served : public testing::Test {
 protected:
  // What a test wants otherwise.
  virtual void change(serve::ServerOptions&, serve::ModelsOptions&, serve::AccessRules&) {}

  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "mynah_serve_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    store::Settings settings;
    settings.home = folder_ / "home";
    settings.offline = true;
    store::Store store(settings);
    make_llama(folder_ / "tiny", kChatTemplate, 4096, 1);
    make_llama(folder_ / "tools", kToolTemplate, 512, 2);
    make_bert(folder_ / "bert");
    for (const char* model : {"tiny", "tools", "bert"}) {
      std::vector<store::NewFile> files;
      for (const auto& entry : fs::directory_iterator(folder_ / model)) files.push_back({entry.path().filename().string(), "", entry.path(), {}, {}});
      store.create(model, "test", "MIT", files);
    }
    serve::ServerOptions server;
    server.port = 0;
    server.upload_folder = (folder_ / "home" / "blobs" / "partial").string();
    serve::ModelsOptions models;
    serve::AccessRules rules;
    change(server, models, rules);
    service_ = std::make_unique<serve::Service>(store, models, rules, "0.0.0");
    router_ = std::make_unique<serve::Router>(*service_);
    server_ = std::make_unique<serve::Server>(server, *router_);
    thread_ = std::thread([this] { server_->run(); });
  }
  void TearDown() override {
    if (server_) {
      server_->stop();
      thread_.join();
    }
    server_.reset();
    router_.reset();
    service_.reset();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  uint16_t port() const { return server_->port(); }
  Reply ask(const std::string& bytes) const {
    Client client(port());
    client.send(bytes);
    return client.receive(bytes.rfind("HEAD ", 0) == 0);
  }
  Reply get(const std::string& path, const std::string& more = "") const { return ask(head("GET", path, more)); }
  Reply post(const std::string& path, const Json& body, const std::string& more = "") const { return ask(with_body("POST", path, body.dump(), more)); }
  // Waits until the model's scheduler has so many answers under way.
  bool wait_for_running(int64_t count) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kWaitMs);
    while (std::chrono::steady_clock::now() < end) {
      int64_t running = 0;
      for (const auto& m : service_->models.loaded()) running += m.counts.running;
      if (running == count) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  fs::path folder_;
  std::unique_ptr<serve::Service> service_;
  std::unique_ptr<serve::Router> router_;
  std::unique_ptr<serve::Server> server_;
  std::thread thread_;
};

}  // namespace mynah::test
