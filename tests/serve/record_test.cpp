// The log of requests, and records that a server answers with the same bytes.
#include "serve/record.h"

#include "base/file.h"
#include "serve/request_log.h"
#include "serve/served.h"

namespace mynah::test {
namespace {

std::vector<Json> log_lines(const fs::path& folder) {
  std::vector<Json> all;
  for (const fs::path& file : serve::RequestLog::files(folder)) {
    std::istringstream text(read_text_file(file));
    for (std::string line; std::getline(text, line);) all.push_back(Json::parse(line));
  }
  return all;
}

TEST(RequestLog, KeepsWithinItsBoundsWhoeverWrites) {
  std::string name = (fs::temp_directory_path() / "mynah_log_XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const fs::path folder = fs::path(name) / "logs";
  constexpr uint64_t kBytes = 2000;
  {
    serve::RequestLog first(folder, {kBytes, 3}), second(folder, {kBytes, 3});  // two servers
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; ++w)
      writers.emplace_back([&, w] {
        for (int i = 0; i < 200; ++i) (w % 2 ? first : second).write({{"writer", w}, {"number", i}});
      });
    for (auto& writer : writers) writer.join();
    first.write({{"writer", 9}, {"number", 0}});
  }
  const auto files = serve::RequestLog::files(folder);
  EXPECT_EQ(files.size(), 3u);
  for (const auto& file : files) EXPECT_LE(fs::file_size(file), kBytes + 100) << file;  // both may write their last line at once
  const auto lines = log_lines(folder);  // every line is whole
  ASSERT_GT(lines.size(), 100u);
  EXPECT_EQ(lines.back()["writer"], 9);
  std::map<int, int> last;
  for (const Json& line : lines) {  // each writer's lines in order
    const int writer = line["writer"].get<int>(), number = line["number"].get<int>();
    EXPECT_TRUE(!last.count(writer) || number > last[writer]) << writer;
    last[writer] = number;
  }
  fs::remove_all(name);
}

class Logged : public Served {
 protected:
  void SetUp() override {
    Served::SetUp();
    service_->log = std::make_unique<serve::RequestLog>(folder_ / "logs");
  }
  // Lines are written once the client has its answer.
  std::vector<Json> lines(size_t count) const {
    for (int i = 0; i < 10000 && log_lines(folder_ / "logs").size() < count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return log_lines(folder_ / "logs");
  }
};

TEST_F(Logged, SaysWhatWasAskedButNotTheWords) {
  post("/api/generate", {{"model", "tiny"}, {"prompt", "secret words"}, {"stream", false}, {"options", {{"num_predict", 5}, {"temperature", 0}}}}, "X-Request-Id: my-own-7\r\n");
  post("/v1/embeddings", {{"model", "bert"}, {"input", "secret words"}});
  post("/api/chat", {{"model", "none"}, {"messages", Json::array({{{"role", "user"}, {"content", "secret words"}}})}});
  get("/secret/words");
  post("/api/delete", {{"model", "tools"}});
  ask(with_body("DELETE", "/api/delete", Json{{"model", "tools"}}.dump()));
  const auto all = lines(6);
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0]["id"], "my-own-7");
  EXPECT_EQ(all[0]["method"], "POST");
  EXPECT_EQ(all[0]["route"], "/api/generate");
  EXPECT_EQ(all[0]["status"], 200);
  EXPECT_EQ(all[0]["model"], "tiny");
  EXPECT_EQ(all[0]["generated_tokens"], 5);
  EXPECT_GT(all[0]["prompt_tokens"].get<int>(), 12);
  EXPECT_GE(all[0]["seconds"].get<double>(), all[0]["first_token_seconds"].get<double>());
  EXPECT_EQ(all[0]["peer"], "127.0.0.1");
  EXPECT_EQ(all[0]["time"].get<std::string>().size(), 30u);
  EXPECT_EQ(all[1]["route"], "/v1/embeddings");
  EXPECT_EQ(all[1]["model"], "bert");
  EXPECT_EQ(all[2]["status"], 404);
  EXPECT_EQ(all[3]["route"], "other");
  EXPECT_EQ(all[4]["status"], 405);
  EXPECT_EQ(all[5]["method"], "DELETE");
  EXPECT_EQ(all[5]["model"], "tools");
  for (const Json& line : all) EXPECT_EQ(line.dump().find("secret"), std::string::npos) << line;
}

TEST_F(Logged, SaysWhenTheClientLeft) {
  Client client(port());
  const Json endless = {{"model", "tiny"}, {"prompt", "x"}, {"max_tokens", 4000}, {"logit_bias", {{"257", -100}}}};
  client.send(with_body("POST", "/v1/completions", endless.dump()));
  ASSERT_TRUE(wait_for_running(1));
  client.close();
  const auto all = lines(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]["client_left"], true);
  EXPECT_LT(all[0].value("generated_tokens", 0), 4000);
}

