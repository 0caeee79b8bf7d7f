// mynah watch and search-images: frames of folders and animations, events, tables, pictures with boxes, an index that is kept.
#include <fstream>
#include <sstream>

#include "program.h"

namespace mynah::e2e {
namespace {

class Watch : public Sandbox {
 protected:
  void SetUp() override {
    // Frames of a picture that stays and one that follows it.
    fs::create_directories(file("frames"));
    for (int i = 0; i < 4; ++i) fs::copy_file(media("picture.png"), file("frames/" + std::to_string(i) + ".png"));
    for (int i = 4; i < 7; ++i) fs::copy_file(media("grey.png"), file("frames/" + std::to_string(i) + ".png"));
  }
  static fs::path media(const std::string& name) { return fs::path(MYNAH_TEST_DATA) / "golden/media" / name; }
  static std::string tiny(const std::string& name) { return (fs::path(MYNAH_TEST_DATA) / "golden/tasks" / name).string(); }
  std::string frames() const { return file("frames").string(); }
  static std::vector<Json> rows(const std::string& text) {
    std::vector<Json> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line));
    return all;
  }
};

TEST_F(Watch, LabelsOfFrames) {
  const Result result = run({"watch", frames(), "--model", tiny("vit_classifier"), "--fps", "2", "--json", "-o", file("rows.jsonl").string()});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err.substr(0, 8), "7 frames");
  const auto all = rows(result.out);
  EXPECT_EQ(rows(read_file(file("rows.jsonl"))), all);
  std::vector<Json> seen, events;
  for (const Json& row : all) (row.contains("event") ? events : seen).push_back(row);
  ASSERT_EQ(seen.size(), 7u);
  EXPECT_EQ(seen[3]["time"], 1.5);
  EXPECT_EQ(seen[3]["name"], "3.png");
  // As image-classification says it.
  const Json one = run_well({"pipeline", "image-classification", "--model", tiny("vit_classifier"), "--json", "--top-k", "1", media("picture.png").string()}).json();
  EXPECT_EQ(seen[0]["labels"], one);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0]["event"], "begins");
  EXPECT_EQ(events[0]["label"], seen[0]["labels"][0]["label"]);
  EXPECT_EQ(events[0]["time"], 0.0);
}

TEST_F(Watch, BoxesAreFollowed) {
  const std::vector<std::string> command = {"watch", frames(), "--model", tiny("yolos"), "--threshold", "0.2", "--patience", "1"};
  std::vector<std::string> words = command;
  words.insert(words.end(), {"--json", "-o", file("rows.csv").string(), "--save", file("drawn").string()});
  const Result result = run(words);
  ASSERT_EQ(result.code, 0) << result.err;
  std::vector<Json> seen, events;
  for (const Json& row : rows(result.out)) (row.contains("event") ? events : seen).push_back(row);
  ASSERT_EQ(seen.size(), 7u);
  const Json expected = run_well({"pipeline", "object-detection", "--model", tiny("yolos"), "--threshold", "0.2", "--json", media("picture.png").string()}).json();
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ(seen[0]["objects"].size(), expected.size());
  size_t boxes = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    boxes += seen[i]["objects"].size();
    // What does not move keeps its number.
    if (i > 0 && i < 4) {
      EXPECT_EQ(seen[i]["objects"], seen[0]["objects"]);
    }
  }
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0]["event"], "appears");
  EXPECT_EQ(events[0]["frame"], 0);
  std::istringstream csv(read_file(file("rows.csv")));
  std::string line;
  std::getline(csv, line);
  EXPECT_EQ(line, "frame,time,name,track,label,score,xmin,ymin,xmax,ymax");
  size_t lines = 0;
  while (std::getline(csv, line)) lines += std::count(line.begin(), line.end(), ',') == 9;
  EXPECT_EQ(lines, boxes);
  EXPECT_TRUE(fs::exists(file("drawn/000006.png")));
  EXPECT_NE(read_file(file("drawn/000000.png")), read_file(media("picture.png")));
  // For people: who came and went.
  const Result shown = run(command);
  EXPECT_NE(shown.out.find("00:00.000  "), std::string::npos) << shown.out;
  EXPECT_NE(shown.out.find(" 1 appears\n"), std::string::npos) << shown.out;
}

