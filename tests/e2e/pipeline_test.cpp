// mynah pipeline and mynah embed: the examples of docs/tasks.md, the shapes, files of inputs, and what is refused.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "program.h"

namespace mynah::e2e {
namespace {

fs::path tiny(const std::string& name) { return fs::path(MYNAH_TEST_DATA) / "golden/tasks" / name; }

fs::path media(const std::string& name) { return fs::path(MYNAH_TEST_DATA) / "golden/media" / name; }

// The tiny model that stands for MODEL in the examples of a task.
const std::map<std::string, std::string>& model_of_task() {
  static const std::map<std::string, std::string> all = {{"text-classification", "bert_classifier"},
                                                         {"sentiment-analysis", "bert_classifier"},
                                                         {"token-classification", "bert_tags"},
                                                         {"ner", "bert_tags"},
                                                         {"question-answering", "bert_answers"},
                                                         {"table-question-answering", "tapas"},
                                                         {"fill-mask", "bert_mask"},
                                                         {"zero-shot-classification", "bert_nli"},
                                                         {"feature-extraction", "bert_mask"},
                                                         {"sentence-similarity", "bert_mask"},
                                                         {"embed", "bert_mask"},
                                                         {"text-ranking", "bert_one"},
                                                         {"rerank", "bert_one"},
                                                         {"text-generation", "gpt2"},
                                                         {"text2text-generation", "t5"},
                                                         {"summarization", "t5"},
                                                         {"translation", "nllb"},
                                                         {"translation_en_to_de", "t5"},
                                                         {"text-to-audio", "vits"},
                                                         {"text-to-speech", "vits"},
                                                         {"automatic-speech-recognition", "whisper"},
                                                         {"asr", "whisper"},
                                                         {"transcribe", "whisper"},
                                                         {"audio-classification", "wav2vec2_keywords"},
                                                         {"zero-shot-audio-classification", "clap"},
                                                         {"image-classification", "vit_classifier"},
                                                         {"zero-shot-image-classification", "clip"},
                                                         {"object-detection", "detr"},
                                                         {"image-segmentation", "segformer"},
                                                         {"image-feature-extraction", "vit_model"},
                                                         {"depth-estimation", "dpt"},
                                                         {"mask-generation", "sam"},
                                                         {"image-to-text", "vit_words"},
                                                         {"image-text-to-text", "llava"},
                                                         {"visual-question-answering", "blip_answers"},
                                                         {"document-question-answering", "donut"},
                                                         {"video-classification", "videomae"}};
  return all;
}

// The words of a command line with single and double quotes.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  bool open = false;
  for (const char c : line + " ") {
    if (quote ? c == quote : c == '"' || c == '\'') {
      quote = quote ? 0 : c;
      open = true;
    } else if (c == ' ' && !quote) {
      if (open) words.push_back(word);
      word.clear();
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  return words;
}

class PipelineCommand : public Sandbox {
 protected:
  Json json(std::vector<std::string> words, const std::string& input = "") const {
    words.insert(words.begin(), "pipeline");
    words.push_back("--json");
    return run_well(words, input).json();
  }
};

TEST_F(PipelineCommand, ExamplesOfTheDocumentation) {
  std::ifstream docs(fs::path(MYNAH_TEST_DATA) / "../docs/tasks.md");
  int count = 0;
  for (std::string line; std::getline(docs, line);) {
    if (line.rfind("mynah ", 0) != 0) continue;
    std::vector<std::string> words = words_of(line);
    words.erase(words.begin());
    const std::string task = words[0] == "embed" || words[0] == "transcribe" ? words[0] : words[1];
    ASSERT_TRUE(model_of_task().count(task)) << line;
    std::replace(words.begin(), words.end(), std::string("MODEL"), tiny(model_of_task().at(task)).string());
    std::replace(words.begin(), words.end(), std::string("picture.png"), media("picture.png").string());
    std::replace(words.begin(), words.end(), std::string("moving.webp"), media("moving.webp").string());
    std::replace(words.begin(), words.end(), std::string("sound.wav"), media("notes.flac").string());
    std::replace(words.begin(), words.end(), std::string("birds.csv"), media("birds.csv").string());
    if (const auto save = std::find(words.begin(), words.end(), "--save"); save != words.end()) *(save + 1) = file(*(save + 1)).string();
    const Result result = run_well(words);
    EXPECT_FALSE(result.out.empty()) << line;
    if (std::find(words.begin(), words.end(), "--json") != words.end()) {
      EXPECT_NO_THROW(result.json()) << line;
    }
    ++count;
  }
  EXPECT_GT(count, 15);
}

TEST_F(PipelineCommand, ShapesFollowTheInputs) {
  const std::string model = tiny("bert_classifier").string();
  EXPECT_EQ(json({"text-classification", "--model", model, "good"})[0]["label"], "good");
  EXPECT_EQ(json({"text-classification", "--model", model, "good", "bad"}).size(), 2u);
  EXPECT_EQ(json({"text-classification", "--model", model, "--top-k", "none", "good"}).size(), 3u);
  // A pair is an object, also when an input spells it.
  EXPECT_TRUE(json({"text-classification", "--model", model, "{\"text\": \"a\", \"text_pair\": \"b\"}"}).is_object());
  EXPECT_TRUE(json({"text-classification", "--model", model, "--text-pair", "b", "a"}).is_object());
  EXPECT_EQ(json({"text-classification", "--model", model, "-"}, "good\n"), json({"text-classification", "--model", model, "good"}));
  const std::string answers = tiny("bert_answers").string();
  EXPECT_TRUE(json({"question-answering", "--model", answers, "--question", "Who?", "--context", "anna sings"}).is_object());
  EXPECT_EQ(json({"question-answering", "--model", answers, "--question", "Who?", "--question", "Where?", "--context", "anna sings"}).size(), 2u);
}

TEST_F(PipelineCommand, VectorsHaveALineEach) {
  const std::vector<std::string> lines = run_well({"embed", tiny("bert_mask").string(), "the bird", "anna"}).lines();
  ASSERT_EQ(lines.size(), 2u);
  for (const std::string& line : lines) EXPECT_TRUE(Json::parse(line).is_array());
}

// A tokenizer that names no length: windows are as long as the model's table of positions.
TEST_F(PipelineCommand, LongTextsAreReadByTheModelsPositions) {
  fs::copy(tiny("bert_tags"), file("tags"), fs::copy_options::recursive);
  Json settings = Json::parse(read_file(file("tags") / "tokenizer_config.json"));
  settings.erase("model_max_length");
  write_file(file("tags") / "tokenizer_config.json", settings.dump());
  std::string text = "anna";
  for (int i = 0; i < 600; ++i) text += " anna";
  const std::vector<std::string> words = {"pipeline", "ner", "--model", file("tags").string(), "--json", "--ignore-labels", "[]", text};
  const Result cut = run(words);
  EXPECT_EQ(cut.code, 0) << cut.err;
  EXPECT_NE(cut.err.find("is cut to"), std::string::npos) << cut.err;
  EXPECT_LT(cut.json().back()["end"].get<size_t>(), text.size());
  std::vector<std::string> windows = words;
  windows.insert(windows.end(), {"--stride", "4", "--aggregation-strategy", "simple"});
  EXPECT_EQ(run_well(windows).json().back()["end"], text.size());
}

TEST_F(PipelineCommand, AMissingInputIsSaidAsSuch) {
  expect_refused({"pipeline", "ner", "--model", tiny("bert_tags").string()}, {2}, {"no input", "a text"});
  expect_refused({"pipeline", "text-classification", "--model", tiny("bert_classifier").string()}, {2}, {"no input", "a text"});
}

// A model that does not fit is called what the user called it.
TEST_F(PipelineCommand, AModelThatDoesNotFitIsCalledByItsName) {
  expect_refused({"pipeline", "text-classification", "--model", "tiny", "hi"}, {1}, {"text-classification: tiny holds a GPT2LMHeadModel"});
  expect_refused({"speak", "tiny", "hi", "-o", file("a.wav").string()}, {1}, {"speech: tiny is a GPT2LMHeadModel"});
  expect_refused({"transcribe", "tiny", media("sound.wav").string()}, {1}, {"transcribe: tiny holds a GPT2LMHeadModel"});
  expect_refused({"pipeline", "asr", "--model", "tiny", media("sound.wav").string()}, {1}, {"recognition: tiny holds a GPT2LMHeadModel"});
  expect_refused({"forward", "tiny", "--input", (golden("llama_base") / "io_grad.safetensors").string(), "--output", file("y").string(), "--grad"}, {2}, {"mynah: tiny: "});
}

// A voice reads phonemes and gives sound, others see or hear: none of them has vectors of a text's tokens.
TEST_F(PipelineCommand, WhatGivesNoVectorsOfTextsIsRefused) {
  for (const auto& [model, architecture] : {std::pair{golden_file("piper_voice"), "VitsModel"}, {tiny("vits"), "VitsModel"}, {tiny("clip"), "CLIPModel"}, {tiny("clap"), "ClapModel"}})
    for (const std::vector<std::string>& words : {std::vector<std::string>{"embed", model.string(), "hi"}, {"pipeline", "feature-extraction", "--model", model.string(), "hi"}})
      expect_refused(words, {1}, {architecture, "not a model for this task"});
}

TEST_F(PipelineCommand, FilesOfInputs) {
  const std::string model = tiny("bert_classifier").string();
  write_file(file("rows.jsonl"), "\"good\"\n{\"text\": \"bad\", \"id\": 7}\n{\"text\": \"a\", \"text_pair\": \"b\"}\n\n\"the bird sings in the park\"\n");
  run({"pipeline", "text-classification", "--model", model, "--input-file", file("rows.jsonl").string(), "--output-file", file("out.jsonl").string(), "--batch-size", "2"});
  std::istringstream out(read_file(file("out.jsonl")));
  std::vector<Json> rows;
  for (std::string line; std::getline(out, line);) rows.push_back(Json::parse(line));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0], json({"text-classification", "--model", model, "good"})[0]);
  EXPECT_EQ(rows[3], json({"text-classification", "--model", model, "the bird sings in the park"})[0]);
  write_file(file("lines.txt"), "good\nbad\n");
  EXPECT_EQ(run_well({"pipeline", "text-classification", "--model", model, "--input-file", file("lines.txt").string()}).lines().size(), 2u);
  // A bad line leaves no output.
  write_file(file("bad.jsonl"), "\"good\"\n{\"no\": 1}\n");
  expect_refused({"pipeline", "text-classification", "--model", model, "--input-file", file("bad.jsonl").string(), "--output-file", file("none.jsonl").string()}, {1}, {"line 2"});
  EXPECT_FALSE(fs::exists(file("none.jsonl")));
}

TEST_F(PipelineCommand, RefusesWhatCannotBeMeant) {
  const std::string model = tiny("bert_classifier").string(), tags = tiny("bert_tags").string(), answers = tiny("bert_answers").string();
  expect_refused({"pipeline"}, {2}, {"name a task"});
  expect_refused({"pipeline", "text-clasification", "--model", model, "a"}, {2}, {"did you mean text-classification"});
  expect_refused({"pipeline", "text-classification", "--model", model, "--topk", "2", "a"}, {2}, {"--topk", "--top-k"});
  expect_refused({"pipeline", "text-classification", "--model", model, "--top-k", "two", "a"}, {2}, {"--top-k", "two"});
  expect_refused({"pipeline", "text-classification", "--model", model, "--top-k", "0", "a"}, {2}, {"top_k"});
  expect_refused({"pipeline", "text-classification", "--model", model, "--function-to-apply", "tanh", "a"}, {2}, {"tanh"});
  expect_refused({"pipeline", "text-classification", "--model", model}, {2}, {"input"});
  expect_refused({"pipeline", "text-classification", "a"}, {2}, {"--model", "distilbert"});
  expect_refused({"pipeline", "text-classification", "--model", tags, "a"}, {1}, {"BertForTokenClassification"});
  expect_refused({"pipeline", "text-classification", "--model", file("gone/x").string(), "a"}, {3}, {"gone"});
  expect_refused({"pipeline", "text-classification", "--model", model, "\xff\xfe"}, {1}, {"UTF-8"});
  expect_refused({"pipeline", "ner", "--model", tags, "--stride", "4", "a"}, {2}, {"aggregation_strategy"});
  expect_refused({"pipeline", "ner", "--model", tags, "--stride", "400", "--aggregation-strategy", "max", "a"}, {2}, {"400"});
  expect_refused({"pipeline", "ner", "--model", tags, "--aggregation-strategy", "some", "a"}, {2}, {"average"});
  expect_refused({"pipeline", "fill-mask", "--model", tiny("bert_mask").string(), ""}, {1}, {"[MASK]"});
  expect_refused({"pipeline", "question-answering", "--model", answers, "--question", "a"}, {2}, {"context"});
  expect_refused({"pipeline", "question-answering", "--model", answers, "--question", "a", "--context", ""}, {1}, {"empty"});
  expect_refused({"pipeline", "question-answering", "--model", answers, "--question", "a", "--context", "b", "--max-seq-len", "8", "--doc-stride", "9"}, {2}, {"doc_stride"});
  expect_refused({"pipeline", "question-answering", "--model", tiny("xlnet_beams").string(), "--question", "a", "--context", "b", "--align-to-words"}, {2}, {"align_to_words"});
  fs::create_directories(file("xlm"));
  write_file(file("xlm/config.json"), R"({"model_type": "xlm", "architectures": ["XLMForQuestionAnswering"]})");
  expect_refused({"pipeline", "question-answering", "--model", file("xlm").string(), "--question", "a", "--context", "b"}, {1}, {"xlm"});
  expect_refused({"pipeline", "zero-shot-classification", "--model", tiny("bert_nli").string(), "a"}, {2}, {"candidate_labels"});
  expect_refused({"pipeline", "zero-shot-classification", "--model", tiny("bert_nli").string(), "a", "--candidate-labels", "b", "--hypothesis-template", "c"}, {2}, {"{}"});
  expect_refused({"embed"}, {2}, {"MODEL"});
  // The model has 48 positions; nothing is cut unless it is asked for.
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "the bird ";
  expect_refused({"pipeline", "text-classification", "--model", model, long_text}, {1}, {"48"});
  EXPECT_NE(run({"pipeline", "text-classification", "--model", model, "--truncation", "true", long_text}).err.find("is cut to 40 tokens"), std::string::npos);
}

// A table from a file or from its JSON, by columns or by rows, with one question or several.
TEST_F(PipelineCommand, TablesFromFilesAndJson) {
  const std::string model = tiny("tapas").string(), birds = media("birds.csv").string(), task = "table-question-answering", query = "how many birds?";
  const Json expected = json({task, "--model", model, "--table", birds, query});
  ASSERT_TRUE(expected.is_object());
  const std::string columns = R"({"bird": ["robin", "owl", "tit"], "weight": [18, 450, 11.5], "city": ["Paris", "London", ""]})";
  EXPECT_EQ(json({task, "--model", model, "--table", columns, query}), expected);
  EXPECT_EQ(json({task, "--model", model, "--table", columns, "--query", query}), expected);
  EXPECT_EQ(json({task, "--model", model, "{\"query\": \"" + query + "\", \"table\": " + columns + "}"}), expected);
  write_file(file("table.json"), columns);
  EXPECT_EQ(json({task, "--model", model, "--table", file("table.json").string(), query, "where?"})[0], expected);
  write_file(file("queries.txt"), query + "\nwhere?\n");
  EXPECT_EQ(Json::parse(run_well({"pipeline", task, "--model", model, "--table", birds, "--input-file", file("queries.txt").string()}).lines()[0]), expected);
  EXPECT_NE(run_well({"pipeline", task, "--model", model, "--table", birds, query}).out.find("weight"), std::string::npos);

  expect_refused({"pipeline", task, "--model", model, query}, {2}, {"--table"});
  expect_refused({"pipeline", task, "--model", model, "--table", birds}, {2}, {"query"});
  expect_refused({"pipeline", task, "--model", model, "--table", birds, ""}, {1}, {"query"});
  expect_refused({"pipeline", task, "--model", model, "--table", "{\"a\": [\"1\"", query}, {2}, {"--table"});
  expect_refused({"pipeline", task, "--model", model, "--table", "birds.xls", query}, {2}, {".csv"});
  expect_refused({"pipeline", task, "--model", model, "--table", file("none.csv").string(), query}, {3}, {"none.csv"});
  expect_refused({"pipeline", task, "--model", model, "--table", "{}", query}, {1}, {"empty"});
  expect_refused({"pipeline", task, "--model", model, "--table", "{\"a\": [\"1\"], \"b\": []}", query}, {1}, {"one length"});
  expect_refused({"pipeline", task, "--model", model, "--table", "[{\"a\": \"1\"}, {\"b\": \"1\"}]", query}, {1}, {"row 2"});
  expect_refused({"pipeline", task, "--model", model, "--table", "{\"a\": [[1]]}", query}, {1}, {"expected a text"});
  expect_refused({"pipeline", task, "--model", model, "--table", birds, "--truncation", "longest_first", query}, {2}, {"drop_rows_to_fit"});
  expect_refused({"pipeline", task, "--model", tiny("bert_answers").string(), "--table", birds, query}, {1}, {"BertForQuestionAnswering"});
  expect_refused({"pipeline", "question-answering", "--model", model, "--question", "a", "--context", "b"}, {1}, {"TapasForQuestionAnswering"});
  expect_refused({"pipeline", task, "--model", tiny("t5").string(), "--table", birds, query}, {1}, {"reads no tables"});
  fs::copy(tiny("tapas"), file("bare"));
  Json config = Json::parse(read_file(file("bare/config.json")));
  config["architectures"] = {"TapasModel"};
  write_file(file("bare/config.json"), config.dump());
  const Result refused = run({"pipeline", "feature-extraction", "--model", file("bare").string(), query});  // a line before says which weights are left alone
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("TapasModel reads a table beside each text"), std::string::npos) << refused.err;
}

