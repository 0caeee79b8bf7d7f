// Pictures through the server: every dialect gives the answer that the reference gives to the same chat, and what is no picture is
// refused by name.
#include "base/file.h"
#include "serve/served.h"
#include "text/base64.h"

namespace mynah::test {
namespace {

const fs::path kGolden = fs::path(MYNAH_TEST_DATA) / "golden";

std::string base64_of(const std::string& name) { return text::encode_base64(read_text_file(kGolden / "media" / name)); }
std::string data_url(const std::string& name) { return "data:image/png;base64," + base64_of(name); }

// The reference's output for the first case of this model that has these options.
Json reference(const std::string& model, const Json& options) {
  static const Json cases = Json::parse(read_text_file(kGolden / "tasks" / "multimodal_cases.json"));
  for (const Json& c : cases)
    if (c["model"] == model && c["options"] == options) return c["output"];
  throw std::runtime_error("no such case: " + options.dump());
}

class Pictures : public Served {
 protected:
  void SetUp() override {
    Served::SetUp();
    for (const char* model : {"llava", "qwen2_vl", "blip_answers", "vit_words"}) {
      std::vector<store::NewFile> files;
      for (const auto& entry : fs::directory_iterator(kGolden / "tasks" / model)) files.push_back({entry.path().filename().string(), "", entry.path(), {}, {}});
      service_->models.store().create(model, "test", "MIT", files);
    }
  }
  // What the reference says of picture.png, in so many tokens.
  static constexpr int kTokens = 6;
  static std::string said(const std::string& model = "llava") {
    const Json chat = Json::array({{{"role", "user"}, {"content", {{{"type", "image"}}, {{"type", "text"}, {"text", "what is it?"}}}}}});
    return reference(model, {{"text", chat}, {"max_new_tokens", kTokens}})[0]["generated_text"].back()["content"].get<std::string>();
  }
  static Json ollama_chat(const std::string& model, const std::string& image, bool stream = false) {
    return {{"model", model},
            {"stream", stream},
            {"messages", Json::array({{{"role", "user"}, {"content", "what is it?"}, {"images", {image}}}})},
            {"options", {{"temperature", 0}, {"num_predict", kTokens}}}};
  }
  static Json openai_chat(const std::string& model, const Json& image_url) {
    const Json content = {{{"type", "image_url"}, {"image_url", image_url}}, {{"type", "text"}, {"text", "what is it?"}}};
    return {{"model", model}, {"temperature", 0}, {"max_tokens", kTokens}, {"messages", Json::array({{{"role", "user"}, {"content", content}}})}};
  }
};

// Positions of three axes go on behind a picture, also a token at a time.
TEST_F(Pictures, PositionsInRowsAndColumns) {
  const std::string expected = said("qwen2_vl");
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(post("/api/chat", ollama_chat("qwen2_vl", base64_of("picture.png"))).json()["message"]["content"], expected);
  EXPECT_EQ(post("/api/chat", ollama_chat("qwen2_vl", base64_of("picture.png"))).json()["message"]["content"], expected) << "from what is kept of the prompt";
}

TEST_F(Pictures, EveryDialectSaysWhatTheReferenceSays) {
  const std::string expected = said();
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(post("/api/chat", ollama_chat("llava", base64_of("picture.png"))).json()["message"]["content"], expected);
  std::string streamed;
  for (const Json& record : post("/api/chat", ollama_chat("llava", base64_of("picture.png"), true)).lines()) streamed += record["message"]["content"].get<std::string>();
  EXPECT_EQ(streamed, expected);
  EXPECT_EQ(post("/api/generate", {{"model", "llava"}, {"stream", false}, {"prompt", "what is it?"}, {"images", {base64_of("picture.png")}}, {"options", {{"temperature", 0}, {"num_predict", kTokens}}}})
                .json()["response"],
            expected);
  EXPECT_EQ(post("/v1/chat/completions", openai_chat("llava", {{"url", data_url("picture.png")}})).json()["choices"][0]["message"]["content"], expected);
  const Json source = {{"type", "base64"}, {"media_type", "image/png"}, {"data", base64_of("picture.png")}};
  const Json blocks = {{{"type", "image"}, {"source", source}}, {{"type", "text"}, {"text", "what is it?"}}};
  EXPECT_EQ(post("/v1/messages", {{"model", "llava"}, {"temperature", 0}, {"max_tokens", kTokens}, {"messages", Json::array({{{"role", "user"}, {"content", blocks}}})}}).json()["content"][0]["text"],
            expected);
  const Json parts = {{{"type", "input_image"}, {"image_url", data_url("picture.png")}}, {{"type", "input_text"}, {"text", "what is it?"}}};
  EXPECT_EQ(post("/v1/responses", {{"model", "llava"}, {"temperature", 0}, {"max_output_tokens", kTokens}, {"input", Json::array({{{"role", "user"}, {"content", parts}}})}})
                .json()["output"][0]["content"][0]["text"],
            expected);
  const Json input = {{{"type", "image"}, {"data_url", data_url("picture.png")}}, {{"type", "text"}, {"content", "what is it?"}}};
  EXPECT_EQ(post("/api/v1/chat", {{"model", "llava"}, {"temperature", 0}, {"max_output_tokens", kTokens}, {"input", input}}).json()["output"][0]["content"], expected);
}

TEST_F(Pictures, APromptWithItsOwnPlaceForThePicture) {
  const std::string prompt = "user: <image>\nwhat is it? assistant:";
  const std::string whole = reference("llava", {{"text", prompt}, {"max_new_tokens", 9}})[0]["generated_text"];
  const Json answer = post("/api/generate", {{"model", "llava"}, {"raw", true}, {"stream", false}, {"prompt", prompt}, {"images", {base64_of("picture.png")}}, {"options", {{"temperature", 0}, {"num_predict", 9}}}}).json();
  EXPECT_EQ(prompt + answer["response"].get<std::string>(), whole);
}

TEST_F(Pictures, AConversationThatIsGoneOnFromStillHoldsThem) {
  const Json input = {{{"type", "image"}, {"data_url", data_url("picture.png")}}, {{"type", "text"}, {"content", "what is it?"}}};
  const Json first = post("/api/v1/chat", {{"model", "llava"}, {"temperature", 0}, {"max_output_tokens", kTokens}, {"input", input}}).json();
  const Json second = post("/api/v1/chat", {{"model", "llava"}, {"temperature", 0}, {"max_output_tokens", kTokens}, {"input", "who?"}, {"previous_response_id", first["response_id"]}}).json();
  Json chat = ollama_chat("llava", base64_of("picture.png"));
  chat["messages"].push_back({{"role", "assistant"}, {"content", said()}});
  chat["messages"].push_back({{"role", "user"}, {"content", "who?"}});
  EXPECT_EQ(second["output"][0]["content"], post("/api/chat", chat).json()["message"]["content"]);
}

TEST_F(Pictures, TheSameAloneAndInCompany) {
  const std::vector<std::string> names = {"picture.png", "grey.png", "palette.png"};
  std::vector<std::string> alone, together(12);
  for (const auto& name : names) alone.push_back(post("/api/chat", ollama_chat("llava", base64_of(name))).json()["message"]["content"]);
  EXPECT_EQ(post("/api/generate", {{"model", "llava"}, {"keep_alive", 0}}).status, 200);  // a fresh cache
  std::vector<std::thread> clients;
  for (size_t i = 0; i < together.size(); ++i)
    clients.emplace_back([&, i] { together[i] = post("/api/chat", ollama_chat("llava", base64_of(names[i % names.size()]))).json()["message"]["content"]; });
  for (auto& client : clients) client.join();
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i], alone[i % names.size()]) << i;
}

