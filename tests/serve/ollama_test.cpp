// Ollama's dialect against tiny random models: shapes of answers, settings, errors, models made and removed.
#include <algorithm>

#include "serve/served.h"
#include "store/digest.h"

namespace mynah::test {
namespace {

class Ollama : public Served {
 protected:
  Json greedy(const std::string& model, const std::string& prompt, int tokens) const {
    return {{"model", model}, {"prompt", prompt}, {"options", {{"temperature", 0}, {"num_predict", tokens}}}};
  }
};

TEST_F(Ollama, GenerateStreamsTheTextOfTheWholeAnswer) {
  Json body = greedy("tiny", "Hello", 24);
  const Reply stream = post("/api/generate", body);
  ASSERT_EQ(stream.status, 200) << stream.body;
  EXPECT_TRUE(stream.complete);
  EXPECT_EQ(stream.headers.at("content-type"), "application/x-ndjson");
  std::string text;
  const auto lines = stream.lines();
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["model"], "tiny");
    EXPECT_EQ(lines[i]["done"], i + 1 == lines.size());
    EXPECT_EQ(lines[i]["created_at"].get<std::string>().size(), 30u);
    text += lines[i]["response"].get<std::string>();
  }
  body["stream"] = false;
  const Json whole = post("/api/generate", body).json();
  EXPECT_EQ(whole["response"], text);
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(whole["done_reason"], "length");
  EXPECT_EQ(whole["eval_count"], 24);
  EXPECT_EQ(whole["prompt_eval_count"], lines.back()["prompt_eval_count"]);
  for (const char* key : {"total_duration", "prompt_eval_duration", "eval_duration"})
    EXPECT_GT(whole[key].get<int64_t>(), 0) << key;
  EXPECT_EQ(whole["context"].size(), whole["prompt_eval_count"].get<size_t>() + 24);
  // The context given back goes on where it ended.
  Json more = greedy("tiny", "more", 4);
  more["context"] = whole["context"];
  more["stream"] = false;
  EXPECT_GT(post("/api/generate", more).json()["prompt_eval_count"].get<size_t>(), whole["context"].size());
}

TEST_F(Ollama, ChatAndGenerateAndOpenAiSayTheSame) {
  const Json messages = Json::array({Json{{"role", "user"}, {"content", "Hello"}}});
  Json chat = {{"model", "tiny"},
               {"messages", messages},
               {"stream", false},
               {"options", {{"temperature", 0}, {"num_predict", 20}}}};
  Json generate = greedy("tiny", "Hello", 20);
  generate["stream"] = false;
  const std::string text = post("/api/chat", chat).json()["message"]["content"];
  EXPECT_EQ(post("/api/generate", generate).json()["response"], text);
  const Json openai = {{"model", "tiny"}, {"messages", messages}, {"temperature", 0}, {"max_tokens", 20}};
  EXPECT_EQ(post("/v1/chat/completions", openai).json()["choices"][0]["message"]["content"], text);
  const Json anthropic = {{"model", "tiny"}, {"messages", messages}, {"temperature", 0}, {"max_tokens", 20}};
  EXPECT_EQ(post("/v1/messages", anthropic).json()["content"][0]["text"], text);
  EXPECT_EQ(post("/models/tiny/v1/chat/completions",
                 {{"model", "dummy"}, {"messages", messages}, {"temperature", 0}, {"max_tokens", 20}})
                .json()["choices"][0]["message"]["content"],
            text);
}

TEST_F(Ollama, SeedsAndStops) {
  Json body = {{"model", "tiny"}, {"prompt", "x"}, {"stream", false}, {"options", {{"seed", 7}, {"num_predict", 16}}}};
  const std::string first = post("/api/generate", body).json()["response"];
  EXPECT_EQ(post("/api/generate", body).json()["response"], first);
  body["options"]["seed"] = 8;
  EXPECT_NE(post("/api/generate", body).json()["response"], first);
  Json greedy_body = greedy("tiny", "Hello", 24);
  greedy_body["stream"] = false;
  const std::string text = post("/api/generate", greedy_body).json()["response"];
  size_t middle = text.size() / 2;
  const auto inside = [&](size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  while (inside(middle)) ++middle;
  size_t end = middle + 3;
  while (inside(end)) ++end;
  const std::string stop = text.substr(middle, end - middle);
  greedy_body["options"]["stop"] = {stop};
  const Json stopped = post("/api/generate", greedy_body).json();
  EXPECT_EQ(stopped["response"], text.substr(0, text.find(stop)));
  EXPECT_EQ(stopped["done_reason"], "stop");
}

TEST_F(Ollama, LoadingAndUnloading) {
  const Json loaded = post("/api/generate", {{"model", "tiny"}, {"keep_alive", "10m"}}).json();
  EXPECT_EQ(loaded["done_reason"], "load");
  EXPECT_EQ(loaded["response"], "");
  const Json models = get("/api/ps").json()["models"];
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0]["name"], "tiny:latest");
  EXPECT_EQ(models[0]["context_length"], 4096);
  EXPECT_TRUE(models[0]["expires_at"].is_string());
  EXPECT_EQ(
      post("/api/chat", {{"model", "tiny"}, {"messages", Json::array()}, {"keep_alive", 0}}).json()["done_reason"],
      "unload");
  for (int i = 0; i < 5000 && !get("/api/ps").json()["models"].empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(get("/api/ps").json()["models"].empty());
}

