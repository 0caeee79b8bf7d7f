// Every field of every route with values of every type: whatever comes gets a whole answer, and never the server's own
// failure.
#include "serve/multipart.h"
#include "served.h"

namespace mynah::test {
namespace {

class AllFields : public Served {};

// A body that every route finds its own fields in.
Json base_body() {
  return {{"model", "tools"},
          {"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})},
          {"prompt", "x"},
          {"inputs", "x"},
          {"input", "x"},
          {"query", "x"},
          {"texts", {"a", "b"}},
          {"ids", {1, 2}},
          {"max_tokens", 1},
          {"max_output_tokens", 1},
          {"parameters", {{"max_new_tokens", 1}}},
          {"options", {{"num_predict", 1}}},
          {"stream", false},
          {"instance_id", "bert"},
          {"source", "tiny"},
          {"destination", "other"}};
}

bool has_form_of_dialect(const std::string& path, const Json& json) {
  if (!json.is_object() || !json.contains("error")) return false;
  const Json& error = json["error"];
  if (path.starts_with("/v1/messages"))
    return json.value("type", "") == "error" && error["message"].is_string() && error["type"].is_string();
  if (path.starts_with("/v1/") || path.starts_with("/api/v0") || path.starts_with("/api/v1"))
    return error.is_object() && error["message"].is_string() && error["type"].is_string() && error.contains("param");
  return error.is_string() || error.is_array();
}

TEST_F(AllFields, WrongTypesAreTheRequestsFault) {
  const Json document = get("/openapi.json").json();
  const Json values = {5,
                       -1,
                       1.5,
                       1e300,
                       "x",
                       "",
                       true,
                       nullptr,
                       Json::array(),
                       {"x", 5},
                       Json::object(),
                       {{"type", 5}, {"a", Json::array()}},
                       Json::array({Json::object()})};
  size_t asked = 0;
  for (const auto& [pattern, methods] : document["paths"].items()) {
    if (pattern == "/api/delete" || pattern == "/api/pull") continue;
    std::string path = pattern;
    for (size_t at; (at = path.find('{')) != std::string::npos;)
      path.replace(at, path.find('}', at) - at + 1,
                   pattern.starts_with("/pipeline") && at < 12 ? "text-generation" : "tools");
    for (const auto& [method, what] : methods.items()) {
      if (method != "post" || !what.contains("requestBody") ||
          !what["requestBody"]["content"].contains("application/json"))
        continue;
      for (const auto& [field, schema] :
           what["requestBody"]["content"]["application/json"]["schema"]["properties"].items())
        for (const Json& value : values) {
          if ((field == "parameters" || field == "options") && (value.is_object() || value.is_null()))
            continue;  // without a limit
          Json body = base_body();
          body[field] = value;
          if (pattern == "/api/create") body["model"] = field == "model" ? value : Json("made");
          const Reply reply = post(path, body);
          ++asked;
          ASSERT_TRUE(reply.complete) << path << " " << field << " " << value;
          ASSERT_NE(reply.status, 500) << path << " " << field << " " << value << " " << reply.body;
          if (reply.status >= 400) {
            ASSERT_TRUE(has_form_of_dialect(path, reply.json()))
                << path << " " << field << " " << value << " " << reply.body;
          }
        }
    }
  }
  EXPECT_GT(asked, 2000u);
  EXPECT_EQ(
      post("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"stream", false}, {"options", {{"num_predict", 1}}}})
          .status,
      200);
}

TEST_F(AllFields, BodiesThatAreCutOrChanged) {
  const std::string whole = base_body().dump();
  Client* client = nullptr;
  std::unique_ptr<Client> kept;
  for (const char* path :
       {"/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/models/tiny", "/generate", "/embed"})
    for (size_t i = 0; i < whole.size(); i += 7) {
      std::string body = whole.substr(0, i);
      if (i % 2) body = whole, body[i] = static_cast<char>("\"{}[],:\\x\0"[i % 10]);
      if (!client) {
        kept = std::make_unique<Client>(port());
        client = kept.get();
      }
      client->send(with_body("POST", path, body));
      const Reply reply = client->receive();
      ASSERT_TRUE(reply.complete) << path << " " << body;
      ASSERT_NE(reply.status, 500) << path << " " << body << " " << reply.body;
      if (reply.headers.count("connection") && reply.headers.at("connection") == "close") client = nullptr;
    }
}

TEST(Forms, PartsAndWhatIsNone) {
  const std::string type = "multipart/form-data; boundary=\"b-1\"";
  const auto parts = serve::parse_form(
      "--b-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".wav\"\r\nContent-Type: "
      "audio/wav\r\n\r\n\r\nRIFF\r\n--b\r\n--b-1\r\n"
      "content-disposition: form-data; name=model\r\n\r\nm\r\n--b-1--\r\n",
      type);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].file_name, "a \"b\".wav");
  EXPECT_EQ(parts[0].content, "\r\nRIFF\r\n--b");
  EXPECT_EQ(parts[1].name, "model");
  EXPECT_EQ(parts[1].content, "m");
  for (const char* body :
       {"", "--b-1", "--b-1\r\n", "--b-1\r\n\r\n--b-1--", "--b-1\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b-1--",
        "--b-1\r\nContent-Disposition: form-data; name=a\r\n\r\nx", "--b-1xx\r\n"})
    EXPECT_THROW(serve::parse_form(body, type), serve::ApiError) << body;
  EXPECT_THROW(serve::parse_form("--b-1--", "text/plain"), serve::ApiError);
  EXPECT_THROW(serve::parse_form("--b-1--", "multipart/form-data"), serve::ApiError);
}

TEST_F(AllFields, SoundsNeedAFormAndAModelForThem) {
  const auto form = [](const std::string& more) {
    return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFFxxxx\r\n" + more +
           "--b--\r\n";
  };
  const auto field = [](const std::string& name, const std::string& value) {
    return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  };
  const auto send = [&](const std::string& body) {
    return ask(head("POST", "/v1/audio/transcriptions",
                    "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\n") +
               body);
  };
  EXPECT_EQ(send(form("")).status, 400);
  EXPECT_EQ(send(form(field("model", "nothing"))).status, 404);
  EXPECT_EQ(send(form(field("model", "tiny"))).status, 400);
  EXPECT_EQ(send(form(field("model", "tiny") + field("response_format", "mp4"))).json()["error"]["param"],
            "response_format");
  EXPECT_EQ(send(form(field("model", "tiny") + field("temperature", "hot"))).json()["error"]["param"], "temperature");
  EXPECT_EQ(post("/v1/audio/transcriptions", {{"model", "tiny"}}).status, 400);
  EXPECT_EQ(post("/v1/audio/speech", {{"model", "tiny"}, {"input", "x"}}).status, 400);
  const auto told = post("/v1/audio/speech", {{"model", "tiny"}, {"input", "x"}, {"instructions", "sadly"}});
  EXPECT_EQ(told.status, 400);
  EXPECT_NE(told.body.find("instructions"), std::string::npos);
}

}  // namespace
}  // namespace mynah::test