TEST_F(Pictures, TasksOfTheHub) {
  const std::string png = read_text_file(kGolden / "media" / "picture.png");
  const auto bytes = [&](const std::string& path) {
    return ask(head("POST", path, "Content-Type: image/png\r\nContent-Length: " + std::to_string(png.size()) + "\r\n") + png).json();
  };
  const std::string words = bytes("/models/vit_words")[0]["generated_text"];
  const std::string eight = reference("vit_words", {{"max_new_tokens", 8}})[0]["generated_text"];
  EXPECT_EQ(words.substr(0, eight.size()), eight);
  EXPECT_EQ(post("/models/vit_words", {{"inputs", base64_of("picture.png")}, {"parameters", {{"max_new_tokens", 8}}}}).json()[0]["generated_text"], eight);
  const std::string question = "what color is the bird?";
  EXPECT_EQ(post("/models/blip_answers", {{"inputs", {{"image", base64_of("picture.png")}, {"question", question}}}}).json()[0]["answer"], reference("blip_answers", {{"question", question}})[0]["answer"]);
}

TEST_F(Pictures, ModelsSayWhetherTheySee) {
  const auto capabilities = [&](const char* model) { return post("/api/show", {{"model", model}}).json()["capabilities"].dump(); };
  EXPECT_NE(capabilities("llava").find("vision"), std::string::npos);
  EXPECT_EQ(capabilities("tiny").find("vision"), std::string::npos);
  const Json first = get("/api/v1/models").json(), zeroth = get("/api/v0/models").json();
  std::map<std::string, bool> vision;
  for (const Json& m : first["models"]) vision[m["key"].get<std::string>()] = m["capabilities"]["vision"].get<bool>();
  EXPECT_TRUE(vision.at("llava"));
  EXPECT_FALSE(vision.at("tiny"));
  EXPECT_FALSE(vision.at("bert"));
  std::map<std::string, std::string> types;
  for (const Json& m : zeroth["data"]) types[m["id"].get<std::string>()] = m["type"].get<std::string>();
  EXPECT_EQ(types.at("llava"), "vlm");
  EXPECT_EQ(types.at("tiny"), "llm");
  EXPECT_EQ(types.at("bert"), "embeddings");
  EXPECT_EQ(get("/api/v0/models/llava").json()["type"], "vlm");
}