TEST_F(Ollama, ATimeToLiveMayBeLongerThanTheClockCounts) {
  for (const Json& time : {Json(1e10), Json(1e12), Json("90000000h")}) {
    post("/api/generate", {{"model", "tiny"}, {"keep_alive", time}});
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_EQ(get("/api/ps").json()["models"].size(), 1u) << time;
  }
}

TEST_F(Ollama, WhatIsWrongIsNamed) {
  const auto error = [&](const char* path, const Json& body, int status) {
    const Reply reply = post(path, body);
    EXPECT_EQ(reply.status, status) << body << reply.body;
    return reply.json()["error"].get<std::string>();
  };
  EXPECT_EQ(error("/api/generate", {{"prompt", "x"}}, 400), "model is required");
  EXPECT_EQ(error("/api/generate", {{"model", "none"}, {"prompt", "x"}}, 404), "model 'none' not found");
  EXPECT_EQ(error("/api/chat",
                  {{"model", "../tiny"}, {"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})}}, 404),
            "model '../tiny' not found");
  EXPECT_EQ(error("/api/generate", {{"model", (folder_ / "tiny").string()}, {"prompt", "x"}}, 404).rfind("model '", 0),
            0u);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"options", {{"temperature", "hot"}}}}, 400)
                .find("temperature"),
            std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", 5}}, 400).find("prompt"), std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"stream", "yes"}}, 400).find("stream"),
            std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"images", {"AAAA"}}}, 400).find("vision"),
            std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"suffix", "y"}}, 400).find("insert"),
            std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"think", true}}, 400).find("thinking"),
            std::string::npos);
  EXPECT_NE(
      error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"raw", true}, {"system", "y"}}, 400).find("raw"),
      std::string::npos);
  EXPECT_NE(
      error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"keep_alive", "soon"}}, 400).find("keep_alive"),
      std::string::npos);
  EXPECT_NE(
      error("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"top_logprobs", 21}}, 400).find("top_logprobs"),
      std::string::npos);
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}, {"parameters", {{"type", "object"}}}}}};
  const Json messages = Json::array({Json{{"role", "user"}, {"content", "x"}}});
  EXPECT_NE(error("/api/chat", {{"model", "tiny"}, {"messages", messages}, {"tools", {tool}}}, 400).find("tools"),
            std::string::npos);
  EXPECT_EQ(post("/api/chat", {{"model", "tools"},
                               {"messages", messages},
                               {"tools", {tool}},
                               {"stream", false},
                               {"options", {{"num_predict", 2}}}})
                .status,
            200);
  EXPECT_NE(error("/api/chat",
                  {{"model", "tiny"}, {"messages", Json::array({Json{{"role", "king"}, {"content", "x"}}})}}, 400)
                .find("role"),
            std::string::npos);
  EXPECT_NE(error("/api/generate", {{"model", "bert"}, {"prompt", "x"}}, 400).find("generate"), std::string::npos);
  EXPECT_EQ(error("/api/pull", {{"model", "nothing-there"}, {"stream", false}}, 502).empty(), false);  // offline
}

