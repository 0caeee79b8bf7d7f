// Pulls from a registry that speaks Ollama's protocol, and Ollama's own store read in place.
#include <openssl/evp.h>


#include "mynah/json.h"
#include "store/registry_auth.h"
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
    Json rows = Json::array();
    for (const auto& [role, bytes] : layers)
      rows.push_back({{"mediaType", "application/vnd.ollama.image." + role},
                      {"digest", digest_of(role, bytes)},
                      {"size", bytes.size()}});
    return Json{{"schemaVersion", 2},
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

std::string bytes_of_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}
std::string ssh_field(const std::string& bytes) {
  return std::string(3, '\0') + static_cast<char>(bytes.size()) + bytes;
}
std::string in_base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return out;
}

// The first test vector of RFC 8032, section 7.1, in the form of an OpenSSH key file.
TEST(RegistryAuth, SignsAsOllamaDoes) {
  const std::string secret = bytes_of_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
                    key = bytes_of_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const std::string one(std::string("\0\0\0\1", 4)), public_key = ssh_field("ssh-ed25519") + ssh_field(key);
  const std::string inner =
      "abcdabcd" + ssh_field("ssh-ed25519") + ssh_field(key) + ssh_field(secret + key) + ssh_field("");
  const auto file = [&](const std::string& cipher) {
    const std::string length{0, 0, static_cast<char>(inner.size() >> 8), static_cast<char>(inner.size())};
    return "-----BEGIN OPENSSH PRIVATE"
           " KEY-----\n" +
           in_base64(std::string("openssh-key-v1\0", 15) + ssh_field(cipher) + ssh_field("none") + ssh_field("") + one +
                     ssh_field(public_key) + length + inner) +
           "\n-----END OPENSSH PRIVATE"
           " KEY-----\n";
  };
  const std::string signature = bytes_of_hex(
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
      "655141438e7a100b");
  EXPECT_EQ(store::sign_with_key(file("none"), ""), in_base64(public_key) + ":" + in_base64(signature));
  EXPECT_EQ(store::sign_with_key(file("aes256-ctr"), ""), "");
  EXPECT_EQ(store::sign_with_key(file("none").substr(0, 120), ""), "");
  EXPECT_EQ(store::sign_with_key("nothing", "x"), "");
}

TEST_F(OllamaTest, TokensComeFromTheRealmOfTheSameHost) {
  std::string realm;
  int asked = 0;
  HttpServer guarded([&](const Request& r) -> Response {
    if (r.path == "/token") {
      ++asked;
      return {
          200,
          {},
          r.query.find("scope=repository%3Alibrary%2Fllama2%3Apull") == std::string::npos ? "{}" : R"({"token":"t1"})"};
    }
    if (r.header("authorization") != "Bearer t1")
      return {401,
              {{"WWW-Authenticate",
                "Bearer realm=\"" + realm + "\",service=\"s\",scope=\"repository:library/llama2:pull\""}},
              "{}"};
    return serve(r);
  });
  realm = guarded.url() + "/token";
  const std::string guarded_name = "ollama:" + guarded.url() + "/library/llama2";
  const store::Store s(settings());
  EXPECT_EQ(s.pull(guarded_name, insecure()).files.size(), 5u);
  EXPECT_EQ(asked, 1);
  s.remove(guarded_name);
  realm = "http://elsewhere.invalid/token";
  EXPECT_EQ(error_of([&] { s.pull(guarded_name, insecure()); }), "auth");
}

}  // namespace
}  // namespace mynah::test