TEST_F(PipelineCommand, PicturesFromFilesBytesAndBase64) {
  const std::string model = tiny("vit_classifier").string(), picture = media("picture.png").string(), bytes = read_file(media("picture.png"));
  const Json expected = json({"image-classification", "--model", model, picture});
  EXPECT_EQ(json({"image-classification", "--model", model, "-"}, bytes), expected);
  EXPECT_EQ(json({"image-classification", "--model", model, "--image", picture}), expected);
  EXPECT_EQ(json({"image-classification", "--model", model, picture, media("picture.jpg").string()})[0], expected);
  expect_refused({"pipeline", "image-classification", "--model", model}, {2}, {"picture"});
  expect_refused({"pipeline", "image-classification", "--model", model, "https://example.org/a.png"}, {2}, {"not fetched"});
  expect_refused({"pipeline", "image-classification", "--model", model, file("none.png").string()}, {3}, {"none.png"});
  write_file(file("text.png"), "no picture at all");
  expect_refused({"pipeline", "image-classification", "--model", model, file("text.png").string()}, {1}, {"not a picture"});
  write_file(file("half.png"), bytes.substr(0, bytes.size() / 2));
  expect_refused({"pipeline", "image-classification", "--model", model, file("half.png").string()}, {5}, {"damaged PNG"});
  expect_refused({"pipeline", "image-classification", "--model", tiny("yolos").string(), picture}, {1}, {"YolosForObjectDetection"});
  expect_refused({"pipeline", "zero-shot-image-classification", "--model", tiny("clip").string(), picture}, {2}, {"candidate_labels"});
  expect_refused({"pipeline", "image-segmentation", "--model", tiny("segformer").string(), "--subtask", "panoptic", picture}, {2}, {"panoptic"});
}

