// The model that comes with the program: it answers without network, and its recipe makes it.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "program.h"

namespace mynah::e2e {
namespace {

const fs::path kTree = fs::path(MYNAH_TEST_DATA).parent_path();

class Tiny : public Sandbox {
 protected:
  void SetUp() override { set_environment("MYNAH_OFFLINE", "1"); }
  // examples/tiny.sh, `steps` updates long; gives its folder.
  fs::path recipe(int steps) const {
    const std::string line = "MYNAH='" MYNAH_PROGRAM "' sh '" + (kTree / "examples" / "tiny.sh").string() + "' '" + file("tiny").string() + "' " + std::to_string(steps) + " > '" +
                             file("said").string() + "' 2>&1 < /dev/null";
    EXPECT_EQ(std::system(line.c_str()), 0) << read_file(file("said"));
    return file("tiny");
  }
  static std::vector<Json> rows(const fs::path& path) {
    std::vector<Json> all;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line));
    return all;
  }
  static Json row_of_step(const std::vector<Json>& rows, int step, const char* field) {
    for (const Json& row : rows)
      if (row["step"] == step && row.contains(field)) return row[field];
    return nullptr;
  }
};

TEST_F(Tiny, AnswersWithoutNetworkOrStore) {
  const Result r = run_well({"run", "tiny", "Where is the king?", "--temperature", "0", "--max-tokens", "40", "--json"});
  const Json answer = r.json();
  // A speech: who speaks, and words.
  EXPECT_TRUE(std::regex_search(answer["response"].get<std::string>(), std::regex("^[A-Z][A-Za-z ]+:\n[A-Z][a-z' ]*"))) << r.out;
  EXPECT_EQ(run_well({"run", "tiny:latest", "Where is the king?", "--temperature", "0", "--max-tokens", "40", "--json"}).json()["response"], answer["response"]);
  EXPECT_TRUE(run_well({"list", "--quiet"}).out.empty());
}

// --ctx counts the prompt too, and what ended the answer is said as it was.
TEST_F(Tiny, PromptAndAnswerKeepToTheContext) {
  const auto answer = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"run", "tiny", "Where is the king?", "--seed", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  const int prompt = answer({"--max-tokens", "1", "--json"}).json()["prompt_eval_count"].get<int>();
  const std::string context = std::to_string(prompt + 3);  // too short for any answer to end by itself
  EXPECT_EQ(answer({"--ctx", context, "--json"}).json()["eval_count"], 3);
  EXPECT_NE(answer({"--ctx", context}).err.find("fill the context of " + context), std::string::npos);
  EXPECT_NE(answer({"--max-tokens", "4"}).err.find("limit of 4 tokens; --max-tokens N allows more"), std::string::npos);
  expect_refused({"run", "tiny", "Where is the king?", "--ctx", "2"}, {1}, {"--ctx allows 2"});
}

TEST_F(Tiny, ContinuesATextAsItIs) {
  const Result r = run_well({"generate", "tiny", "--prompt", "ROMEO:\n", "--max-new-tokens", "12", "--json"});
  EXPECT_GT(r.json()["texts"][0].get<std::string>().size(), std::string("ROMEO:\n").size() + 10) << r.out;
}

TEST_F(Tiny, IsTakenIntoTheStoreOnRequest) {
  const Json pulled = run({"pull", "tiny", "--json"}).json();
  EXPECT_EQ(pulled["name"], "tiny");
  EXPECT_EQ(pulled["size"], fs::file_size(kTree / "models" / "tiny.gguf"));
  EXPECT_EQ(run_well({"list", "--quiet"}).out, "tiny\n");
  EXPECT_EQ(run({"cp", "tiny", "mine"}).code, 0);
  EXPECT_EQ(run({"rm", "tiny"}).code, 0);
  EXPECT_EQ(run({"run", "mine", "Hail", "--temperature", "0", "--max-tokens", "8"}).out, run({"run", "tiny", "Hail", "--temperature", "0", "--max-tokens", "8"}).out);
}

// What models/README.md says about the file beside it.
TEST_F(Tiny, IsAsGoodAsItsDescriptionSays) {
  const std::string text = read_file(kTree / "models" / "README.md");
  std::smatch said;
  ASSERT_TRUE(std::regex_search(text, said, std::regex("passages of the quantised file: ([0-9.]+)")));
  EXPECT_LE(fs::file_size(kTree / "models" / "tiny.gguf"), 4'000'000u);
  // The end of the text, which it did not learn from, a passage a row.
  const std::string packed = (kTree / "examples" / "tinyshakespeare.txt.gz").string();
  ASSERT_EQ(std::system(("gzip -dc '" + packed + "' > '" + file("text").string() + "'").c_str()), 0);
  std::string plays = read_file(file("text"));
  plays.erase(0, plays.size() * 19 / 20);
  std::ofstream out(file("passages.jsonl"));
  std::string passage;
  for (size_t at = 0; at < plays.size();) {
    const size_t end = std::min(plays.find("\n\n", at), plays.size());
    passage += plays.substr(at, end - at) + "<|endoftext|>";
    at = end + 2;
    if (passage.size() < 500) continue;
    out << Json{{"text", passage}}.dump() << "\n";
    passage.clear();
  }
  out.close();
  const Json loss = run_well({"eval", "tiny", "--file", file("passages.jsonl").string(), "--json"}).json();
  EXPECT_NEAR(loss["loss"].get<double>(), std::stod(said[1]), 0.005) << loss.dump();
}

TEST_F(Tiny, TheRecipeReproducesItsFirstLosses) {
  const std::vector<Json> expected = rows(kTree / "models" / "tiny.jsonl"), made = rows(recipe(10) / "model" / "log.jsonl");
  const Json wanted = row_of_step(expected, 10, "loss"), got = row_of_step(made, 10, "loss");
  ASSERT_TRUE(wanted.is_number() && got.is_number());
  EXPECT_NEAR(got.get<double>(), wanted.get<double>(), 1e-3);
  EXPECT_LT(std::abs(row_of_step(expected, 10, "grad_norm").get<double>() - row_of_step(made, 10, "grad_norm").get<double>()), 1e-2);
  EXPECT_EQ(run({"run", (file("tiny") / "tiny.gguf").string(), "Hail", "--temperature", "0", "--max-tokens", "4"}).code, 0);
}

}  // namespace
}  // namespace mynah::e2e
