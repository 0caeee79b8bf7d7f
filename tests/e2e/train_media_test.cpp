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

TEST_F(TrainingOnMedia, RowsThatCannotBeReadAreNamed) {
  rows("missing.jsonl", {{{"image", "nowhere.png"}, {"label", "red"}}});
  const Result missing = run({"finetune", (kData / "tasks" / "vit_classifier").string(), "--task", "image-classification", "--train-file", file("missing.jsonl").string(),
                              "--output-dir", file("out").string()});
  EXPECT_EQ(missing.code, 3);
  EXPECT_NE(missing.err.find("nowhere.png"), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace mynah::e2e