class Recorded : public Served {
 protected:
  void SetUp() override {
    Served::SetUp();
    service_->recorder = std::make_unique<serve::Recorder>(folder_ / "records", service_->background);
  }
  std::vector<fs::path> records(size_t count) const {
    std::vector<fs::path> all;
    for (int i = 0; i < 10000 && all.size() < count; ++i) {
      if (i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      all.clear();
      for (const auto& entry : fs::directory_iterator(folder_ / "records"))
        if (entry.path().extension() == ".json") all.push_back(entry.path());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  std::optional<std::string> again(const serve::Record& r, uint64_t seed) const {
    const Reply reply = ask(with_body(r.method, r.target, r.body, std::string(serve::kSeedHeader) + ": " + std::to_string(seed) + "\r\n"));
    return serve::difference(r, reply.status, reply.headers.at("content-type"), reply.body);
  }
};

TEST_F(Recorded, TheSameRequestsGiveTheSameBytes) {
  const Json messages = Json::array({{{"role", "user"}, {"content", "Hello"}}});
  const std::vector<std::pair<std::string, Json>> requests = {
      {"/api/generate", {{"model", "tiny"}, {"prompt", "Hello"}, {"options", {{"num_predict", 12}}}}},
      {"/api/chat", {{"model", "tiny"}, {"messages", messages}, {"stream", false}, {"options", {{"num_predict", 12}, {"temperature", 1.5}}}}},
      {"/v1/chat/completions", {{"model", "tiny"}, {"messages", messages}, {"max_tokens", 12}, {"stream", true}, {"logprobs", true}}},
      {"/v1/chat/completions", {{"model", "tiny"}, {"messages", messages}, {"max_tokens", 12}, {"n", 3}}},
      {"/v1/completions", {{"model", "tiny"}, {"prompt", "Hello"}, {"max_tokens", 12}}},
      {"/v1/responses", {{"model", "tiny"}, {"input", "Hello"}, {"max_output_tokens", 12}, {"stream", true}}},
      {"/v1/messages", {{"model", "tiny"}, {"messages", messages}, {"max_tokens", 12}, {"stream", true}}},
      {"/api/v1/chat", {{"model", "tiny"}, {"input", "Hello"}, {"max_output_tokens", 12}}},
      {"/models/tiny", {{"inputs", "Hello"}, {"parameters", {{"max_new_tokens", 12}, {"do_sample", true}, {"details", true}}}}},
      {"/v1/embeddings", {{"model", "bert"}, {"input", "Hello"}}},
      {"/api/generate", {{"model", "tiny"}, {"prompt", "Hello"}, {"options", {{"num_predict", "many"}}}}}};
  for (const auto& [path, body] : requests) post(path, body);
  get("/api/tags");                            // asks no model
  post("/api/show", {{"model", "tiny"}});      // neither
  post("/api/chat", {{"model", "missing"}});
  const auto files = records(requests.size());
  ASSERT_EQ(files.size(), requests.size());
  EXPECT_EQ(fs::status(folder_ / "records").permissions(), fs::perms::owner_all);
  for (size_t i = 0; i < files.size(); ++i) {
    const serve::Record r = serve::parse_record(read_text_file(files[i]), files[i].string());
    EXPECT_EQ(r.target, requests[i].first);
    EXPECT_EQ(Json::parse(r.body), requests[i].second);
    EXPECT_EQ(again(r, r.seed), std::nullopt) << r.target;
  }
  // Another seed says something else, so the comparison sees a difference.
  const serve::Record first = serve::parse_record(read_text_file(files[0]), "first");
  EXPECT_NE(again(first, first.seed + 1), std::nullopt);
}

TEST_F(Recorded, ASeedThatIsNoneIsRefused) {
  for (const char* seed : {"x", "-1", "1.5", "99999999999999999999999"})
    EXPECT_EQ(ask(with_body("POST", "/api/generate", R"({"model":"tiny","prompt":"x"})", std::string(serve::kSeedHeader) + ": " + seed + "\r\n")).status, 400) << seed;
}

TEST(Record, BytesComeBackAndDamageIsNamed) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const serve::Record r{"2026-01-01T00:00:00Z", "POST", "/models/x?a=1", "audio/wav", "*/*", bytes, UINT64_MAX, 200, "audio/flac", bytes + "x"};
  const serve::Record back = serve::parse_record(serve::record_json(r).dump(), "r");
  EXPECT_EQ(back.body, r.body);
  EXPECT_EQ(back.answer, r.answer);
  EXPECT_EQ(back.seed, UINT64_MAX);
  EXPECT_EQ(serve::difference(r, 200, "audio/flac", bytes + "x"), std::nullopt);
  EXPECT_NE(serve::difference(r, 200, "audio/flac", bytes + "y"), std::nullopt);
  EXPECT_NE(serve::difference(r, 400, "audio/flac", bytes + "x"), std::nullopt);
  EXPECT_NE(serve::difference(r, 200, "audio/wav", bytes + "x"), std::nullopt);
  Json broken = serve::record_json(r);
  broken["request"]["target"] = "/a HTTP/1.1\r\nHost: elsewhere";
  for (const std::string& text : {std::string("{"), std::string("[]"), std::string(R"({"mynah_record":1})"), broken.dump()}) {
    try {
      serve::parse_record(text, "some.json");
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).rfind("some.json: ", 0), 0u) << error.what();
    }
  }
}