TEST_F(PipelineCommand, VideosByFramesOfAnyClassifier) {
  const std::string video = media("moving.webp").string(), picture = media("picture.png").string(), frames = tiny("vit_classifier").string(), clip = tiny("videomae").string();
  // A picture is a video of one frame.
  const Json one = json({"video-classification", "--model", frames, "--top-k", "1", picture}), still = json({"image-classification", "--model", frames, "--top-k", "1", picture});
  EXPECT_EQ(one[0]["label"], still[0]["label"]);
  EXPECT_EQ(one[0]["score"], still[0]["score"]);
  double sum = 0;
  for (const Json& row : json({"video-classification", "--model", frames, "--num-frames", "5", "--top-k", "100", video})) sum += row["score"].get<double>();
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_EQ(json({"video-classification", "--model", clip, "-"}, read_file(media("moving.webp"))), json({"video-classification", "--model", clip, video}));
  expect_refused({"pipeline", "video-classification", "--model", clip, "--frame-sampling-rate", "4", video}, {1}, {"12 frames"});
  expect_refused({"pipeline", "video-classification", "--model", clip, "--num-frames", "3", video}, {1}, {"pixel_values"});
  expect_refused({"pipeline", "video-classification", "--model", clip, file("none.mp4").string()}, {3}, {"none.mp4"});
  expect_refused({"pipeline", "video-classification", "--model", clip, "--function-to-apply", "tanh", video}, {2}, {"tanh"});
  expect_refused({"pipeline", "video-classification", "--model", tiny("yolos").string(), video}, {1}, {"YolosForObjectDetection"});
}