TEST_F(Watch, AnimationsAreReadAndWritten) {
  // Frames that are alike would be one.
  fs::create_directories(file("moving"));
  for (int i = 0; i < 5; ++i) fs::copy_file(media(i % 2 ? "palette.png" : "picture.png"), file("moving/" + std::to_string(i) + ".png"));
  const Result drawn = run({"watch", file("moving").string(), "--model", tiny("vit_classifier"), "--fps", "4", "--frames", "4", "--save", file("drawn.webp").string()});
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  const Result again = run({"watch", file("drawn.webp").string(), "--model", tiny("vit_classifier"), "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  std::vector<double> times;
  for (const Json& row : rows(again.out))
    if (!row.contains("event")) times.push_back(row["time"].get<double>());
  EXPECT_EQ(times, (std::vector<double>{0, 0.25, 0.5, 0.75}));
}

TEST_F(Watch, OwnLabelsAskedOfClip) {
  const Result result = run({"watch", frames(), "--model", tiny("clip"), "--labels", "bird,city", "--top-k", "2", "--json", "--frames", "1"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json first = rows(result.out).at(0);
  EXPECT_EQ(first["labels"], run_well({"pipeline", "zero-shot-image-classification", "--model", tiny("clip"), "--candidate-labels", "bird,city", "--json", media("picture.png").string()}).json());
}

TEST_F(Watch, RefusesWhatCannotBeMeant) {
  expect_refused({"watch", file("gone").string(), "--model", tiny("yolos")}, {3}, {"gone"});
  expect_refused({"watch", frames(), "--model", tiny("yolos"), "-o", file("a.txt").string()}, {2}, {".csv"});
  expect_refused({"watch", frames(), "--model", tiny("clip")}, {2}, {"--labels"});
  expect_refused({"watch", frames(), "--model", tiny("gpt2")}, {2}, {});
  expect_refused({"watch", frames(), "--model", tiny("vit_classifier"), "--labels", "a"}, {2}, {"--labels"});
  fs::create_directories(file("empty"));
  expect_refused({"watch", file("empty").string(), "--model", tiny("yolos")}, {1}, {"no pictures"});
}

TEST_F(Watch, PicturesAreFound) {
  fs::create_directories(file("album/more"));
  fs::copy_file(media("picture.png"), file("album/a.png"));
  fs::copy_file(media("picture.jpg"), file("album/more/b.jpg"));
  fs::copy_file(media("grey.png"), file("album/c.png"));
  write_file(file("album/broken.png"), "\x89PNG\r\n\x1a\n nothing");
  const std::vector<std::string> command = {"search-images", file("album").string(), "bird", "--model", tiny("clip"), "--json"};
  const Result first = run(command);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.err.find("skipped"), std::string::npos);
  const Json hits = first.json();
  ASSERT_EQ(hits.size(), 3u);
  EXPECT_GE(hits[0]["similarity"].get<double>(), hits[1]["similarity"].get<double>());
  const Result second = run(command);
  EXPECT_EQ(second.err, "");
  EXPECT_EQ(second.json(), hits);
  // A picture is most like itself.
  const Json like = run_well({"search-images", file("album").string(), "--like", media("picture.png").string(), "--model", tiny("clip"), "--json", "--top-k", "1"}).json();
  ASSERT_EQ(like.size(), 1u);
  EXPECT_EQ(like[0]["path"], "a.png");
  EXPECT_NEAR(like[0]["similarity"].get<double>(), 1, 1e-5);
  expect_refused({"search-images", file("album").string(), "--model", tiny("clip")}, {2}, {"text"});
  expect_refused({"search-images", file("none").string(), "bird", "--model", tiny("clip")}, {3}, {"none"});
  expect_refused({"search-images", file("album").string(), "bird", "--model", tiny("vit_model")}, {1}, {});
}

// The commands of docs/applications.md.
TEST_F(Watch, TheDocumentedCommandsRun) {
  int ran = 0;
  for (const char* verb : {"watch", "search-images"})
    for (std::vector<std::string> words : documented(verb)) {
      for (std::string& word : words) {
        if (word == "DIR") word = frames();
        else if (word == "MODEL") word = tiny(std::string(verb) == "watch" ? "yolos" : "clip");
        else if (word == "video.mp4") word = media("moving.webp").string();
        else if (word == "picture.jpg") word = media(word).string();
        else if (word == "rows.csv" || word == "drawn") word = file(word).string();
      }
      const Result result = run(words);
      EXPECT_EQ(result.code, 0) << result.err;
      ++ran;
    }
  EXPECT_EQ(ran, 4);
  EXPECT_TRUE(fs::exists(file("rows.csv")));
  EXPECT_TRUE(fs::exists(file("drawn/000011.png")));
}

}  // namespace
}  // namespace mynah::e2e
