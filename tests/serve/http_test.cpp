// The HTTP layer: what is refused and how, connections that stay, limits, keys, origins.
#include <sys/un.h>
#include <zlib.h>

#include <future>

#include "serve/page.h"
#include "serve/served.h"
#include "store/digest.h"

namespace mynah::test {
namespace {

class Http : public Served {
 protected:
  void change(serve::ServerOptions& server, serve::ModelsOptions&, serve::AccessRules&) override {
    server.header_seconds = 0.5;
    server.body_seconds = 0.5;
    server.idle_seconds = 1;
  }
};

TEST_F(Http, RootAndHealth) {
  const Reply root = get("/");
  EXPECT_EQ(root.status, 200);
  EXPECT_EQ(root.body, "Ollama is running");
  EXPECT_EQ(root.headers.at("content-type").rfind("text/plain", 0), 0u);
  EXPECT_EQ(get("/health").status, 200);
  const Reply headless = ask(head("HEAD", "/"));
  EXPECT_EQ(headless.status, 200);
  EXPECT_EQ(headless.headers.at("content-length"), "17");
  EXPECT_NE(get("/metrics").body.find("mynah_http_requests_total"), std::string::npos);
}

TEST_F(Http, BrowsersGetAPageThatLoadsNothingFromElsewhere) {
  const Reply page = get("/", "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n");
  EXPECT_EQ(page.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.headers.at("vary"), "Accept");
  EXPECT_EQ(page.body, serve::page_html());
  const std::string policy = page.headers.at("content-security-policy");
  EXPECT_EQ(policy.rfind("default-src 'none'; script-src 'sha256-", 0), 0u) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  for (const char* outside : {"src=\"http", "src='http", "href=\"http", "url(", "@import", "innerHTML", "outerHTML",
                              "insertAdjacentHTML", "document.write", "eval("})
    EXPECT_EQ(page.body.find(outside), std::string::npos) << outside;
  EXPECT_EQ(get("/", "Accept: */*\r\n").body, "Ollama is running");
}

// printf 1 | openssl dgst -sha256 -binary | base64, and the same of 2.
TEST(Page, ThePolicyNamesDigestsOfScriptAndStyle) {
  const std::string policy = serve::page_policy("<style>2</style><script>1</script>");
  EXPECT_NE(policy.find("script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=';"), std::string::npos) << policy;
  EXPECT_NE(policy.find("style-src 'sha256-1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR+Q2jpmbuwTqzU=';"), std::string::npos) << policy;
}

TEST_F(Http, UnknownPathsAndMethodsInTheDialectsForm) {
  EXPECT_EQ(get("/api/nothing").status, 404);
  EXPECT_TRUE(get("/api/nothing").json()["error"].is_string());
  EXPECT_TRUE(get("/v1/nothing").json()["error"]["message"].is_string());
  EXPECT_EQ(get("/v1/messages/nothing").json()["type"], "error");
  EXPECT_EQ(get("/api/chat").status, 405);
  EXPECT_EQ(get("/api/chat").headers.at("allow"), "POST");
}

TEST_F(Http, SeveralRequestsOnOneConnection) {
  Client client(port());
  for (int i = 0; i < 3; ++i) {
    client.send(head("GET", "/api/version"));
    EXPECT_EQ(client.receive().json()["version"], "0.0.0");
  }
  client.send(head("GET", "/api/version") + head("GET", "/health") + head("GET", "/"));  // at once
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().json()["status"], "ok");
  EXPECT_EQ(client.receive().body, "Ollama is running");
  client.send(head("GET", "/", "Connection: close\r\n"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.is_closed());
}

TEST_F(Http, ChunkedBodies) {
  const Reply reply = ask(head("POST", "/api/show", "Transfer-Encoding: chunked\r\n") +
                          "8\r\n{\"model\"\r\n8\r\n:\"tiny\"}\r\n0\r\n\r\n");
  EXPECT_EQ(reply.status, 200) << reply.body;
  for (const char* bad : {"-2\r\nxx\r\n0\r\n\r\n", "g\r\nx\r\n0\r\n\r\n", "0x1\r\nx\r\n0\r\n\r\n",
                          "ffffffffffffffffff\r\nx\r\n0\r\n\r\n", "1\r\nxyz\r\n0\r\n\r\n"}) {
    Client client(port());
    client.send(head("POST", "/api/show", "Transfer-Encoding: chunked\r\n") + bad);
    EXPECT_EQ(client.receive().status, 400) << bad;
    EXPECT_TRUE(client.is_closed()) << bad;
  }
}

TEST_F(Http, RequestsThatTwoServersCouldReadDifferentlyAreRefused) {
  const std::string body = "{\"model\":\"tiny\"}";
  const std::string start = "POST /api/show HTTP/1.1\r\nHost: localhost\r\n";
  const std::vector<std::string> bad = {
      start + "Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      start + "Content-Length: 16\r\nContent-Length: 16\r\n\r\n" + body,
      start + "Content-Length: 16\r\nContent-Length: 17\r\n\r\n" + body,
      start + "Content-Length: +16\r\n\r\n" + body,
      start + "Content-Length: 16, 16\r\n\r\n" + body,
      start + "Content-Length: 0x10\r\n\r\n" + body,
      start + "Content-Length: -1\r\n\r\n" + body,
      start + "Content-Length:\r\n\r\n" + body,
      start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      start + "X-Folded: a\r\n b\r\nContent-Length: 16\r\n\r\n" + body,
      start + "Bad Name: a\r\nContent-Length: 16\r\n\r\n" + body,
      start + "Content-Length : 16\r\n\r\n" + body,
      start + "no colon\r\nContent-Length: 16\r\n\r\n" + body,
      "POST /api/show HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nContent-Length: 16\r\n\r\n" + body,
      "POST /api/show HTTP/1.1\r\nContent-Length: 16\r\n\r\n" + body,
      "GET / HTTP/1.1\nHost: localhost\n\n",
      "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
      std::string("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 43),
      "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "\x16\x03\x01\x02\n",
  };
  for (const std::string& bytes : bad) {
    Client client(port());
    client.send(bytes);
    const Reply reply = client.receive();
    EXPECT_EQ(reply.status, 400) << bytes;
    EXPECT_TRUE(reply.json()["error"].is_string()) << bytes;
    EXPECT_TRUE(client.is_closed()) << bytes;
  }
  EXPECT_EQ(ask("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n").status, 505);
}

TEST_F(Http, LimitsBelowAndAbove) {
  EXPECT_EQ(get("/" + std::string(7000, 'a')).status, 404);
  EXPECT_EQ(get("/" + std::string(9000, 'a')).status, 414);
  EXPECT_EQ(get("/health", "X: " + std::string(30000, 'a') + "\r\n").status, 200);
  EXPECT_EQ(get("/health", "X: " + std::string(33000, 'a') + "\r\n").status, 431);
  std::string headers;
  for (int i = 0; i < 99; ++i) headers += "X-" + std::to_string(i) + ": a\r\n";
  EXPECT_EQ(get("/health", headers).status, 200);  // 100 with Host
  EXPECT_EQ(get("/health", headers + "Y: a\r\n").status, 431);
  const auto nested = [](int depth) {
    return "{\"model\":\"tiny\",\"x\":" + std::string(static_cast<size_t>(depth - 1), '[') +
           std::string(static_cast<size_t>(depth - 1), ']') + "}";
  };
  EXPECT_EQ(ask(with_body("POST", "/api/show", nested(64))).status, 200);
  EXPECT_EQ(ask(with_body("POST", "/api/show", nested(65))).status, 400);
  EXPECT_EQ(ask(with_body("POST", "/api/show", std::string(100000, '['))).status, 400);
  const auto sized = [](size_t size) { return "{\"model\":\"tiny\",\"x\":\"" + std::string(size - 23, '.') + "\"}"; };
  EXPECT_EQ(ask(with_body("POST", "/api/show", sized(4 << 20))).status, 200);
  EXPECT_EQ(ask(with_body("POST", "/api/show", sized((4 << 20) + 1))).status, 413);
  // A file in base64 does not count.
  EXPECT_EQ(
      ask(with_body("POST", "/api/show", "{\"model\":\"tiny\",\"images\":[\"" + std::string(5 << 20, 'A') + "\"]}"))
          .status,
      200);
  EXPECT_EQ(ask(head("POST", "/api/show", "Content-Length: 999999999\r\n")).status, 413);
  EXPECT_EQ(ask(with_body("POST", "/api/show", "{\"model\":\"tiny\",\"x\":[" + std::string(99990, '1') + "]}")).status,
            400);  // a number beyond all
  std::string many = "{\"model\":\"tiny\",\"x\":[1";
  for (int i = 0; i < 100000; ++i) many += ",1";
  EXPECT_EQ(ask(with_body("POST", "/api/show", many + "]}")).status, 400);
}

TEST_F(Http, BodiesThatAreNoJson) {
  for (const char* body : {"", " ", "{", "[]", "null", "{\"model\":}", "{\"model\":\"tiny\"} x", "\xff\xfe",
                           "{\"model\":\"\xff\"}", "\"text\"", "{\"model\":1e999}"}) {
    const Reply reply = ask(with_body("POST", "/api/show", body));
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_TRUE(reply.json()["error"].is_string());
  }
  // Any content type is read as JSON: curl -d sends that of a form.
  EXPECT_EQ(ask(head("POST", "/api/show", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n") +
                "{\"model\":\"tiny\"}")
                .status,
            200);
}

TEST_F(Http, SlowClientsAreGivenUp) {
  Client silent(port()), slow(port()), body(port());
  slow.send("GET / HTTP/1.1\r\nHost: lo");
  body.send(head("POST", "/api/show", "Content-Length: 16\r\n") + "{");
  EXPECT_EQ(slow.receive().status, 408);
  EXPECT_TRUE(slow.is_closed());
  EXPECT_EQ(body.receive().status, 408);
  EXPECT_TRUE(silent.is_closed());
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(Http, OlderClientsAndContinue) {
  Client old(port());
  old.send("GET /api/version HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive().status, 200);
  EXPECT_TRUE(old.is_closed());
  Client client(port());
  client.send(head("POST", "/api/show", "Content-Length: 16\r\nExpect: 100-continue\r\n"));
  EXPECT_TRUE(client.read_until("100 Continue\r\n\r\n"));
  client.send("{\"model\":\"tiny\"}");
  EXPECT_TRUE(client.read_until("HTTP/1.1 200 OK"));
}

TEST_F(Http, HostsAndOrigins) {
  const auto with_host = [&](const std::string& host) {
    return ask("GET /health HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status;
  };
  for (const char* good : {"localhost", "localhost:1234", "127.0.0.1", "[::1]:80", "a.localhost", "box.local",
                           "192.168.1.2", "10.0.0.1:99"})
    EXPECT_EQ(with_host(good), 200) << good;
  for (const char* bad :
       {"evil.example", "evil.example:11434", "localhost.evil.example", "8.8.8.8", "127.0.0.1.evil.example", ""})
    EXPECT_EQ(with_host(bad), 403) << bad;
  const auto origin = [&](const std::string& text) { return get("/api/version", "Origin: " + text + "\r\n"); };
  for (const char* good : {"http://localhost", "http://localhost:3000", "https://127.0.0.1:8080", "app://obsidian.md",
                           "tauri://localhost", "vscode-webview://abc"}) {
    EXPECT_EQ(origin(good).status, 200) << good;
    EXPECT_EQ(origin(good).headers.at("access-control-allow-origin"), good);
  }
  for (const char* bad :
       {"https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "file://x"}) {
    const Reply reply = origin(bad);
    EXPECT_EQ(reply.status, 403) << bad;
    EXPECT_EQ(reply.headers.count("access-control-allow-origin"), 0u) << bad;
  }
  const Reply preflight = ask(head("OPTIONS", "/api/chat",
                                   "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: "
                                   "POST\r\nAccess-Control-Request-Headers: authorization, x-stainless-os\r\n"));
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "http://localhost:3000");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization, x-stainless-os");
  EXPECT_EQ(preflight.headers.count("access-control-allow-credentials"), 0u);
  EXPECT_EQ(ask(with_body("POST", "/api/show", "{\"model\":\"tiny\"}", "Sec-Fetch-Site: cross-site\r\n")).status, 403);
}

TEST_F(Http, ChunksAreReadStrictly) {
  const auto chunked = [&](const std::string& body) {
    Client client(port());
    client.send(head("POST", "/api/show", "Transfer-Encoding: chunked\r\n") + body);
    return client.receive().status;
  };
  EXPECT_EQ(chunked("10\r\n{\"model\":\"tiny\"}\r\n0\r\nX-After: a\r\n\r\n"), 200);
  EXPECT_EQ(chunked("8;a=b\r\n{\"model\"\r\n8\r\n:\"tiny\"}\r\n0\r\n\r\n"), 200);
  for (const char* bad : {"10\n{\"model\":\"tiny\"}\n0\n\n", "0x10\r\n", "-1\r\n", " 10\r\n", "\r\n",
                          "ffffffffffffffff\r\n", "2\r\n{}x", "2\r\n{}\r\n0\r\nbad trailer\r\n\r\n"})
    EXPECT_EQ(chunked(bad), 400) << bad;
  serve::ChunkDecoder decoder;
  const std::string whole = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest";
  std::string out;
  size_t at = 0;
  while (!decoder.done()) {
    size_t used = 0;
    ASSERT_TRUE(decoder.take(whole.substr(at, 1), &used, &out));
    at += used;
  }
  EXPECT_EQ(out, "abcde");
  EXPECT_EQ(whole.substr(at), "rest");
}

TEST_F(Http, PackedBodiesAndExpectations) {
  const std::string body = "{\"model\":\"tiny\"}";
  std::string packed(compressBound(body.size()) + 64, '\0');
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  z.avail_in = static_cast<uInt>(body.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data());
  z.avail_out = static_cast<uInt>(packed.size());
  deflate(&z, Z_FINISH);
  packed.resize(z.total_out);
  deflateEnd(&z);
  EXPECT_EQ(ask(with_body("POST", "/api/show", packed, "Content-Encoding: gzip\r\n")).status, 200);
  EXPECT_EQ(ask(with_body("POST", "/api/show", body, "Content-Encoding: gzip\r\n")).status, 400);
  EXPECT_EQ(
      ask(with_body("POST", "/api/show", packed.substr(0, packed.size() - 4), "Content-Encoding: gzip\r\n")).status,
      400);
  EXPECT_EQ(ask(with_body("POST", "/api/show", body, "Content-Encoding: zstd\r\n")).status, 415);
  EXPECT_EQ(ask(with_body("POST", "/api/show", body, "Expect: cake\r\n")).status, 417);
}

TEST_F(Http, TargetsAndIds) {
  EXPECT_EQ(ask("GET http://localhost/api/version HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
  EXPECT_EQ(ask("GET http://elsewhere/api/version HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 400);
  EXPECT_EQ(get("/api/version", "X-Request-Id: abc-1.2\r\n").headers.at("x-request-id"), "abc-1.2");
  EXPECT_NE(get("/api/version", "X-Request-Id: a b\r\n").headers.at("x-request-id"), "a b");
  EXPECT_EQ(ask(head("OPTIONS", "/api/chat", "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n"))
                .headers.count("content-length"),
            0u);
}

TEST_F(Http, TheDescriptionHoldsEveryRoute) {
  const Json document = get("/openapi.json").json();
  size_t described = 0;
  for (const auto& [path, methods] : document["paths"].items()) described += methods.size();
  EXPECT_EQ(described, serve::all_routes().size());
  EXPECT_TRUE(document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
                      ["properties"]
                          .contains("messages"));
}

// Keeps the reply of its only request.
class Keeper : public serve::Application {
 public:
  std::optional<serve::Answer> check(serve::Request&) override { return std::nullopt; }
  serve::BodyRule body_rule(const serve::Request&) override { return {1 << 20, false}; }
  void handle(std::shared_ptr<serve::Request>, serve::ReplyPtr reply) override { kept.set_value(std::move(reply)); }
  serve::Answer refuse(const std::string&, int status, const std::string& reason) override { return {status, "text/plain", reason, {}}; }
  serve::Headers common_headers(const serve::Request&) override { return {}; }
  void finished(const serve::Request&, int, double) override {}
  std::promise<serve::ReplyPtr> kept;
};

// A client that is killed resets its connection: the server may be gone before the answer under way notices.
TEST(Server, AReplyOutlivesTheServer) {
  for (const bool begun : {false, true}) {
    auto keeper = std::make_unique<Keeper>();
    auto kept = keeper->kept.get_future();
    serve::ServerOptions options;
    options.port = 0;
    auto server = std::make_unique<serve::Server>(options, *keeper);
    std::thread running([&] { server->run(); });
    Client client(server->port());
    client.send(with_body("POST", "/", "{}"));
    serve::ReplyPtr reply = kept.get();
    if (begun) {
      reply->begin(200, "text/plain", {});
      reply->write("a");
      EXPECT_TRUE(client.read_until("\r\n\r\n"));
    }
    const linger at_once{1, 0};
    ::setsockopt(client.descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    client.close();
    std::promise<void> left;
    reply->on_gone([&] { left.set_value(); });
    ASSERT_EQ(left.get_future().wait_for(std::chrono::milliseconds(kWaitMs)), std::future_status::ready);
    server->stop();
    running.join();
    server.reset();
    keeper.reset();
    EXPECT_TRUE(reply->gone());
    EXPECT_EQ(reply->begun(), begun);
    reply->write("b");
    EXPECT_EQ(reply->unsent_bytes(), 0u);
    reply.reset();
  }
}

class UnixSocket : public Served {
 protected:
  void change(serve::ServerOptions& server, serve::ModelsOptions&, serve::AccessRules&) override {
    server.unix_socket = (folder_ / "socket").string();
  }
};

TEST_F(UnixSocket, Answers) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (folder_ / "socket").c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string request = head("GET", "/api/version", "Connection: close\r\n");
  ASSERT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  EXPECT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK");
  EXPECT_EQ(fs::status(folder_ / "socket").permissions() & fs::perms::others_all, fs::perms::none);
}

TEST_F(Http, WhatIsNearlyThereIsNamed) {
  const auto message = [&](const Reply& reply) { return reply.json()["error"].is_string() ? reply.json()["error"].get<std::string>() : reply.json()["error"]["message"].get<std::string>(); };
  EXPECT_EQ(message(get("/v1/chat/completion")), "there is nothing at this path, did you mean /v1/chat/completions?");
  EXPECT_EQ(message(get("/chat/completions")), "there is nothing at this path, did you mean /v1/chat/completions?");
  EXPECT_EQ(message(get("/" + std::string(5000, 'a'))), "there is nothing at this path");
  EXPECT_EQ(message(post("/api/show", {{"model", "tinny"}})), "model 'tinny' not found, did you mean tiny?");
  EXPECT_EQ(message(post("/api/show", {{"model", "another"}})), "model 'another' not found");
}

class Keys : public Served {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions&, serve::AccessRules& rules) override {
    for (const char* key : {"sk-first", "sk-second"}) rules.keys[store::digest_of_text(key).hex()] = {store::digest_of_text(key).hex()};
  }
};

TEST_F(Keys, EveryRouteNeedsOneButHealth) {
  for (const auto& route : serve::all_routes()) {
    std::string path = route.pattern;
    for (const char* open : {"{...}", "{}"})
      while (path.find(open) != std::string::npos) path.replace(path.find(open), std::string(open).size(), "tiny");
    for (const char* header : {"", "Authorization: Bearer wrong\r\n", "Authorization: Basic c2stZmlyc3Q=\r\n",
                               "Authorization: sk-first\r\n", "Cookie: key=sk-first\r\n"}) {
      const Reply reply = ask(with_body(route.method, path + "?api_key=sk-first", "{}", header));
      if (path == "/health") {
        EXPECT_EQ(reply.status, 200);
        continue;
      }
      EXPECT_EQ(reply.status, 401) << route.method << " " << path << " " << header;
      EXPECT_EQ(reply.headers.at("www-authenticate"), "Bearer");
      if (std::string(route.method) != "HEAD") {
        EXPECT_TRUE(reply.json().contains("error")) << path;
      }
    }
  }
  EXPECT_EQ(get("/api/version", "Authorization: Bearer sk-second\r\n").status, 200);
  EXPECT_EQ(get("/api/version", "authorization: bearer sk-first\r\n").status, 200);
  EXPECT_EQ(get("/api/version", "X-Api-Key: sk-first\r\n").status, 401);
  EXPECT_EQ(post("/v1/messages", Json::object(), "X-Api-Key: sk-first\r\n").status, 400);
  EXPECT_EQ(
      ask(head("OPTIONS", "/api/chat", "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n")).status,
      204);
}

TEST_F(Http, IsStoppedBeforeItRuns) {
  serve::ServerOptions options;
  options.port = 0;
  serve::Server early(options, *router_);
  early.stop();
  early.run();  // returns
  EXPECT_EQ(early.open_connections(), 0);
}

}  // namespace
}  // namespace mynah::test
