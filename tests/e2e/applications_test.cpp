// index, ask, extract, review and complete: what surrounds the model. The models are tiny and random, so only the form of their answers counts.
#include <fstream>

#include "program.h"

namespace mynah::e2e {
namespace {

class Applications : public Sandbox {
 protected:
  void SetUp() override {
    fs::create_directories(file("notes"));
    write_file(file("notes/birds.md"), "# Birds\nThe bird sings in the park.\n\n# Cities\nAnna lives in Paris.\n");
    write_file(file("notes/numbers.txt"), "one two three\n");
    // A model whose vocabulary has every byte, with room for a prompt: rotary positions have no table, its context is what the config says.
    ASSERT_EQ(run({"convert", golden("gguf_llama_f32").string(), file("llama").string()}).code, 0);
    Json config = Json::parse(read_file(file("llama/config.json")));
    config["max_position_embeddings"] = 4096;
    write_file(file("llama/config.json"), config.dump());
  }
  std::string notes() const { return file("notes").string(); }
  std::string llama() const { return file("llama").string(); }
  std::string encoder() const { return (fs::path(MYNAH_TEST_DATA) / "golden/tasks/bert_mask").string(); }
};

TEST_F(Applications, AnIndexReadsOnlyWhatChanged) {
  const std::vector<std::string> command = {"index", notes(), "--embedder", encoder(), "--json"};
  EXPECT_EQ(run(command).json()["read"], 2);
  EXPECT_EQ(run(command).json()["read"], 0);
  write_file(file("notes/numbers.txt"), "one two three four\n");
  const Json again = run(command).json();
  EXPECT_EQ(again["read"], 1);
  EXPECT_EQ(again["files"], 2);
  // What is no text is neither read nor counted, and that is said.
  write_file(file("notes/noise.bin"), std::string("\x01\x00\xff\x80\x02noise", 10));
  const Json beside = run(command).json();
  EXPECT_EQ(beside["read"], 0);
  EXPECT_EQ(beside["files"], 2);
  EXPECT_EQ(beside["no_text"], 1);
  EXPECT_NE(run({"index", notes(), "--embedder", encoder()}).out.find("1 passed over: no text"), std::string::npos);
}

TEST_F(Applications, ASearchNamesFileAndLine) {
  const Result result = run({"ask", notes(), "Who lives in Paris?", "--embedder", encoder(), "--search-only", "--json", "--top-k", "1"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json source = result.json()["sources"][0];
  EXPECT_EQ(source["path"], "birds.md");
  EXPECT_LE(source["first_line"].get<int>(), 5);
  EXPECT_GE(source["last_line"].get<int>(), 5);
  EXPECT_NE(source["text"].get<std::string>().find("Anna lives in Paris."), std::string::npos);
}

TEST_F(Applications, AnAnswerComesWithItsSources) {
  const Result result = run({"ask", notes(), "Who lives in Paris?", "--embedder", encoder(), "--model", llama(), "--json", "--max-tokens", "4"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.json()["answer"].is_string());
  EXPECT_FALSE(result.json()["sources"].empty());
}

TEST_F(Applications, WhatAnEmptyFolderSays) {
  fs::create_directories(file("empty"));
  const Result result = run_well({"ask", file("empty").string(), "Who?", "--embedder", encoder(), "--json"});
  EXPECT_TRUE(result.json()["answer"].is_null());
  expect_refused({"ask", file("nowhere").string(), "Who?", "--embedder", encoder()}, {3}, {"nowhere", "folder"});
  expect_refused({"ask", notes(), " ", "--embedder", encoder()}, {2}, {"question"});
}

TEST_F(Applications, ExtractedRowsSatisfyTheSchema) {
  write_file(file("schema.json"), R"({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "object", "properties": {"n": {"enum": [1, 2]}},
                                      "required": ["n"], "additionalProperties": false}})");
  const std::vector<std::string> command = {"extract", "--schema", file("schema.json").string(), "--model", llama(), file("notes/birds.md").string(), file("notes/numbers.txt").string()};
  const auto lines = run_well(command).lines();
  ASSERT_EQ(lines.size(), 4u);
  for (const auto& line : lines) {
    const int n = Json::parse(line)["n"];
    EXPECT_TRUE(n == 1 || n == 2) << line;
  }
  // Of a file without text nothing is made up.
  write_file(file("empty.txt"), " \n");
  std::vector<std::string> more = command;
  more.push_back(file("empty.txt").string());
  const Result beside = run(more);
  EXPECT_EQ(beside.code, 0) << beside.err;
  EXPECT_EQ(beside.lines(), lines);
  EXPECT_NE(beside.err.find("empty.txt: no text in it"), std::string::npos) << beside.err;
  write_file(file("bad.json"), "{");
  expect_refused({"extract", "--schema", file("bad.json").string(), "--model", llama(), file("notes/birds.md").string()}, {1, 2, 5}, {"bad.json"});
  // Nothing is written when one of the files is missing.
  std::vector<std::string> broken = command;
  broken.insert(broken.end(), {file("missing.txt").string(), "--output-file", file("rows.jsonl").string()});
  expect_refused(broken, {3}, {"missing.txt"});
  EXPECT_FALSE(fs::exists(file("rows.jsonl")));
}

constexpr const char* kDiff = R"(diff --git a/src/a.c b/src/a.c
index 1..2 100644
--- a/src/a.c
+++ b/src/a.c
@@ -8,3 +8,4 @@ int f(int x)
   int y = x;
-  return y;
+  y = y / 0;
+  return x;
 }
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-old
\ No newline at end of file
)";

TEST_F(Applications, AReviewNamesAddedLines) {
  const Json comments = run({"review", "--model", llama(), "--json", "--max-tokens", "300"}, kDiff).json();
  ASSERT_TRUE(comments.is_array());
  for (const auto& comment : comments) {
    EXPECT_EQ(comment["path"], "src/a.c");
    const int line = comment["line"];
    EXPECT_TRUE(line == 9 || line == 10) << line;
  }
  EXPECT_EQ(run({"review", "--model", llama(), "--json"}, "").json(), Json::array());
  expect_refused({"review", "--model", llama()}, {1}, {"no diff"}, "hello\n");
  const std::string cut = std::string(kDiff).substr(0, std::string(kDiff).find("+  return"));
  expect_refused({"review", "--model", llama()}, {1}, {"src/a.c", "missing"}, cut);
}

TEST_F(Applications, ACompletionKnowsItsPlace) {
  write_file(file("a.py"), "def f(x):\n    return\n\nprint(f(1))\n");
  const Result result = run({"complete", file("a.py").string(), "--at", "2:11", "--model", llama(), "--json", "--max-tokens", "4"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["fills_in_the_middle"], false);
  EXPECT_NE(result.err.find("continues what comes before"), std::string::npos);
  expect_refused({"complete", file("a.py").string(), "--at", "9", "--model", llama()}, {2}, {"--at", "1..5"});
  expect_refused({"complete", file("a.py").string(), "--at", "2:99", "--model", llama()}, {2}, {"--at"});
}

}  // namespace
}  // namespace mynah::e2e
