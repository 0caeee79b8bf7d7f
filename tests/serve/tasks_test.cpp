// Tasks over HTTP in the shapes of Hugging Face's Inference API, with random encoders of one layer.
#include "served.h"
#include "text/base64.h"

namespace mynah::test {
namespace {

class Tasks : public Served {
 protected:
  void SetUp() override {
    Served::SetUp();
    const auto add = [&](const std::string& name, const char* architecture, const Json& more) {
      const fs::path folder = folder_ / name;
      fs::create_directories(folder);
      Json config = {{"architectures", {architecture}},
                     {"model_type", "bert"},
                     {"hidden_size", 12},
                     {"intermediate_size", 19},
                     {"num_hidden_layers", 1},
                     {"num_attention_heads", 3},
                     {"vocab_size", 259},
                     {"max_position_embeddings", 128},
                     {"type_vocab_size", 2},
                     {"initializer_range", 0.5}};
      config.update(more);
      Model::create(config.dump(), 3).save(folder.string());
      Json tokenizer = byte_tokenizer();
      tokenizer["model"]["vocab"]["[MASK]"] = 258;
      tokenizer["added_tokens"].push_back({{"id", 258},
                                           {"content", "[MASK]"},
                                           {"single_word", false},
                                           {"lstrip", false},
                                           {"rstrip", false},
                                           {"normalized", false},
                                           {"special", true}});
      write_file(folder / "tokenizer.json", tokenizer.dump());
      write_file(folder / "tokenizer_config.json",
                 Json{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"mask_token", "[MASK]"}}.dump());
      std::vector<store::NewFile> files;
      for (const auto& entry : fs::directory_iterator(folder))
        files.push_back({entry.path().filename().string(), "", entry.path(), {}, {}});
      service_->models.store().create(name, "test", "MIT", files);
    };
    const Json labels = {{"id2label", {{"0", "bad"}, {"1", "good"}, {"2", "entailment"}}},
                         {"label2id", {{"bad", 0}, {"good", 1}, {"entailment", 2}}}};
    add("org/classifier", "BertForSequenceClassification", labels);
    add("mask", "BertForMaskedLM", Json::object());
    add("ner", "BertForTokenClassification",
        {{"id2label", {{"0", "O"}, {"1", "B-PER"}, {"2", "I-PER"}}},
         {"label2id", {{"O", 0}, {"B-PER", 1}, {"I-PER", 2}}}});
    add("answers", "BertForQuestionAnswering", Json::object());
    add("ranker", "BertForSequenceClassification", {{"id2label", {{"0", "LABEL_0"}}}, {"label2id", {{"LABEL_0", 0}}}});
  }
};

TEST_F(Tasks, TheHeadChoosesTheTask) {
  const Json labels = post("/models/org/classifier", {{"inputs", "I love it"}}).json();
  ASSERT_EQ(labels.size(), 1u);
  ASSERT_EQ(labels[0].size(), 3u) << labels;
  EXPECT_GE(labels[0][0]["score"].get<double>(), labels[0][1]["score"].get<double>());
  EXPECT_EQ(post("/models/org/classifier", {{"inputs", {"a", "b"}}}).json().size(), 2u);
  EXPECT_EQ(post("/models/org/classifier",
                 {{"inputs", "a"}, {"parameters", {{"top_k", 1}, {"function_to_apply", "sigmoid"}}}})
                .json()[0]
                .size(),
            1u);
  const Json masked = post("/models/mask", {{"inputs", "a [MASK] c"}, {"parameters", {{"top_k", 3}}}}).json();
  ASSERT_EQ(masked.size(), 3u) << masked;
  for (const char* key : {"score", "token", "token_str", "sequence"}) EXPECT_TRUE(masked[0].contains(key)) << key;
  const Json words = post("/models/ner", {{"inputs", "ab cd"}}).json();
  ASSERT_TRUE(words.is_array());
  for (const Json& w : words) EXPECT_TRUE(w.contains("entity_group") && w.contains("start")) << w;
  for (const Json& w :
       post("/models/ner", {{"inputs", "ab cd"}, {"parameters", {{"aggregation_strategy", "none"}}}}).json())
    EXPECT_TRUE(w.contains("entity")) << w;
  const Json answer =
      post("/models/answers", {{"inputs", {{"question", "who?"}, {"context", "the bird sings"}}}}).json();
  for (const char* key : {"score", "start", "end", "answer"}) EXPECT_TRUE(answer.contains(key)) << answer;
  const Json chosen =
      post("/models/org/classifier", {{"inputs", "a"}, {"parameters", {{"candidate_labels", {"x", "y"}}}}}).json();
  ASSERT_EQ(chosen.size(), 2u) << chosen;
  EXPECT_TRUE(chosen[0].contains("label") && chosen[0]["score"].get<double>() >= chosen[1]["score"].get<double>());
  EXPECT_EQ(post("/models/org/classifier", {{"inputs", {"a", "b"}}, {"parameters", {{"candidate_labels", {"x", "y"}}}}})
                .json()[1]["sequence"],
            "b");
}

// Models of the golden tasks: what sees or hears is asked as such without a word in the path.
TEST_F(Tasks, TheHeadChoosesTheTaskOfPicturesAndSounds) {
  const fs::path golden = fs::path(MYNAH_TEST_DATA) / "golden";
  const auto bytes = [&](const char* name) {
    std::ifstream in(golden / "media" / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto send = [&](const char* model, const std::string& body, const char* type) {
    std::vector<store::NewFile> files;
    for (const auto& entry : fs::directory_iterator(golden / "tasks" / model)) files.push_back({entry.path().filename().string(), "", entry.path(), {}, {}});
    service_->models.store().create(model, "test", "MIT", files);
    const Reply reply = ask(head("POST", std::string("/models/") + model, "Content-Type: " + std::string(type) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") + body);
    EXPECT_EQ(reply.status, 200) << model << " " << reply.body;
    return reply.json();
  };
  const std::string picture = bytes("picture.png"), sound = bytes("sound.wav");
  EXPECT_TRUE(send("wav2vec2_keywords", sound, "audio/wav")[0].contains("label"));
  EXPECT_TRUE(send("wav2vec2_ctc", sound, "audio/wav").contains("text"));
  EXPECT_TRUE(send("vit_classifier", picture, "image/png")[0].contains("score"));
  EXPECT_TRUE(send("vit_model", picture, "image/png")[0][0][0].is_number());
  // What is sent lies in a file whose path is nobody's business.
  const Reply wrong = post("/models/vit_classifier", {{"inputs", "aGVsbG8="}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_TRUE(wrong.body.find("/proc") == std::string::npos && wrong.body.find("the file that was sent") != std::string::npos) << wrong.body;
  const Json segments = send("segformer", picture, "image/png");
  ASSERT_FALSE(segments.empty());
  EXPECT_TRUE(segments[0]["mask"].is_string());
  EXPECT_FALSE(segments[0].contains("score"));
  Json asked = {{"inputs", text::encode_base64(picture)}, {"parameters", {{"candidate_labels", {"a bird", "a fish"}}}}};
  const Json fits = send("clip", asked.dump(), "application/json");
  EXPECT_EQ(fits.size(), 2u);
  asked["inputs"] = {{"image", asked["inputs"]}};  // as the JavaScript client writes it
  EXPECT_EQ(send("clip", asked.dump(), "application/json"), fits);
}

TEST_F(Tasks, ThePathNamesTheTask) {
  const Json direct = post("/models/org/classifier", {{"inputs", "a"}}).json();
  EXPECT_EQ(post("/models/org/classifier/pipeline/text-classification", {{"inputs", "a"}}).json(), direct);
  EXPECT_EQ(post("/pipeline/sentiment-analysis/org/classifier", {{"inputs", "a"}}).json(), direct);
  EXPECT_EQ(post("/hf-inference/models/org/classifier", {{"inputs", "a"}}).json(), direct);
  EXPECT_EQ(post("/models/mask/pipeline/feature-extraction", {{"inputs", "ab"}}).json().size(), 1u);
  EXPECT_EQ(post("/models/org/classifier/pipeline/summarization", {{"inputs", "a"}}).status, 400);
  EXPECT_EQ(post("/models/org/classifier/pipeline/no-task", {{"inputs", "a"}}).status, 404);
}

TEST_F(Tasks, WhatIsMissingIsNamedInAList) {
  const auto complaint = [&](const std::string& path, const Json& body) {
    const Reply reply = post(path, body);
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.json()["error"];
  };
  EXPECT_EQ(complaint("/models/answers", {{"inputs", {{"question", "who?"}}}}),
            Json::array({"Error in `inputs.context`: field required"}));
  EXPECT_EQ(complaint("/models/org/classifier", {{"parameters", Json::object()}}),
            Json::array({"Error in `inputs`: field required"}));
  EXPECT_EQ(complaint("/models/org/classifier/pipeline/zero-shot-classification", {{"inputs", "a"}}),
            Json::array({"Error in `parameters.candidate_labels`: field required"}));
  EXPECT_NE(complaint("/models/org/classifier", {{"inputs", "a"}, {"parameters", {{"colour", 1}}}})
                .get<std::string>()
                .find("colour"),
            std::string::npos);
  EXPECT_NE(complaint("/models/org/classifier", {{"inputs", "a"}, {"parameters", {{"top_k", "x"}}}})
                .get<std::string>()
                .find("top_k"),
            std::string::npos);
  EXPECT_EQ(post("/models/org/classifier", {{"inputs", 5}}).status, 400);
}

TEST_F(Tasks, PicturesForTextModelsAreRefused) {
  const std::string png = std::string("\x89PNG\r\n\x1a\n", 8) + std::string(20, 'x');
  const Reply reply = ask(head("POST", "/models/org/classifier",
                               "Content-Type: image/png\r\nContent-Length: " + std::to_string(png.size()) + "\r\n") +
                          png);
  EXPECT_EQ(reply.status, 400) << reply.body;
  EXPECT_TRUE(reply.json()["error"].is_string());
}

TEST_F(Tasks, RankersCutOnlyWhereTheyMay) {
  Json body = {{"model", "ranker"}, {"query", "bird"}, {"texts", {"a", std::string(300, 'b')}}, {"return_text", true}};
  const Reply refused = post("/rerank", body);
  EXPECT_EQ(refused.status, 413);
  EXPECT_EQ(refused.json()["error_type"], "Validation");
  body["truncate"] = true;
  const Json ranked = post("/rerank", body).json();
  ASSERT_EQ(ranked.size(), 2u) << ranked;
  EXPECT_GE(ranked[0]["score"].get<double>(), ranked[1]["score"].get<double>());
  body["model"] = "org/classifier";
  const Reply other = post("/rerank", body);
  EXPECT_EQ(other.status, 424);
  EXPECT_EQ(other.json()["error_type"], "Backend");
}

TEST_F(Tasks, Predictions) {
  const auto body = [](const Json& inputs) { return Json{{"model", "org/classifier"}, {"inputs", inputs}}; };
  EXPECT_EQ(post("/predict", body("a")).json().size(), 3u);
  EXPECT_EQ(post("/predict", body({"a", "b"})).json().size(), 3u);
  EXPECT_EQ(post("/predict", body(Json::array({Json::array({"a"}), Json::array({"b", "c"})}))).json().size(), 2u);
  EXPECT_EQ(post("/predict", body(7)).status, 422);
}

}  // namespace
}  // namespace mynah::test