TEST_F(Pictures, WhatIsNoPictureIsRefused) {
  const auto complaint = [&](const Reply& reply) {
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.body;
  };
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("llava", "!!!"))).find("base64"), std::string::npos);
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("llava", ""))).find("base64"), std::string::npos);
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("llava", text::encode_base64("no picture at all")))).find("image"), std::string::npos);
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("llava", "https://example.org/a.png"))).find("fetches nothing"), std::string::npos);
  EXPECT_NE(complaint(post("/v1/chat/completions", openai_chat("llava", {{"url", "http://example.org/a.png"}}))).find("fetches nothing"), std::string::npos);
  EXPECT_NE(complaint(post("/v1/chat/completions", openai_chat("tiny", {{"url", data_url("picture.png")}}))).find("vision"), std::string::npos);
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("tiny", base64_of("picture.png")))).find("vision"), std::string::npos);
  const std::string png = read_text_file(kGolden / "media" / "picture.png");
  EXPECT_NE(complaint(post("/api/chat", ollama_chat("llava", text::encode_base64(png.substr(0, png.size() / 2))))).find("image"), std::string::npos);
  // Base64 as clients write it: in lines, of the URL's alphabet, without its end.
  std::string lines = base64_of("picture.png");
  for (size_t at = 60; at < lines.size(); at += 62) lines.insert(at, "\r\n");
  EXPECT_EQ(post("/api/chat", ollama_chat("llava", lines)).json()["message"]["content"], said());
  std::string url = base64_of("picture.png");
  for (char& c : url) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (url.ends_with('=')) url.pop_back();
  EXPECT_EQ(post("/api/chat", ollama_chat("llava", url)).json()["message"]["content"], said());
}

}  // namespace
}  // namespace mynah::test
