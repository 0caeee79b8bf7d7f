// Training on pictures and sounds from outside: what a folder of pictures teaches, and that every objective lowers its loss.
#include <fstream>

#include "media/image.h"
#include "program.h"

namespace mynah::e2e {
namespace {

const fs::path kData = fs::path(MYNAH_TEST_DATA) / "golden";

class TrainingOnMedia : public Sandbox {
 protected:
  // A picture of one colour with noise of its own.
  void picture(const fs::path& path, std::array<uint8_t, 3> colour, uint32_t seed) const {
    media::Image image{40, 40, std::vector<uint8_t>(40 * 40 * 3)};
    for (size_t i = 0; i < image.rgb.size(); ++i) {
      seed = seed * 1664525 + 1013904223;
      image.rgb[i] = static_cast<uint8_t>(colour[i % 3] + (seed >> 27));
    }
    fs::create_directories(path.parent_path());
    media::write_image(path, image);
  }
  void rows(const std::string& name, const std::vector<Json>& all) const {
    fs::create_directories(file(name).parent_path());
    std::ofstream out(file(name));
    for (const Json& row : all) out << row.dump() << "\n";
  }
  // First and last loss of a run of `steps` steps.
  std::pair<double, double> losses(const std::string& model, const std::string& task, const std::string& data, int steps) const {
    const Result result = run({"finetune", (kData / "tasks" / model).string(), "--task", task, "--train-file", file(data).string(), "--output-dir", file("out").string(), "--max-steps",
              std::to_string(steps), "--logging-steps", "1", "--learning-rate", "0.005", "--seed", "3"});
    EXPECT_EQ(result.code, 0) << result.err;
    std::vector<double> all;
    std::ifstream in(file("out") / "log.jsonl");
    for (std::string line; std::getline(in, line);)
      if (const Json entry = Json::parse(line); entry.contains("loss")) all.push_back(entry["loss"].get<double>());
    EXPECT_EQ(all.size(), static_cast<size_t>(steps));
    return {all.front(), all.back()};
  }
};

TEST_F(TrainingOnMedia, AFolderOfPicturesTeachesItsLabels) {
  for (uint32_t i = 0; i < 8; ++i) {
    picture(file("colours") / "red" / (std::to_string(i) + ".png"), {200, 30, 30}, i);
    picture(file("colours") / "blue" / (std::to_string(i) + ".png"), {30, 30, 200}, 100 + i);
  }
  const auto [first, last] = losses("vit_classifier", "image-classification", "colours", 30);
  EXPECT_LT(last, 0.2 * first);
  picture(file("unseen.png"), {190, 40, 35}, 77);
  const Json answer = run_well({"pipeline", "image-classification", "--model", file("out").string(), file("unseen.png").string(), "--json"}).json();
  EXPECT_EQ(answer[0]["label"], "red");
  EXPECT_GT(answer[0]["score"].get<double>(), 0.8);
}

TEST_F(TrainingOnMedia, EveryObjectiveLowersItsLoss) {
  picture(file("a.png"), {200, 30, 30}, 1);
  picture(file("b.png"), {30, 30, 200}, 2);
  const std::string sound = (kData / "media" / "sound.wav").string();
  rows("boxes.jsonl", {{{"image", "a.png"}, {"objects", {{"bbox", {{5, 6, 20, 18}}}, {"category", {"square"}}}}},
                       {{"image", "b.png"}, {"objects", {{"bbox", {{10, 9, 12, 25}}}, {"category", {"square"}}}}}});
  rows("pairs.jsonl", {{{"image", "a.png"}, {"text", "red"}}, {{"image", "b.png"}, {"text", "blue"}}});
  rows("speech.jsonl", {{{"audio", sound}, {"text", "a bird"}}});
  rows("sounds.jsonl", {{{"audio", sound}, {"label", "bird"}}, {{"audio", sound}, {"label", "bird"}}, {{"audio", sound}, {"label", "bell"}}});
  const std::tuple<const char*, const char*, const char*> cases[] = {{"yolos", "object-detection", "boxes.jsonl"},
                                                                     {"clip", "contrastive", "pairs.jsonl"},
                                                                     {"wav2vec2_ctc", "automatic-speech-recognition", "speech.jsonl"},
                                                                     {"whisper", "automatic-speech-recognition", "speech.jsonl"},
                                                                     {"wav2vec2_keywords", "audio-classification", "sounds.jsonl"}};
  for (const auto& [model, task, data] : cases) {
    const auto [first, last] = losses(model, task, data, 12);
    EXPECT_LT(last, first) << model;
    fs::remove_all(file("out"));
  }
}

// The commands of docs/training.md for pictures and sounds: a step each, and what `eval` says.
TEST_F(TrainingOnMedia, TheDocumentedCommandsRun) {
  const std::string folder = "pictures-and-sounds/", sound = (kData / "media" / "sound.wav").string();
  picture(file(folder + "shapes/red/a.png"), {200, 30, 30}, 1);
  picture(file(folder + "shapes/blue/b.png"), {30, 30, 200}, 2);
  rows(folder + "objects.jsonl", {{{"image", "shapes/red/a.png"}, {"objects", {{"bbox", {{5, 6, 20, 18}}}, {"category", {"cat"}}}}}});
  rows(folder + "captions.jsonl", {{{"image", "shapes/red/a.png"}, {"text", "red"}}, {{"image", "shapes/blue/b.png"}, {"text", "blue"}}});
  rows(folder + "speech.jsonl", {{{"audio", sound}, {"text", "a bird"}}});
  rows(folder + "sounds.jsonl", {{{"audio", sound}, {"label", "yes"}}});
  const std::map<std::string, std::pair<std::string, std::string>> models = {{"shapes", {"vit_classifier", "accuracy"}},
                                                                             {"objects.jsonl", {"yolos", "map_50"}},
                                                                             {"captions.jsonl", {"clip", "accuracy"}},
                                                                             {"speech.jsonl", {"whisper", "wer"}},
                                                                             {"sounds.jsonl", {"wav2vec2_keywords", "accuracy"}}};
  std::istringstream document(read_file(fs::path(MYNAH_TEST_DATA).parent_path() / "docs" / "training.md"));
  int trained = 0, judged = 0;
  for (std::string line; std::getline(document, line);) {
    const size_t named = line.find(" " + folder);
    if (line.rfind("mynah ", 0) != 0 || named == std::string::npos) continue;
    std::vector<std::string> words;
    std::pair<std::string, std::string> model;
    std::istringstream in(line.substr(6));
    for (std::string word; in >> word;) {
      if (word.starts_with(folder)) {
        model = models.at(word.substr(folder.size()));
        word = file(word).string();
      } else if (word == "OUT") {
        word = file("out" + std::to_string(trained)).string();
      }
      words.push_back(word);
    }
    ASSERT_EQ(words.at(1), "MODEL") << line;
    words[1] = (kData / "tasks" / model.first).string();
    if (words[0] == "eval") {
      const Json scores = run_well(words).json();
      EXPECT_TRUE(scores.contains(model.second)) << line << scores.dump();
      ++judged;
      continue;
    }
    words.insert(words.end(), {"--max-steps", "1"});
    const Result result = run(words);
    EXPECT_EQ(result.code, 0) << line << "\n" << result.err;
    ++trained;
  }
  EXPECT_EQ(trained, 5);
  EXPECT_EQ(judged, 5);
}

// eval says what the tasks say.
TEST_F(TrainingOnMedia, ScoresAreThoseOfTheAnswers) {
  picture(file("shapes/red/a.png"), {200, 30, 30}, 1);
  picture(file("shapes/blue/b.png"), {30, 30, 200}, 2);
  const std::string model = (kData / "tasks" / "vit_classifier").string();
  const auto best = [&](const char* name) { return run_well({"pipeline", "image-classification", "--model", model, "--json", file(name).string()}).json()[0]["label"]; };
  rows("right.jsonl", {{{"image", "shapes/red/a.png"}, {"label", best("shapes/red/a.png")}}, {{"image", "shapes/blue/b.png"}, {"label", best("shapes/blue/b.png")}}});
  EXPECT_EQ(run_well({"eval", model, "--file", file("right.jsonl").string(), "--metric", "accuracy", "--json"}).json(), (Json{{"accuracy", 1.0}, {"rows", 2}}));
  EXPECT_EQ(run_well({"eval", model, "--file", file("shapes").string(), "--metric", "accuracy", "--json"}).json()["accuracy"], 0.0);
  // A detector is right about what it finds, in a picture so large that whole pixels say where that is.
  media::Image large{960, 640, std::vector<uint8_t>(960 * 640 * 3)};
  for (size_t i = 0; i < large.rgb.size(); ++i) large.rgb[i] = static_cast<uint8_t>(i / 7 + i / 2880);
  media::write_image(file("large.png"), large);
  const std::string detector = (kData / "tasks" / "yolos").string(), seen = file("large.png").string();
  const Json found = run_well({"pipeline", "object-detection", "--model", detector, "--threshold", "0.1", "--json", seen}).json();
  ASSERT_FALSE(found.empty());
  Json boxes = Json::array(), labels = Json::array();
  for (const Json& o : found) {
    const Json& b = o["box"];
    boxes.push_back({b["xmin"], b["ymin"], b["xmax"].get<int64_t>() + 1 - b["xmin"].get<int64_t>(), b["ymax"].get<int64_t>() + 1 - b["ymin"].get<int64_t>()});
    labels.push_back(o["label"]);
  }
  rows("objects.jsonl", {{{"image", seen}, {"objects", {{"bbox", boxes}, {"category", labels}}}}});
  const Json scores = run_well({"eval", detector, "--file", file("objects.jsonl").string(), "--metric", "map", "--json"}).json();
  EXPECT_EQ(scores["objects"], found.size());
  EXPECT_GT(scores["map_50"].get<double>(), 0.8) << scores.dump();  // some are a few pixels wide
  EXPECT_NE(run_well({"eval", detector, "--file", file("objects.jsonl").string(), "--metric", "map", "--dtype", "int8", "--json"}).json(), scores);  // --dtype counts
  expect_refused({"eval", model, "--file", file("shapes").string(), "--metric", "map"}, {1, 2}, {});
}

TEST_F(TrainingOnMedia, RowsThatCannotBeReadAreNamed) {
  rows("missing.jsonl", {{{"image", "nowhere.png"}, {"label", "red"}}});
  const Result missing = run({"finetune", (kData / "tasks" / "vit_classifier").string(), "--task", "image-classification", "--train-file", file("missing.jsonl").string(),
                              "--output-dir", file("out").string()});
  EXPECT_EQ(missing.code, 3);
  EXPECT_NE(missing.err.find("nowhere.png"), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace mynah::e2e
