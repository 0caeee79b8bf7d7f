// Many answers at once: the same bytes as alone, shared beginnings, cancelled answers, full queues, the end of the
// server.
#include "serve/served.h"

namespace mynah::test {
namespace {

class Load : public Served {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions& models, serve::AccessRules&) override {
    models.scheduler.slots = 4;
    models.scheduler.queue = 64;
  }
  static Json chat(const std::string& text, int tokens) {
    return {{"model", "tiny"},
            {"messages", Json::array({Json{{"role", "user"}, {"content", text}}})},
            {"temperature", 0},
            {"max_tokens", tokens}};
  }
};

TEST_F(Load, TheSameBytesAloneAndInCompany) {
  std::vector<std::string> alone, prompts;
  for (int i = 0; i < 10; ++i)
    prompts.push_back(std::string(static_cast<size_t>(i * 37 + 1), static_cast<char>('a' + i)) + "?");
  for (const auto& prompt : prompts)
    alone.push_back(post("/v1/chat/completions", chat(prompt, 30 + static_cast<int>(prompt.size() % 7)))
                        .json()["choices"][0]["message"]["content"]);
  post("/api/generate", {{"model", "tiny"}, {"keep_alive", 0}});  // a fresh cache
  std::vector<std::string> together(prompts.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < prompts.size(); ++i)
    clients.emplace_back([&, i] {
      together[i] = post("/v1/chat/completions", chat(prompts[i], 30 + static_cast<int>(prompts[i].size() % 7)))
                        .json()["choices"][0]["message"]["content"];
    });
  for (auto& client : clients) client.join();
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(together[i], alone[i]) << i;
}

TEST_F(Load, SharedBeginningsAreComputedOnce) {
  const std::string system(400, 's');
  std::vector<std::thread> clients;
  std::atomic<int> cached{0};
  for (int i = 0; i < 6; ++i)
    clients.emplace_back([&, i] {
      Json body = chat("question " + std::to_string(i), 4);
      body["messages"].insert(body["messages"].begin(), Json{{"role", "system"}, {"content", system}});
      if (post("/v1/chat/completions", body).json()["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>() >=
          400)
        ++cached;
    });
  for (auto& client : clients) client.join();
  EXPECT_EQ(cached, 5);  // all but the first
}

TEST_F(Load, ACancelledAnswerFreesItsSlot) {
  // What a client may have sent behind its request.
  const std::string behind[] = {"", "\r\n", head("GET", "/health"), head("GET", "/health") + "GET /hea"};
  for (const bool stream : {true, false})
    for (const std::string& more : behind) {
      Json body = chat("x", 4000);
      body["stream"] = stream;
      body["logit_bias"] = {{"257", -100}};  // no end
      const uint64_t before = service_->metrics.cancelled;
      auto client = std::make_unique<Client>(port());
      client->send(with_body("POST", "/v1/chat/completions", body.dump()));
      ASSERT_TRUE(wait_for_running(1));
      if (stream) {
        EXPECT_TRUE(client->read_until("data: "));
      }
      client->send(more);
      client.reset();
      ASSERT_TRUE(wait_for_running(0)) << stream << more;
      for (int i = 0; i < 1000 && service_->metrics.cancelled == before; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      EXPECT_EQ(service_->metrics.cancelled, before + 1) << stream << more;  // it did not go on to its end
    }
  EXPECT_EQ(post("/v1/chat/completions", chat("y", 3)).status, 200);
}

TEST_F(Load, RequestsSentAheadAreAnsweredInTurn) {
  Client client(port());
  std::string ahead = with_body("POST", "/v1/chat/completions", chat("x", 200).dump());
  client.send(ahead);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // mostly it is at work then; on a busy machine it may be before or behind, which changes no answer
  ahead.clear();
  for (int i = 0; i < 900; ++i) ahead += head("GET", "/health", "X-Long: " + std::string(100, 'x') + "\r\n");  // more than a server keeps
  client.send(ahead);
  EXPECT_EQ(client.receive().status, 200);
  for (int i = 0; i < 900; ++i) ASSERT_EQ(client.receive().body, "{\"status\":\"ok\"}") << i;
}

TEST_F(Load, VectorsThatNobodyWaitsForAreNotComputed) {
  Json texts = Json::array();
  for (int i = 0; i < 40000; ++i) texts.push_back(std::string(60, static_cast<char>('a' + i % 26)));
  post("/api/embed", {{"model", "bert"}, {"input", "x"}});
  {
    Client client(port());
    client.send(with_body("POST", "/api/embed", Json{{"model", "bert"}, {"input", texts}}.dump()));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const std::string left = "mynah_http_requests_total{route=\"/api/embed\",code=\"499\"} 1";
  bool seen = false;
  for (int i = 0; i < 6000 && !seen; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    seen = get("/metrics").body.find(left) != std::string::npos;
  }
  EXPECT_TRUE(seen);
}

TEST_F(Load, AReaderThatStopsMakesOnlyItselfWait) {
  Json body = chat("x", 4000);
  body["stream"] = true;
  body["logprobs"] = true;
  body["top_logprobs"] = 20;  // large records
  body["logit_bias"] = {{"257", -100}};
  Client stalled(port());
  stalled.send(with_body("POST", "/v1/chat/completions", body.dump()));
  ASSERT_TRUE(wait_for_running(1));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(post("/v1/chat/completions", chat("other", 20)).status, 200);
}

class Queue : public Served {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions& models, serve::AccessRules&) override {
    models.scheduler.slots = 1;
    models.scheduler.queue = 1;
  }
};

TEST_F(Queue, AFullQueueSaysWhenToComeBack) {
  post("/api/generate", {{"model", "tiny"}});
  Json body = {{"model", "tiny"}, {"prompt", "x"}, {"options", {{"num_predict", 3000}, {"temperature", 0}}}};
  Client first(port()), second(port());
  first.send(with_body("POST", "/api/generate", body.dump()));
  ASSERT_TRUE(wait_for_running(1));
  second.send(with_body("POST", "/api/generate", body.dump()));
  for (int i = 0; i < 10000; ++i) {
    int64_t waiting = 0;
    for (const auto& m : service_->models.loaded()) waiting += m.counts.waiting;
    if (waiting == 1) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const Reply third = post("/api/generate", body);
  EXPECT_EQ(third.status, 503);
  EXPECT_GE(std::stoi(third.headers.at("retry-after")), 1);
  EXPECT_NE(third.json()["error"].get<std::string>().find("server busy"), std::string::npos);
  first.close();
  EXPECT_TRUE(second.read_until("\"done\":false"));
}

TEST_F(Queue, TheEndWaitsForAnswersUnderWay) {
  Json body = {{"model", "tiny"}, {"prompt", "x"}, {"options", {{"num_predict", 300}, {"temperature", 0}}}};
  Client client(port()), idle(port());
  client.send(with_body("POST", "/api/generate", body.dump()));
  ASSERT_TRUE(client.read_until("\"done\":false"));
  server_->stop();
  const Reply reply = client.receive();
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.lines().back()["done"], true);
  EXPECT_TRUE(client.is_closed());
  EXPECT_TRUE(idle.is_closed());
  thread_.join();
  EXPECT_THROW(Client{port()}, std::runtime_error);
  thread_ = std::thread([] {});
}

}  // namespace
}  // namespace mynah::test
