// API keys: what a key file may say, scopes and limits over HTTP, keys that come and go, and the record of what was done to models.
#include "base/file.h"
#include "serve/audit_log.h"
#include "serve/served.h"

namespace mynah::test {
namespace {

using serve::ApiKey;
using serve::Scope;

ApiKey key_of_line(const std::string& line) { return *serve::parse_key_line(line, "keys"); }

TEST(KeyFile, ALineIsTheKeyOrItsDigestAndWhatLimitsIt) {
  const std::string digest = store::digest_of_text("secret").hex();
  EXPECT_EQ(key_of_line("secret").digest, digest);
  EXPECT_EQ(key_of_line("  secret\t \r").digest, digest);
  EXPECT_EQ(key_of_line("secret").scopes, serve::kAllScopes);
  const ApiKey key = key_of_line("sha256:" + digest + " requests-per-minute=5 name=ci scopes=metrics,infer tokens-per-day=700 expires=2031-02-03");
  EXPECT_EQ(key.digest, digest);
  EXPECT_EQ(key.name, "ci");
  EXPECT_TRUE(key.may(Scope::infer) && key.may(Scope::metrics) && key.may(Scope::any));
  EXPECT_FALSE(key.may(Scope::manage));
  EXPECT_EQ(key.requests_per_minute, 5);
  EXPECT_EQ(key.tokens_per_day, 700);
  EXPECT_EQ(key.expires, "2031-02-03");
  EXPECT_EQ(key_of_line(key.line()).line(), key.line());
  EXPECT_FALSE(serve::parse_key_line(" \r", "keys") || serve::parse_key_line("# of the team", "keys"));
  for (const char* bad : {"secret more", "secret scopes=all", "secret scopes=", "secret name=", "secret requests-per-minute=0", "secret tokens-per-day=1e3", "secret expires=tomorrow", "secret expires=2031-2-3", "sha256:12"})
    EXPECT_THROW(key_of_line(bad), Error) << bad;
  std::vector<std::string> complaints;
  EXPECT_EQ(serve::parse_keys("# x\none\r\n\ntwo scopes=none\nthree name=c", "f", &complaints).size(), 2u);
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("f: line 4"), std::string::npos) << complaints[0];
  EXPECT_EQ(complaints[0].find("two"), std::string::npos) << complaints[0];  // keys are in no message
  const std::string made = serve::new_key();
  EXPECT_EQ(made.size(), 3u + 64u);
  EXPECT_NE(made, serve::new_key());
}

TEST(KeyUse, LimitsFlowOffAndEndAtMidnight) {
  serve::KeyUse use;
  ApiKey key{"a"};
  key.requests_per_minute = 3;
  const auto now = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()) + std::chrono::hours(23);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(use.refuse_request(key, now));
  EXPECT_EQ(use.refuse_request(key, now), 20);
  EXPECT_EQ(use.refuse_request(key, now + std::chrono::seconds(19)), 1);
  EXPECT_FALSE(use.refuse_request(key, now + std::chrono::seconds(20)));
  EXPECT_TRUE(use.refuse_request(key, now + std::chrono::seconds(20)));
  EXPECT_TRUE(use.refuse_request(key, now - std::chrono::hours(1)));  // a clock that is set back gives nothing away
  ApiKey other{"b"};
  other.tokens_per_day = 10;
  EXPECT_FALSE(use.refuse_request(other, now));
  use.spend_tokens("b", 9, now);
  EXPECT_FALSE(use.refuse_request(other, now));
  use.spend_tokens("b", 9, now);
  EXPECT_EQ(use.refuse_request(other, now), 3601);
  EXPECT_FALSE(use.refuse_request(other, now + std::chrono::hours(1)));
}

class ScopedKeys : public Served {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions&, serve::AccessRules& rules) override {
    write_file(file_ = folder_ / "keys", "all\ninfer name=app scopes=infer requests-per-minute=3\nmanage name=ops scopes=manage\nmetrics scopes=metrics\nfew scopes=infer tokens-per-day=4\nold expires=2020-01-01\n");
    rules.key_file = file_.string();
    rules.keys = serve::read_key_file(rules.key_file);
  }
  static std::string bearer(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }
  Reply generate(const std::string& key) const { return post("/api/generate", {{"model", "tiny"}, {"prompt", "a"}, {"stream", false}, {"options", {{"num_predict", 4}}}}, bearer(key)); }
  fs::path file_;
};

TEST_F(ScopedKeys, AKeyMayWhatItsScopesSay) {
  for (const auto& route : serve::all_routes()) {
    std::string path = route.pattern;
    for (const char* open : {"{...}", "{}"})
      while (path.find(open) != std::string::npos) path.replace(path.find(open), std::string(open).size(), "none");
    if (std::string(route.method) == "HEAD") continue;
    const bool manage = route.scope == Scope::manage, any = route.scope == Scope::any;
    EXPECT_EQ(ask(with_body(route.method, path, "{}", bearer("manage"))).status == 403, !manage && !any) << route.method << " " << path;
    EXPECT_EQ(ask(with_body(route.method, path, "{}", bearer("metrics"))).status == 403, path != "/metrics" && !any) << route.method << " " << path;
  }
  const Reply refused = post("/api/copy", {{"source", "tiny"}, {"destination", "mine"}}, bearer("few"));
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.json()["error"].get<std::string>().find("\"manage\""), std::string::npos) << refused.body;
  EXPECT_FALSE(service_->models.store().find("mine"));
  const Reply expired = get("/api/tags", bearer("old"));
  EXPECT_EQ(expired.status, 401);
  EXPECT_NE(expired.body.find("expired"), std::string::npos);
  EXPECT_EQ(generate("all").status, 200);
}