TEST(Record, WhatTellsOfTheMomentIsNotCompared) {
  using serve::lasting_part;
  EXPECT_EQ(lasting_part("application/json", R"({"id":"a","created":1,"text":"x","eval_duration":5})"), lasting_part("application/json", R"({"id":"b","created":2,"text":"x"})"));
  EXPECT_NE(lasting_part("application/json", R"({"text":"x"})"), lasting_part("application/json", R"({"text":"y"})"));
  EXPECT_NE(lasting_part("application/json", R"({"id":7})"), lasting_part("application/json", R"({"id":8})"));  // a token's
  EXPECT_EQ(lasting_part("application/x-ndjson", "{\"created_at\":\"a\",\"response\":\"x\"}\n"), lasting_part("application/x-ndjson", "{\"created_at\":\"b\",\"response\":\"x\"}\n"));
  EXPECT_EQ(lasting_part("text/event-stream", "data: {\"id\":\"a\",\"delta\":\"x\"}\n\ndata: [DONE]\n\n"), lasting_part("text/event-stream", "data: {\"id\":\"b\",\"delta\":\"x\"}\n\ndata: [DONE]\n\n"));
  EXPECT_NE(lasting_part("text/event-stream", "event: a\ndata: {}\n\n"), lasting_part("text/event-stream", "event: b\ndata: {}\n\n"));
  EXPECT_EQ(lasting_part("text/plain", "as it is"), "as it is");
}

}  // namespace
}  // namespace mynah::test