TEST_F(Ollama, LongChatsLoseTheirOldestMessages) {
  Json messages = Json::array({Json{{"role", "system"}, {"content", "S"}}});
  for (int i = 0; i < 20; ++i)
    messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(40, 'a')}});
  messages.push_back({{"role", "user"}, {"content", "last"}});
  Json body = {{"model", "tiny"},
               {"messages", messages},
               {"stream", false},
               {"options", {{"num_ctx", 256}, {"num_predict", 4}}}};
  const Reply cut = post("/api/chat", body);
  EXPECT_EQ(cut.status, 200);
  EXPECT_LT(cut.json()["prompt_eval_count"].get<int>(), 256);
  EXPECT_EQ(cut.headers.count("x-truncated-messages"), 1u);
  body["truncate"] = false;
  EXPECT_EQ(post("/api/chat", body).status, 400);
}

TEST_F(Ollama, TagsAndShow) {
  const Json tags = get("/api/tags").json()["models"];
  ASSERT_EQ(tags.size(), 3u);
  for (const Json& m : tags) {
    EXPECT_EQ(m["name"], m["model"]);
    EXPECT_EQ(m["digest"].get<std::string>().size(), 64u);
    EXPECT_TRUE(m["details"]["family"].is_string());
  }
  const Json show = post("/api/show", {{"name", "tools"}}).json();
  EXPECT_EQ(show["details"]["family"], "llama");
  EXPECT_EQ(show["details"]["format"], "safetensors");
  EXPECT_EQ(show["model_info"]["llama.context_length"], 512);
  EXPECT_EQ(show["capabilities"], Json({"completion", "tools"}));
  EXPECT_EQ(post("/api/show", {{"model", "tiny:latest"}}).json()["capabilities"], Json({"completion"}));
  EXPECT_EQ(post("/api/show", {{"model", "bert"}}).json()["capabilities"], Json({"embedding"}));
  EXPECT_EQ(post("/api/show", {{"model", "none"}}).status, 404);
}