TEST_F(PipelineCommand, ResultsAreDrawn) {
  const std::string picture = media("picture.jpg").string();
  run_well({"pipeline", "object-detection", "--model", tiny("yolos").string(), "--threshold", "0.2", "--save", file("boxes.png").string(), picture});
  EXPECT_TRUE(read_file(file("boxes.png")).starts_with("\x89PNG"));
  run_well({"pipeline", "image-segmentation", "--model", tiny("segformer").string(), "--save", file("masks.JPG").string(), picture});
  EXPECT_TRUE(read_file(file("masks.JPG")).starts_with("\xff\xd8"));
  expect_refused({"pipeline", "object-detection", "--model", tiny("yolos").string(), "--save", file("boxes.gif").string(), picture}, {2}, {".png"});
  expect_refused({"pipeline", "object-detection", "--model", tiny("yolos").string(), "--save", file("boxes.png").string(), picture, picture}, {2}, {"one input"});
}

// Weights alone, as YOLOX and YOLO come.
TEST_F(PipelineCommand, DetectorsWithoutConfig) {
  const std::string picture = media("picture.png").string();
  for (const char* name : {"yolox/yolox.pth", "yolox_depthwise", "yolo_v5", "yolo_v8/model.safetensors"}) {
    const Json found = json({"object-detection", "--model", golden(name).string(), "--threshold", "0.01", picture});
    EXPECT_FALSE(found.empty()) << name;
    for (const Json& entry : found) EXPECT_LE(entry["box"]["xmax"].get<int64_t>(), 41) << name;
  }
}

