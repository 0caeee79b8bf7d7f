// OpenAI's dialect, Anthropic's and Hugging Face's text generation against tiny random models.
#include "serve/served.h"

namespace mynah::test {
namespace {

class OpenAi : public Served {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions& models, serve::AccessRules&) override { models.served = {}; }
  Json chat(int tokens) const {
    return {{"model", "tiny"},
            {"messages", Json::array({Json{{"role", "user"}, {"content", "Hello"}}})},
            {"temperature", 0},
            {"max_tokens", tokens}};
  }
};

TEST_F(OpenAi, ChatAnswer) {
  const Json json = post("/v1/chat/completions", chat(12)).json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["id"].get<std::string>().rfind("chatcmpl-", 0), 0u);
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["completion_tokens"], 12);
  EXPECT_EQ(json["usage"]["total_tokens"], json["usage"]["prompt_tokens"].get<int>() + 12);
}

TEST_F(OpenAi, ChatStreamsInOrder) {
  Json body = chat(12);
  const std::string text = post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"];
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const Reply reply = post("/v1/chat/completions", body);
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream");
  const auto events = reply.events();
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(events[0]["choices"][0]["delta"], Json({{"role", "assistant"}, {"content", ""}}));
  std::string joined;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_EQ(events[i]["id"], events[0]["id"]);
    EXPECT_EQ(events[i]["created"], events[0]["created"]);
    EXPECT_EQ(events[i]["object"], "chat.completion.chunk");
    if (!events[i]["choices"].empty() && events[i]["choices"][0]["delta"].contains("content"))
      joined += events[i]["choices"][0]["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(joined, text);
  const Json& usage = events[events.size() - 2];
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 12);
  const Json& last = events[events.size() - 3];
  EXPECT_TRUE(last["choices"][0]["delta"].empty());
  EXPECT_EQ(last["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(last["usage"].is_null());
}

TEST_F(OpenAi, SeveralChoices) {
  Json body = chat(8);
  body["n"] = 3;
  body["temperature"] = 1.5;
  body["seed"] = 5;
  const Json json = post("/v1/chat/completions", body).json();
  ASSERT_EQ(json["choices"].size(), 3u);
  EXPECT_NE(json["choices"][0]["message"]["content"], json["choices"][1]["message"]["content"]);
  EXPECT_EQ(json["usage"]["completion_tokens"], 24);
  EXPECT_EQ(post("/v1/chat/completions", body).json()["choices"], json["choices"]);
  body["stream"] = true;
  std::map<int, std::string> texts;
  for (const Json& event : post("/v1/chat/completions", body).events())
    if (event.is_object() && event["choices"][0]["delta"].contains("content"))
      texts[event["choices"][0]["index"].get<int>()] += event["choices"][0]["delta"]["content"].get<std::string>();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(texts[i], json["choices"][static_cast<size_t>(i)]["message"]["content"]) << i;
}

TEST_F(OpenAi, LogProbabilitiesAndBias) {
  Json body = chat(4);
  body["logprobs"] = true;
  body["top_logprobs"] = 3;
  const Json content = post("/v1/chat/completions", body).json()["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 4u);
  for (const Json& token : content) {
    EXPECT_EQ(token["top_logprobs"].size(), 3u);
    EXPECT_EQ(token["top_logprobs"][0]["logprob"], token["logprob"]);  // greedy takes the likeliest
    EXPECT_LE(token["logprob"].get<double>(), 0);
    EXPECT_TRUE(token["bytes"].is_array());
  }
  Json biased = chat(5);
  biased["logit_bias"] = {{"65", 100}};
  EXPECT_EQ(post("/v1/chat/completions", biased).json()["choices"][0]["message"]["content"], "AAAAA");
}

TEST_F(OpenAi, Completions) {
  const Json body = {{"model", "tiny"}, {"prompt", {"Hello", "World"}}, {"max_tokens", 5}, {"temperature", 0}};
  const Json json = post("/v1/completions", body).json();
  EXPECT_EQ(json["object"], "text_completion");
  ASSERT_EQ(json["choices"].size(), 2u);
  EXPECT_EQ(json["choices"][1]["index"], 1);
  const Json one =
      post("/v1/completions", {{"model", "tiny"}, {"prompt", "World"}, {"max_tokens", 5}, {"temperature", 0}}).json();
  EXPECT_EQ(one["choices"][0]["text"], json["choices"][1]["text"]);
  // What an evaluation harness needs: the probabilities of the prompt.
  const Json scored = post("/v1/completions",
                           {{"model", "tiny"}, {"prompt", "World"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 1}})
                          .json()["choices"][0];
  EXPECT_EQ(scored["text"], "World");
  EXPECT_EQ(scored["logprobs"]["tokens"], Json({"W", "o", "r", "l", "d"}));
  EXPECT_TRUE(scored["logprobs"]["token_logprobs"][0].is_null());
  EXPECT_LT(scored["logprobs"]["token_logprobs"][4].get<double>(), 0);
  EXPECT_EQ(scored["logprobs"]["text_offset"], Json({0, 1, 2, 3, 4}));
  const Json ids =
      post("/v1/completions",
           {{"model", "tiny"}, {"prompt", {87, 111, 114, 108, 100}}, {"max_tokens", 5}, {"temperature", 0}})
          .json();
  EXPECT_EQ(ids["choices"].size(), 1u);
  std::string joined;
  for (const Json& event :
       post("/v1/completions",
            {{"model", "tiny"}, {"prompt", "World"}, {"max_tokens", 5}, {"temperature", 0}, {"stream", true}})
           .events())
    if (event.is_object()) joined += event["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(joined, one["choices"][0]["text"]);
}

TEST_F(OpenAi, Errors) {
  const auto error = [&](const Json& body, int status) {
    const Reply reply = post("/v1/chat/completions", body);
    EXPECT_EQ(reply.status, status) << reply.body;
    const Json json = reply.json()["error"];
    for (const char* key : {"message", "type", "param", "code"}) EXPECT_TRUE(json.contains(key)) << key;
    return json;
  };
  Json body = chat(4);
  body["messages"] = Json::array();
  EXPECT_EQ(error(body, 400)["message"], "[] is too short - 'messages'");
  body = chat(4);
  body["model"] = "none";
  EXPECT_EQ(error(body, 404)["type"], "not_found_error");
  body.erase("model");
  error(body, 400);
  const std::pair<const char*, Json> wrong[] = {{"temperature", 3},
                                                {"temperature", -1},
                                                {"top_p", 2},
                                                {"n", 0},
                                                {"max_tokens", "many"},
                                                {"stop", 5},
                                                {"logit_bias", Json::array()},
                                                {"logit_bias", {{"x", 1}}},
                                                {"top_logprobs", 3},
                                                {"stream", 1},
                                                {"tools", "x"},
                                                {"tool_choice", "sometimes"},
                                                {"functions", Json::array({1})},
                                                {"audio", {{"voice", "x"}}},
                                                {"response_format", {{"type", "xml"}}},
                                                {"presence_penalty", 9},
                                                {"messages", "x"},
                                                {"messages", Json::array({1})}};
  for (const auto& [name, value] : wrong) {
    Json bad = chat(4);
    bad[name] = value;
    EXPECT_NE(error(bad, 400)["message"].get<std::string>().find(name), std::string::npos) << name << value;
  }
  body = chat(4);
  body["messages"][0]["content"] =
      Json::array({Json{{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AAAA"}}}}});
  EXPECT_NE(error(body, 400)["message"].get<std::string>().find("image"), std::string::npos);
  body = chat(4);
  body["messages"][0]["content"] = std::string(5000, 'a');
  EXPECT_NE(error(body, 400)["message"].get<std::string>().find("context"), std::string::npos);
}

TEST_F(OpenAi, JsonBySchema) {
  const Json schema = {
      {"type", "object"},
      {"properties", {{"city", {{"type", "string"}, {"maxLength", 5}}}, {"size", {{"enum", {1, 2, 3}}}}}},
      {"required", {"city", "size"}},
      {"additionalProperties", false}};
  const auto holds = [&](const std::string& text) {
    const Json value = Json::parse(text, nullptr, false);
    ASSERT_TRUE(value.is_object()) << text;
    EXPECT_TRUE(value["city"].is_string());
    EXPECT_TRUE(value["size"].is_number_integer());
    EXPECT_EQ(value.size(), 2u);
  };
  for (const Json& format : {Json{{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}},
                             Json{{"type", "json_object"}, {"value", schema}}}) {
    Json body = chat(100);
    body["temperature"] = 1;
    body["seed"] = 3;
    body["response_format"] = format;
    const Json choice = post("/v1/chat/completions", body).json()["choices"][0];
    holds(choice["message"]["content"]);
    EXPECT_EQ(choice["finish_reason"], "stop");
  }
  holds(post("/api/chat", {{"model", "tiny"},
                           {"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})},
                           {"format", schema},
                           {"stream", false},
                           {"options", {{"num_predict", 100}}}})
            .json()["message"]["content"]);
  const std::string any = post("/api/generate", {{"model", "tiny"},
                                                 {"prompt", "x"},
                                                 {"format", "json"},
                                                 {"stream", false},
                                                 {"options", {{"num_predict", 60}, {"seed", 4}}}})
                              .json()["response"];
  EXPECT_TRUE(Json::accept(any)) << any;
  EXPECT_EQ(post("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"format", "xml"}}).status, 400);
  EXPECT_EQ(post("/v1/chat/completions",
                 [&] {
                   Json body = chat(10);
                   body["response_format"] = {{"type", "json_schema"},
                                              {"json_schema", {{"schema", {{"type", "colour"}}}}}};
                   return body;
                 }())
                .status,
            400);
}

TEST_F(OpenAi, ForcedCalls) {
  const auto tool = [](const char* name) {
    return Json{{"type", "function"},
                {"function",
                 {{"name", name},
                  {"parameters",
                   {{"type", "object"},
                    {"properties", {{"n", {{"enum", {1, 2}}}}}},
                    {"required", {"n"}},
                    {"additionalProperties", false}}}}}};
  };
  Json body = chat(120);
  body["model"] = "tools";
  body["tools"] = {tool("first"), tool("second")};
  for (const Json& choice : {Json("required"), Json{{"type", "function"}, {"function", {{"name", "second"}}}}}) {
    body["tool_choice"] = choice;
    body.erase("stream");
    const Json answer = post("/v1/chat/completions", body).json()["choices"][0];
    EXPECT_EQ(answer["finish_reason"], "tool_calls");
    EXPECT_TRUE(answer["message"]["content"].is_null());
    const Json call = answer["message"]["tool_calls"][0];
    EXPECT_TRUE(Json::parse(call["function"]["arguments"].get<std::string>())["n"].is_number());
    if (choice.is_object()) {
      EXPECT_EQ(call["function"]["name"], "second");
    }
    body["stream"] = true;
    Json streamed;
    for (const Json& event : post("/v1/chat/completions", body).events())
      if (event.is_object() && event["choices"][0]["delta"].contains("tool_calls"))
        streamed = event["choices"][0]["delta"]["tool_calls"][0];
    EXPECT_EQ(streamed["index"], 0);
    EXPECT_EQ(streamed["function"], call["function"]);
  }
  body.erase("stream");
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "third"}}}};
  EXPECT_EQ(post("/v1/chat/completions", body).status, 400);
  const Json anthropic = {
      {"model", "tools"},
      {"max_tokens", 120},
      {"messages", body["messages"]},
      {"tools", Json::array({Json{{"name", "first"}, {"input_schema", tool("x")["function"]["parameters"]}}})},
      {"tool_choice", {{"type", "any"}}}};
  const Json used = post("/v1/messages", anthropic).json();
  EXPECT_EQ(used["stop_reason"], "tool_use");
  EXPECT_EQ(used["content"][0]["name"], "first");
  EXPECT_TRUE(used["content"][0]["input"]["n"].is_number());
  body["model"] = "tiny";
  EXPECT_NE(post("/v1/chat/completions", body).json()["error"]["message"].get<std::string>().find("tools"),
            std::string::npos);
}

TEST_F(OpenAi, Responses) {
  Json body = {
      {"model", "tiny"}, {"input", "Hello"}, {"instructions", "S"}, {"temperature", 0}, {"max_output_tokens", 6}};
  const Json first = post("/v1/responses", body).json();
  EXPECT_EQ(first["object"], "response");
  EXPECT_EQ(first["status"], "incomplete");
  EXPECT_EQ(first["usage"]["output_tokens"], 6);
  const std::string id = first["id"];
  EXPECT_EQ(get("/v1/responses/" + id).json()["output"], first["output"]);
  const Json next = post("/v1/responses",
                         {{"model", "tiny"}, {"input", "More"}, {"previous_response_id", id}, {"max_output_tokens", 2}})
                        .json();
  EXPECT_GT(next["usage"]["input_tokens"].get<int>(), first["usage"]["input_tokens"].get<int>());
  body["stream"] = true;
  std::string text;
  std::vector<std::string> order;
  for (const Json& event : post("/v1/responses", body).events()) {
    EXPECT_EQ(event["sequence_number"], order.size());
    order.push_back(event["type"]);
    if (event["type"] == "response.output_text.delta") text += event["delta"].get<std::string>();
  }
  EXPECT_EQ(text, first["output"][0]["content"][0]["text"]);
  EXPECT_EQ(order.front(), "response.created");
  EXPECT_EQ(order.back(), "response.incomplete");
  EXPECT_EQ(ask(head("DELETE", "/v1/responses/" + id)).json()["deleted"], true);
  EXPECT_EQ(get("/v1/responses/" + id).status, 404);
  EXPECT_TRUE(get("/v1/responses/" + id).json()["error"]["param"].is_null());
  EXPECT_EQ(post("/v1/responses", {{"model", "tiny"}, {"input", "x"}, {"previous_response_id", "resp_none"}}).status,
            404);
}

TEST_F(OpenAi, Models) {
  const Json all = get("/v1/models").json();
  EXPECT_EQ(all["object"], "list");
  EXPECT_EQ(all["data"].size(), 3u);
  EXPECT_EQ(get("/v1/models/tiny").json()["id"], "tiny");
  EXPECT_EQ(get("/v1/models/none").status, 404);
  EXPECT_EQ(get("/api/v0/models").json()["data"].size(), 3u);
  EXPECT_EQ(post("/api/v0/chat/completions", chat(3)).json()["model_info"]["arch"], "llama");
}

// LM Studio's models are of language or embeddings; voices and what hears are the server's, but none of these.
class Voices : public OpenAi {
 protected:
  void change(serve::ServerOptions&, serve::ModelsOptions& models, serve::AccessRules&) override {
    for (const char* model : {"tasks/vits", "models/piper_voice", "models/whisper_base", "models/speecht5_speak"}) models.served.push_back((kGolden / model).string());
  }
  const fs::path kGolden = fs::path(MYNAH_TEST_DATA) / "golden";
};

TEST_F(Voices, AreNoModelsOfLmStudio) {
  EXPECT_EQ(get("/v1/models").json()["data"].size(), 7u);
  std::map<std::string, std::string> zeroth, first;
  const Json v0 = get("/api/v0/models").json(), v1 = get("/api/v1/models").json();
  for (const Json& m : v0["data"]) zeroth[m["id"].get<std::string>()] = m["type"].get<std::string>();
  for (const Json& m : v1["models"]) first[m["key"].get<std::string>()] = m["type"].get<std::string>();
  EXPECT_EQ(zeroth, (std::map<std::string, std::string>{{"tiny", "llm"}, {"tools", "llm"}, {"bert", "embeddings"}}));
  EXPECT_EQ(first, (std::map<std::string, std::string>{{"tiny", "llm"}, {"tools", "llm"}, {"bert", "embedding"}}));
  EXPECT_EQ(get("/api/v0/models/vits").status, 404);
  EXPECT_EQ(get("/api/v0/models/bert").json()["type"], "embeddings");
  for (const char* voice : {"vits", "speecht5_speak"}) EXPECT_EQ(post("/api/show", {{"model", voice}}).json()["capabilities"], Json::array()) << voice;
}

TEST_F(OpenAi, AnthropicMessages) {
  Json body = {
      {"model", "tiny"},
      {"system", "S"},
      {"messages",
       Json::array({Json{{"role", "user"}, {"content", Json::array({Json{{"type", "text"}, {"text", "Hello"}}})}}})},
      {"temperature", 0},
      {"max_tokens", 9}};
  const Json json = post("/v1/messages", body).json();
  EXPECT_EQ(json["type"], "message");
  EXPECT_EQ(json["stop_reason"], "max_tokens");
  EXPECT_EQ(json["usage"]["output_tokens"], 9);
  EXPECT_EQ(post("/v1/messages/count_tokens", body).json()["input_tokens"],
            json["usage"]["input_tokens"].get<int>() + json["usage"]["cache_read_input_tokens"].get<int>());
  body["stream"] = true;
  std::string text;
  std::vector<std::string> order;
  for (const Json& event : post("/v1/messages", body).events()) {
    order.push_back(event["type"]);
    if (event["type"] == "content_block_delta") text += event["delta"]["text"].get<std::string>();
  }
  EXPECT_EQ(text, json["content"][0]["text"]);
  EXPECT_EQ(order.front(), "message_start");
  EXPECT_EQ(order.back(), "message_stop");
  EXPECT_EQ(order[order.size() - 2], "message_delta");
  const Reply whole = post("/v1/messages/count_tokens", body, "X-Request-Id: bird-1\r\n");
  EXPECT_EQ(whole.headers.at("request-id"), "bird-1");
  EXPECT_EQ(get("/v1/models").headers.count("request-id"), 0u);
  body["temperature"] = 1.5;
  EXPECT_EQ(post("/v1/messages", body).status, 400);
  body["temperature"] = 1;
  body.erase("max_tokens");
  const Reply refused = post("/v1/messages", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["type"], "invalid_request_error");
}

TEST_F(OpenAi, HuggingFaceAndTextGeneration) {
  const Json parameters = {{"max_new_tokens", 6}};
  // A conversation in place of inputs is answered as one.
  const Json conversation = {{"messages", Json::array({Json{{"role", "user"}, {"content", "Hello"}}})}, {"max_tokens", 4}, {"temperature", 0}};
  const Json said = post("/models/tiny", conversation).json();
  EXPECT_EQ(said["object"], "chat.completion") << said;
  EXPECT_EQ(said["choices"], post("/models/tiny/v1/chat/completions", conversation).json()["choices"]);
  const Json whole = post("/models/tiny", {{"inputs", "Hello"}, {"parameters", parameters}}).json();
  ASSERT_TRUE(whole.is_array());
  const Json object =
      post("/models/tiny/generate",
           {{"inputs", "Hello"},
            {"parameters", {{"max_new_tokens", 6}, {"details", true}, {"decoder_input_details", true}}}})
          .json();
  EXPECT_EQ(whole[0]["generated_text"], "Hello" + object["generated_text"].get<std::string>());
  EXPECT_EQ(object["details"]["generated_tokens"], 6);
  EXPECT_EQ(object["details"]["finish_reason"], "length");
  EXPECT_EQ(object["details"]["tokens"].size(), 6u);
  EXPECT_EQ(object["details"]["prefill"].size(), 5u);
  const auto events = post("/models/tiny/generate_stream", {{"inputs", "Hello"}, {"parameters", parameters}}).events();
  ASSERT_EQ(events.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(events[i]["token"]["id"], object["details"]["tokens"][i]["id"]);
  EXPECT_TRUE(events[4]["generated_text"].is_null());
  EXPECT_EQ(events[5]["generated_text"], object["generated_text"]);
  EXPECT_EQ(events[5]["details"]["generated_tokens"], 6);
  std::string joined;
  for (const Json& piece : post("/models/tiny/tokenize", {{"inputs", "a \xc3\xa4\xe2\x82\xac b"}}).json())
    joined += piece["text"].get<std::string>();
  EXPECT_EQ(joined, "a \xc3\xa4\xe2\x82\xac b");
  EXPECT_EQ(get("/models/tiny/info").json()["max_total_tokens"], 4096);
  EXPECT_EQ(get("/models/tiny/health").status, 200);
  EXPECT_EQ(post("/models/none", {{"inputs", "x"}}).json()["error"], "Model none does not exist");
  const Reply measured = post("/models/tiny/generate", {{"inputs", "\xc3\xa4\xe2\x82\xac"}, {"parameters", {{"max_new_tokens", 2}}}});
  EXPECT_EQ(measured.headers.at("x-compute-characters"), "2");
  for (const char* header : {"x-total-time", "x-validation-time", "x-queue-time", "x-inference-time", "x-time-per-token"})
    EXPECT_EQ(measured.headers.count(header), 1u) << header;
  const Reply bad = post("/models/tiny/generate", {{"inputs", "x"}, {"parameters", {{"temperature", 0}}}});
  EXPECT_EQ(bad.status, 422);
  EXPECT_EQ(bad.json()["error_type"], "validation");
  const Json features = post("/pipeline/feature-extraction/bert", {{"inputs", "hey"}}).json();
  EXPECT_EQ(features.size(), 1u);
  EXPECT_EQ(features[0].size(), 3u);
  EXPECT_EQ(features[0][0].size(), 12u);
  EXPECT_EQ(post("/", {{"inputs", "x"}}).status, 404);  // no model of its own
}

TEST_F(OpenAi, LmStudio) {
  Json body = {{"model", "tiny"}, {"input", "Hello"}, {"temperature", 0}, {"max_output_tokens", 5}};
  const Json answer = post("/api/v1/chat", body).json();
  const std::string text = answer["output"][0]["content"];
  EXPECT_EQ(text, post("/v1/chat/completions", chat(5)).json()["choices"][0]["message"]["content"]);
  EXPECT_EQ(answer["stats"]["total_output_tokens"], 5);
  body["stream"] = true;
  std::string streamed;
  const auto events = post("/api/v1/chat", body).events();
  EXPECT_EQ(events.front()["type"], "chat.start");
  EXPECT_EQ(events.back()["type"], "chat.end");
  for (const Json& event : events)
    if (event["type"] == "message.delta") streamed += event["content"].get<std::string>();
  EXPECT_EQ(streamed, text);
  body.erase("stream");
  body["previous_response_id"] = answer["response_id"];
  EXPECT_GT(post("/api/v1/chat", body).json()["stats"]["input_tokens"].get<int>(), answer["stats"]["input_tokens"].get<int>());
  body["previous_response_id"] = "resp_none";
  EXPECT_EQ(post("/api/v1/chat", body).status, 404);
  EXPECT_EQ(
      post("/api/v1/chat", {{"model", "tiny"}, {"input", Json::array({Json{{"type", "image"}, {"data_url", "x"}}})}})
          .status,
      400);
  EXPECT_EQ(post("/api/v1/models/load", {{"model", "tiny"}}).json()["status"], "loaded");
  bool loaded = false;
  const Json listed = get("/api/v1/models").json();
  for (const Json& m : listed["models"]) loaded |= m["key"] == "tiny" && !m["loaded_instances"].empty();
  EXPECT_TRUE(loaded);
  EXPECT_EQ(post("/api/v1/models/unload", {{"instance_id", "tiny"}}).status, 200);
  EXPECT_EQ(post("/api/v1/models/unload", {{"instance_id", "nothing"}}).status, 404);
}

TEST_F(OpenAi, FieldsThatChangeNothingHaveTypes) {
  for (const auto& [field, value] : {std::pair<const char*, Json>{"store", "x"},
                                     {"user", 5},
                                     {"metadata", "x"},
                                     {"parallel_tool_calls", 1},
                                     {"verbosity", 5},
                                     {"service_tier", 5},
                                     {"ttl", "x"},
                                     {"draft_model", "x"},
                                     {"preset", "x"},
                                     {"think", true},
                                     {"reasoning_effort", "low"}}) {
    Json body = chat(2);
    body[field] = value;
    const Reply reply = post("/v1/chat/completions", body);
    EXPECT_EQ(reply.status, 400) << field;
    EXPECT_EQ(reply.json()["error"]["param"], field) << reply.body;
  }
}

TEST_F(OpenAi, ItemsOfResponses) {
  const Json answer = post("/v1/responses", {{"model", "tiny"}, {"input", "x"}, {"max_output_tokens", 3}}).json();
  const Json items = get("/v1/responses/" + answer["id"].get<std::string>() + "/input_items").json();
  ASSERT_EQ(items["data"].size(), 1u);
  EXPECT_EQ(items["data"][0]["content"][0]["text"], "x");
  EXPECT_EQ(ask(with_body("POST", "/v1/responses/" + answer["id"].get<std::string>() + "/cancel", "")).status, 400);
  for (const auto& [field, value] : {std::pair<const char*, Json>{"tool_choice", "zz"},
                                     {"truncation", "zz"},
                                     {"top_logprobs", 2},
                                     {"include", {"x"}}}) {
    Json body = {{"model", "tiny"}, {"input", "x"}, {"max_output_tokens", 3}};
    body[field] = value;
    EXPECT_EQ(post("/v1/responses", body).status, 400) << field;
  }
  const Reply wrong = post("/v1/responses", {{"model", "tiny"}, {"input", Json::array({Json{{"type", 5}}})}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.json()["error"]["param"], "input[0].type");
}

}  // namespace
}  // namespace mynah::test
