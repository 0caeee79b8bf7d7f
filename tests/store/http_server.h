// A small HTTP server on the loopback interface for tests of the store: it can cut, slow down, redirect and refuse.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace mynah::test {

struct Request {
  std::string method, path, query;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const {
    const auto it = headers.find(name);
    return it == headers.end() ? std::string() : it->second;
  }
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  size_t cut_after = SIZE_MAX;  // the connection ends after so many bytes of the body
  size_t piece = SIZE_MAX;      // sent in pieces of this size with a pause of 2 ms between them
  bool stall = false;           // after cut_after, stay silent instead of closing
};

class HttpServer {
 public:
  using Handler = std::function<Response(const Request&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 64);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~HttpServer() {
    stop_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (auto& worker : workers_) worker.join();
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url() const { return "http://" + host(); }
  // Everything that was asked, in order.
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  size_t count(const std::string& method, const std::string& path) const {
    size_t n = 0;
    for (const auto& request : requests()) n += request.method == method && request.path == path;
    return n;
  }

  // The bytes of a file as a server with ranges gives them.
  static Response file(const Request& request, const std::string& bytes) {
    Response response;
    const std::string range = request.header("range");
    if (!range.starts_with("bytes=")) {
      response.body = bytes;
      return response;
    }
    const size_t from = std::stoul(range.substr(6));
    if (from >= bytes.size()) return {416, {}, ""};
    response.status = 206;
    response.body = bytes.substr(from);
    response.headers.emplace_back(
        "Content-Range",
        "bytes " + std::to_string(from) + "-" + std::to_string(bytes.size() - 1) + "/" + std::to_string(bytes.size()));
    return response;
  }

 private:
  void accept_all() {
    while (!stop_) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) break;
      workers_.emplace_back([this, client] {
        serve(client);
        ::close(client);
      });
    }
  }

  static bool send_all(int client, const char* data, size_t size) {
    while (size > 0) {
      const ssize_t n = ::send(client, data, size, MSG_NOSIGNAL);
      if (n <= 0) return false;
      data += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }

  void serve(int client) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      text.append(buffer, static_cast<size_t>(n));
      if (text[0] == 0x16) {  // TLS
        send_all(client, "HTTP/1.1 400 X\r\n\r\n", 18);
        return;
      }
    }
    Request request;
    const size_t line_end = text.find("\r\n");
    const size_t first = text.find(' '), second = text.find(' ', first + 1);
    request.method = text.substr(0, first);
    request.path = text.substr(first + 1, second - first - 1);
    if (const auto mark = request.path.find('?'); mark != std::string::npos) {
      request.query = request.path.substr(mark + 1);
      request.path.resize(mark);
    }
    for (size_t at = line_end + 2; text.compare(at, 2, "\r\n") != 0;) {
      const size_t end = text.find("\r\n", at), colon = text.find(':', at);
      std::string name = text.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const Response response = handler_(request);
    std::string head = "HTTP/1.1 " + std::to_string(response.status) +
                       " X\r\nConnection: close\r\nContent-Length: " + std::to_string(response.body.size()) + "\r\n";
    for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
    head += "\r\n";
    if (!send_all(client, head.data(), head.size()) || request.method == "HEAD") return;
    const size_t limit = std::min(response.cut_after, response.body.size());
    for (size_t at = 0; at < limit && !stop_;) {
      const size_t size = std::min(response.piece, limit - at);
      if (!send_all(client, response.body.data() + at, size)) return;
      at += size;
      if (at < limit) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    while (response.stall && !stop_) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  Handler handler_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::vector<std::thread> workers_;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
};

}  // namespace mynah::test