TEST_F(PipelineCommand, LongLinesAndEmptyTexts) {
  const std::string model = tiny("bert_tags").string();
  std::string text;
  while (text.size() < (10u << 20)) text += "the bird sings in london and paris ";
  const Result result = run({"pipeline", "ner", "--model", model, "--json", "-"}, text);
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("is cut to 40 tokens"), std::string::npos) << result.err;
  EXPECT_EQ(json({"ner", "--model", model, ""}), Json::array());
  EXPECT_EQ(json({"text-classification", "--model", tiny("bert_classifier").string(), "[SEP] [PAD]"}).size(), 1u);
}

TEST_F(PipelineCommand, PeopleSeeBarsAndSpans) {
  const std::string out = run_well({"pipeline", "text-classification", "--model", tiny("bert_classifier").string(), "I love the bird"}).out;
  EXPECT_NE(out.find("0.5114  ############............  good"), std::string::npos) << out;
  const std::string spans = run_well({"pipeline", "ner", "--model", tiny("bert_tags").string(), "--aggregation-strategy", "simple", "Anna sings"}).out;
  EXPECT_NE(spans.find("[Anna|"), std::string::npos) << spans;
  EXPECT_EQ(spans.find('\x1b'), std::string::npos);
  const std::string help = run_well({"pipeline", "ner", "--help"}).out;
  for (const char* said : {"--aggregation-strategy", "name (rampart)", "Input: TEXT; - is standard input"}) EXPECT_NE(help.find(said), std::string::npos) << help;
  EXPECT_NE(run_well({"pipeline", "--help"}).out.find("token-classification"), std::string::npos);
}

}  // namespace
}  // namespace mynah::e2e
