// Pulls from a registry that speaks Ollama's protocol, and Ollama's own store read in place.
#include <nlohmann/json.hpp>

#include "store/store_fixture.h"

namespace mynah::test {
namespace {

class OllamaTest : public StoreTest {
 protected:
  OllamaTest()
      : cdn([this](const Request& r) { return blob(r, r.path.substr(1)); }),
        server([this](const Request& r) { return serve(r); }) {
    layers = {{"model", "GGUF" + some_bytes(200000, 9)},
              {"template", "{{ .Prompt }}"},
              {"params", "{\"stop\":[\"x\"]}"},
              {"license", "MIT License\n\ntext"}};
  }
  std::string manifest() const {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& [role, bytes] : layers)
      rows.push_back({{"mediaType", "application/vnd.ollama.image." + role},
                      {"digest", digest_of(role, bytes)},
                      {"size", bytes.size()}});
    return nlohmann::json{{"schemaVersion", 2},
                          {"config",
                           {{"mediaType", "application/vnd.docker.container.image.v1+json"},
                            {"digest", store::digest_of_text("{}").with_prefix()},
                            {"size", 2}}},
                          {"layers", rows}}
        .dump();
  }
  std::string digest_of(const std::string& role, const std::string& bytes) const {
    return role == bad_role ? bad_digest : store::digest_of_text(bytes).with_prefix();
  }
  Response blob(const Request& request, const std::string& digest) {
    if (digest == store::digest_of_text("{}").with_prefix()) return HttpServer::file(request, "{}");
    for (const auto& [role, bytes] : layers) {
      if (digest_of(role, bytes) != digest) continue;
      auto response = HttpServer::file(request, bytes);
      if (damage && role == "model") response.body[100] ^= 1;
      return response;
    }
    return {404, {}, ""};
  }
  Response serve(const Request& request) {
    if (request.path == "/v2/library/llama2/manifests/latest" || request.path == "/v2/me/llama2/manifests/7b")
      return {200, {}, manifest()};
    const std::string blobs = "/blobs/";
    const auto at = request.path.find(blobs);
    if (at == std::string::npos) return {404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN"}]})"};
    const std::string digest = request.path.substr(at + blobs.size());
    if (redirect) return {307, {{"Location", cdn.url() + "/" + digest}}, ""};
    return blob(request, digest);
  }
  store::PullOptions insecure() const {
    store::PullOptions options;
    options.insecure = true;
    return options;
  }
  std::string name(const std::string& rest = "library/llama2") const { return "ollama:" + server.url() + "/" + rest; }

  std::vector<std::pair<std::string, std::string>> layers;
  std::string bad_role, bad_digest;
  bool redirect = false, damage = false;
  HttpServer cdn, server;
};

TEST_F(OllamaTest, PullsAllLayers) {
  for (const bool with_redirect : {false, true}) {
    redirect = with_redirect;
    store::Store s(settings());
    const auto model = s.pull(name(), insecure());
    EXPECT_EQ(model.licence, "MIT License");
    const auto found = s.resolve(name());
    ASSERT_TRUE(found);
    EXPECT_EQ(found->path.filename(), "model.gguf");
    EXPECT_EQ(read_text_file(found->path), layers[0].second);
    EXPECT_EQ(read_text_file(found->path.parent_path() / "template"), "{{ .Prompt }}");
    ASSERT_NE(model.find_role("params"), nullptr);
    EXPECT_GT(s.remove(name()), 200000u);
  }
  EXPECT_GT(cdn.requests().size(), 0u);
}

TEST_F(OllamaTest, NamespaceTagAndMissingScheme) {
  store::Store s(settings());
  s.pull("ollama:" + server.host() + "/me/llama2:7b", insecure());
  EXPECT_EQ(s.list()[0].name, "ollama:" + server.host() + "/me/llama2:7b");
  EXPECT_EQ(error_of([&] { s.pull(name("me/llama2:8b"), insecure()); }), "not_found");
}

TEST_F(OllamaTest, PlainHttpNeedsPermission) {
  store::Store s(settings());
  std::string message;
  EXPECT_EQ(error_of([&] { s.pull(name()); }, &message), "usage");
  EXPECT_NE(message.find("--insecure"), std::string::npos);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(OllamaTest, WrongBytesAreRefused) {
  damage = true;
  store::Store s(settings());
  EXPECT_EQ(error_of([&] { s.pull(name(), insecure()); }), "integrity");
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(partial_files(), 0u);
}

TEST_F(OllamaTest, DigestsThatArePathsAreRefused) {
  bad_role = "template";
  for (const char* digest : {"sha256:../../../../tmp/evil", "../../x", "", "sha256:0123",
                             "sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    bad_digest = digest;
    store::Store s(settings());
    EXPECT_EQ(error_of([&] { s.pull(name(), insecure()); }), "integrity") << digest;
    EXPECT_TRUE(s.list().empty());
  }
}

TEST_F(OllamaTest, HostileManifestsAreRefused) {
  std::string answer;
  HttpServer hostile([&](const Request&) { return Response{200, {}, answer}; });
  const std::string digest = store::digest_of_text("x").with_prefix();
  for (const std::string& text :
       {std::string("["), std::string("{}"), std::string("[]"), std::string(R"({"layers":[]})"),
        std::string(R"({"layers":[1]})"),
        R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" + digest + R"(","size":-1}]})",
        R"({"layers":[{"mediaType":"application/vnd.ollama.image.../x","digest":")" + digest + R"(","size":1}]})",
        std::string(5000, '[')}) {
    answer = text;
    EXPECT_EQ(error_of([&] { store::Store(settings()).pull("ollama:" + hostile.url() + "/a/b", insecure()); }),
              "integrity")
        << text.substr(0, 80);
  }
}

TEST_F(OllamaTest, OwnStoreIsReadInPlace) {
  const std::string text = manifest();
  folder_.write("ollama/manifests/registry.ollama.ai/library/llama2/latest", text);
  store::Store s(settings());
  EXPECT_FALSE(s.resolve("ollama:llama2"));  // blobs are missing
  for (const auto& [role, bytes] : layers)
    folder_.write("ollama/blobs/sha256-" + store::digest_of_text(bytes).hex(), bytes);
  folder_.write("ollama/blobs/sha256-" + store::digest_of_text("{}").hex(), "{}");
  for (const char* asked : {"ollama:llama2", "llama2", "llama2:latest"}) {
    const auto found = s.resolve(asked);
    ASSERT_TRUE(found) << asked;
    EXPECT_EQ(found->place, store::Resolved::Place::ollama_cache);
    EXPECT_EQ(read_text_file(found->path), layers[0].second);
    EXPECT_EQ(read_text_file(found->path.parent_path() / "template"), "{{ .Prompt }}");
  }
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(error_of([&] { s.resolve("llama2:7b"); }), "not_found");
}

}  // namespace
}  // namespace mynah::test