TEST_F(Ollama, ModelsAreMadeCopiedAndRemoved) {
  Json create = {{"model", "mine"},
                 {"from", "tiny"},
                 {"system", "You are a bird."},
                 {"parameters", {{"num_predict", 3}, {"stop", {"zz"}}, {"temperature", 0}}}};
  const auto lines = post("/api/create", create).lines();
  EXPECT_EQ(lines.back()["status"], "success");
  const auto told = [](const std::vector<Json>& all, const std::string& begin) {
    return std::count_if(all.begin(), all.end(), [&](const Json& l) { return l["status"].get<std::string>().starts_with(begin); });
  };
  EXPECT_EQ(told(lines, "creating new layer sha256:"), 2);  // system and parameters
  EXPECT_GE(told(lines, "using existing layer sha256:"), 4);  // the files of tiny
  EXPECT_EQ(told(post("/api/create", create).lines(), "creating new layer"), 0);
  const Json show = post("/api/show", {{"model", "mine"}}).json();
  EXPECT_EQ(show["system"], "You are a bird.");
  EXPECT_NE(show["parameters"].get<std::string>().find("num_predict                    3"), std::string::npos);
  const Json answer = post("/api/generate", {{"model", "mine"}, {"prompt", "x"}, {"stream", false}}).json();
  EXPECT_EQ(answer["eval_count"], 3);
  EXPECT_GT(
      answer["prompt_eval_count"].get<int>(),
      post("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"stream", false}, {"options", {{"num_predict", 1}}}})
          .json()["prompt_eval_count"].get<int>());
  EXPECT_EQ(post("/api/copy", {{"source", "mine"}, {"destination", "yours"}}).status, 200);
  EXPECT_EQ(post("/api/copy", {{"source", "none"}, {"destination", "yours"}}).status, 404);
  const std::string gone = Json{{"model", "mine"}}.dump();
  EXPECT_EQ(ask(with_body("DELETE", "/api/delete", gone)).status, 200);
  EXPECT_EQ(ask(with_body("DELETE", "/api/delete", gone)).status, 404);
  EXPECT_EQ(post("/api/generate", {{"model", "yours"}, {"prompt", "x"}, {"stream", false}}).json()["eval_count"], 3);
  EXPECT_EQ(post("/api/create", {{"model", "x"}}).json()["error"], "neither 'from' or 'files' was specified");
  EXPECT_EQ(post("/api/create", {{"model", "x"}, {"from", "none"}, {"stream", false}}).status, 404);
  EXPECT_EQ(post("/api/create", {{"model", "x"}, {"from", "tiny"}, {"parameters", {{"colour", 1}}}, {"stream", false}})
                .status,
            400);
}

TEST_F(Ollama, Blobs) {
  const std::string bytes(300000, 'b'), digest = "sha256:" + store::digest_of_text(bytes).hex();
  EXPECT_EQ(ask(head("HEAD", "/api/blobs/" + digest)).status, 404);
  EXPECT_EQ(ask(with_body("POST", "/api/blobs/" + digest, bytes + "x")).status, 400);
  EXPECT_EQ(ask(head("HEAD", "/api/blobs/" + digest)).status, 404);
  EXPECT_EQ(ask(with_body("POST", "/api/blobs/" + digest, bytes)).status, 201);
  EXPECT_EQ(ask(with_body("POST", "/api/blobs/" + digest, bytes)).status, 200);
  EXPECT_EQ(ask(head("HEAD", "/api/blobs/" + digest)).status, 200);
  for (const char* bad : {"sha256:xyz", "..%2f..%2fetc", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e"})
    EXPECT_EQ(ask(head("HEAD", std::string("/api/blobs/") + bad)).status, 400) << bad;
}

TEST_F(Ollama, Embeddings) {
  const Json one = post("/api/embed", {{"model", "bert"}, {"input", "hello"}}).json();
  ASSERT_EQ(one["embeddings"].size(), 1u);
  double norm = 0;
  for (const double v : one["embeddings"][0]) norm += v * v;
  EXPECT_NEAR(norm, 1, 1e-5);
  EXPECT_EQ(one["prompt_eval_count"], 5);
  const Json two = post("/api/embed", {{"model", "bert"}, {"input", {"other", "hello"}}}).json();
  EXPECT_EQ(two["embeddings"][1], one["embeddings"][0]);
  EXPECT_EQ(
      post("/api/embed", {{"model", "bert"}, {"input", "hello"}, {"dimensions", 4}}).json()["embeddings"][0].size(),
      4u);
  EXPECT_TRUE(post("/api/embed", {{"model", "bert"}, {"input", ""}}).json()["embeddings"].empty());
  EXPECT_EQ(post("/api/embed", {{"model", "bert"}, {"input", 5}}).status, 400);
  EXPECT_EQ(post("/api/embed", {{"model", "bert"}, {"input", std::string(100, 'a')}, {"truncate", false}}).status, 400);
  EXPECT_EQ(post("/api/embed", {{"model", "bert"}, {"input", std::string(100, 'a')}}).json()["prompt_eval_count"], 64);
  const Json old = post("/api/embeddings", {{"model", "bert"}, {"prompt", "hello"}}).json()["embedding"];
  EXPECT_NEAR(old[0].get<double>() / old[1].get<double>(),
              one["embeddings"][0][0].get<double>() / one["embeddings"][0][1].get<double>(), 1e-3);
  const Json openai =
      post("/v1/embeddings", {{"model", "bert"}, {"input", {"hello", "x"}}, {"encoding_format", "base64"}}).json();
  EXPECT_EQ(openai["data"][0]["embedding"].get<std::string>().size(), 64u);  // 12 floats
  EXPECT_EQ(openai["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(post("/v1/embeddings", {{"model", "bert"}, {"input", {1, 2, 3}}}).json()["data"].size(), 1u);
  EXPECT_EQ(post("/api/embed", {{"model", "tiny"}, {"input", "hello"}}).json()["embeddings"][0].size(), 32u);
}

class Thinking : public Served {
 protected:
  void SetUp() override {
    Served::SetUp();
    for (const auto& [name, opened] : {std::pair<const char*, const char*>{"thinker", ""}, {"opener", "<think>\n"}}) {
      const fs::path folder = folder_ / name;
      make_llama(folder,
                 "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor "
                 "%}<|im_start|>assistant\n{% if enable_thinking %}" +
                     std::string(opened) + "{% else %}<think></think>{% endif %}",
                 512, 7);
      std::vector<store::NewFile> files;
      for (const auto& entry : fs::directory_iterator(folder))
        files.push_back({entry.path().filename().string(), "", entry.path(), {}, {}});
      service_->models.store().create(name, "test", "MIT", files);
    }
  }
};

TEST_F(Thinking, AFormatBeginsBehindTheThought) {
  const Json schema = {{"type", "object"},
                       {"properties", {{"n", {{"enum", {1, 2}}}}}},
                       {"required", {"n"}},
                       {"additionalProperties", false}};
  for (const char* model : {"thinker", "opener"})
    for (const bool think : {true, false}) {
      const Json answer = post("/api/chat", {{"model", model},
                                             {"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})},
                                             {"stream", false},
                                             {"think", think},
                                             {"format", schema},
                                             {"options", {{"num_predict", 60}, {"seed", 5}}}})
                              .json();
      const Json value = Json::parse(answer["message"]["content"].get<std::string>(), nullptr, false);
      ASSERT_TRUE(value.is_object()) << model << think << answer;
      EXPECT_TRUE(value["n"].is_number()) << answer;
      EXPECT_EQ(answer["message"].value("thinking", "").find("think>"), std::string::npos) << answer;
    }
  const Json response = post("/v1/responses", {{"model", "opener"},
                                               {"input", "x"},
                                               {"max_output_tokens", 60},
                                               {"text", {{"format", {{"type", "json_schema"}, {"schema", schema}}}}}})
                            .json();
  EXPECT_EQ(response["output"].back()["type"], "message") << response;
  EXPECT_EQ(post("/v1/chat/completions", {{"model", "opener"},
                                          {"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})},
                                          {"max_tokens", 3},
                                          {"reasoning_effort", "loud"}})
                .status,
            400);
}

TEST_F(Ollama, PromptsCanBeLookedAt) {
  const Json seen = post("/api/chat", {{"model", "tiny"},
                                       {"messages", Json::array({Json{{"role", "user"}, {"content", "Hi"}}})},
                                       {"_debug_render_only", true}})
                        .json();
  EXPECT_EQ(seen["_debug_info"]["rendered_template"], "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(post("/api/generate", {{"model", "tiny"}, {"prompt", "Hi"}, {"raw", true}, {"_debug_render_only", true}})
                .json()["_debug_info"]["rendered_template"],
            "Hi");
}

TEST_F(Ollama, TemplatesInGosLanguage) {
  const std::string text =
      "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n{{ .Prompt "
      "}}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";
  const Reply made =
      post("/api/create", {{"model", "gopher"}, {"from", "tiny"}, {"template", text}, {"stream", false}});
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(post("/api/show", {{"model", "gopher"}}).json()["template"], text);
  const Json options = {{"temperature", 0}, {"num_predict", 8}};
  const auto said = [&](const char* model) {
    return post("/api/generate",
                {{"model", model}, {"prompt", "Hi"}, {"system", "S"}, {"stream", false}, {"options", options}})
        .json()["response"];
  };
  EXPECT_EQ(said("gopher"), said("tiny"));
  EXPECT_EQ(post("/api/create", {{"model", "bad"}, {"from", "tiny"}, {"template", "{{ if }}"}}).status, 400);
  ASSERT_EQ(
      post("/api/create",
           {{"model", "filler"}, {"from", "tiny"}, {"template", "<{{ .Prompt }}|{{ .Suffix }}>"}, {"stream", false}})
          .status,
      200);
  const Json capabilities = post("/api/show", {{"model", "filler"}}).json()["capabilities"];
  EXPECT_NE(std::find(capabilities.begin(), capabilities.end(), "insert"), capabilities.end());
  EXPECT_EQ(post("/api/generate", {{"model", "filler"}, {"prompt", "a"}, {"suffix", "b"}, {"_debug_render_only", true}})
                .json()["_debug_info"]["rendered_template"],
            "<a|b>");
}

TEST_F(Ollama, WhatGoesWrongAtOnceHasAStatus) {
  EXPECT_EQ(post("/api/create", {{"model", "x"}, {"files", {{"m.gguf", "sha256:" + std::string(64, '0')}}}}).status,
            400);
  EXPECT_EQ(
      post("/api/create",
           {{"model", "x"}, {"from", "tiny"}, {"messages", Json::array({Json{{"role", "bird"}, {"content", "x"}}})}})
          .status,
      400);
  EXPECT_EQ(post("/api/push", {{"model", "nothing"}}).status, 404);
  for (const char* path : {"/api/show", "/api/pull", "/api/push"}) {
    const Reply reply = post(path, {{"model", "a b$"}});
    EXPECT_EQ(reply.status, 400) << path;
    EXPECT_EQ(reply.json()["error"], "invalid model name") << path;
  }
  EXPECT_NE(post("/api/embed", {{"model", "nothing"}, {"input", "x"}})
                .json()["error"]
                .get<std::string>()
                .find("try pulling it first"),
            std::string::npos);
  EXPECT_EQ(post("/api/embed", {{"model", "bert"}, {"input", "x"}, {"options", {{"num_ctx", "x"}}}}).status, 400);
  EXPECT_EQ(post("/api/generate", {{"model", "tiny"}, {"prompt", "x"}, {"truncate", "x"}}).status, 400);
}

}  // namespace
}  // namespace mynah::test