TEST_F(ScopedKeys, LimitsAreEachKeysOwn) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(generate("infer").status, 200);
  const Reply refused = generate("infer");
  EXPECT_EQ(refused.status, 429);
  EXPECT_GE(std::stoi(refused.headers.at("retry-after")), 1);
  const Reply openai = post("/v1/chat/completions", {{"model", "tiny"}}, bearer("infer"));
  EXPECT_EQ(openai.status, 429);
  EXPECT_EQ(openai.json()["error"]["type"], "rate_limit_error");
  EXPECT_EQ(generate("all").status, 200);
  EXPECT_EQ(generate("few").status, 200);
  Reply spent = generate("few");  // the tokens of an answer are counted once it is sent
  for (int i = 0; i < 5000 && spent.status == 200; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    spent = generate("few");
  }
  EXPECT_EQ(spent.status, 429);
  EXPECT_GE(std::stoi(spent.headers.at("retry-after")), 1);
}

TEST_F(ScopedKeys, KeysComeAndGoWhileTheServerRuns) {
  const auto becomes = [&](const std::string& key, int status) {
    for (int i = 0; i < 5000; ++i) {
      if (get("/api/tags", bearer(key)).status == status) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  };
  EXPECT_EQ(get("/api/tags", bearer("new")).status, 401);
  write_file(file_, "new\n");
  EXPECT_TRUE(becomes("new", 200));
  EXPECT_EQ(get("/api/tags", bearer("all")).status, 401);
  write_file(file_, "");  // nobody, and not everybody
  EXPECT_TRUE(becomes("new", 401));
  EXPECT_EQ(get("/api/tags").status, 401);
  fs::remove(file_);
  EXPECT_EQ(get("/api/tags").status, 401);
}

TEST_F(ScopedKeys, WhatIsDoneToModelsIsWrittenDown) {
  const fs::path logs = folder_ / "logs";
  service_->audit = std::make_unique<serve::AuditLog>(logs);
  EXPECT_EQ(post("/api/copy", {{"source", "tiny"}, {"destination", "mine"}}, bearer("manage")).status, 200);
  EXPECT_EQ(post("/api/copy", {{"source", "tiny"}, {"destination", "other"}}, bearer("few")).status, 403);
  EXPECT_EQ(post("/api/copy", {{"source", "tiny"}, {"destination", "other"}}, bearer("wrong")).status, 401);
  EXPECT_EQ(ask(with_body("DELETE", "/api/delete", R"({"model":"mine"})", bearer("manage"))).status, 200);
  EXPECT_EQ(post("/api/create", {{"model", "made"}, {"from", "nothing"}}, bearer("manage")).status, 404);
  std::vector<Json> lines;
  const auto read = [&] {
    lines.clear();
    return serve::AuditLog::read(logs, [&](const std::string& line) { lines.push_back(Json::parse(line)); });
  };
  for (int i = 0; i < 5000 && (read(), lines.size() < 4); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(read());
  ASSERT_EQ(lines.size(), 4u);
  const auto fits = [&](size_t i, const char* route, const Json& model, int status, bool done, const Json& who) {
    EXPECT_EQ(lines[i]["route"], route);
    EXPECT_EQ(lines[i].value("model", "-"), model) << lines[i];
    EXPECT_EQ(lines[i]["status"], status);
    EXPECT_EQ(lines[i]["done"], done);
    EXPECT_EQ(lines[i].value("key_name", "-"), who);
  };
  fits(0, "/api/copy", "mine", 200, true, "ops");
  fits(1, "/api/copy", "-", 403, false, "-");  // its body was not read
  fits(2, "/api/delete", "mine", 200, true, "ops");
  fits(3, "/api/create", "made", 404, false, "ops");
  const std::string text = read_text_file(serve::AuditLog::file(logs));
  EXPECT_EQ(text.find("manage"), std::string::npos);  // a digest's beginning, never a key
  // A line that is changed, and one that is taken out, show.
  std::string changed = text;
  changed.replace(changed.find("mine"), 4, "fine");
  write_file(serve::AuditLog::file(logs), changed);
  EXPECT_EQ(read(), 2);
  write_file(serve::AuditLog::file(logs), text.substr(text.find('\n') + 1));
  EXPECT_EQ(read(), 1);
  // What a full disk has cut off costs one line.
  write_file(serve::AuditLog::file(logs), text + "{\"ti");
  service_->audit->write({{"route", "next"}});
  EXPECT_FALSE(serve::AuditLog::read(logs, [](const std::string&) {}));
}

TEST_F(ScopedKeys, ALineThatCannotBeWrittenDownIsSaid) {
  serve::AuditLog audit(folder_ / "logs");
  const fs::path file = serve::AuditLog::file(folder_ / "logs");
  fs::remove(file);
  fs::create_directory(file);
  testing::internal::CaptureStderr();
  audit.write({{"route", "next"}});
  EXPECT_NE(testing::internal::GetCapturedStderr().find("not written down: " + file.string()), std::string::npos);
}

}  // namespace
}  // namespace mynah::test
