// The commands that the documents show: each verb and option exists, and those that need neither network nor a second program run,
// with a tiny model in the place of the real one.
#include <algorithm>
#include <cctype>
#include <set>

#include "program.h"

namespace mynah::e2e {
namespace {

struct Command {
  std::string line;                // as the document has it
  std::vector<std::string> words;  // after "mynah"
  std::string input;               // what echo pipes into it
};

// Words of a shell line up to a comment: quotes keep words together. Cut at two spaces outside quotes, where a description starts.
std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  bool any = false;
  const auto end_word = [&] {
    if (any) words.push_back(word);
    word.clear();
    any = false;
  };
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote) {
      if (c == quote) quote = 0;
      else word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      any = true;
    } else if (c == ' ') {
      end_word();
      if (i + 1 < line.size() && line[i + 1] == ' ') break;
    } else if (c == '#' && !any) {
      break;
    } else {
      word += c;
      any = true;
    }
  }
  end_word();
  return words;
}

// "mynah ..." lines of the code blocks of a document; a backslash at the end of a line continues it.
std::vector<Command> commands_of(const std::string& document) {
  std::vector<Command> all;
  std::istringstream text(document);
  bool code = false;
  for (std::string line; std::getline(text, line);) {
    if (line.rfind("```", 0) == 0) {
      code = !code;
      continue;
    }
    if (!code) continue;
    for (std::string more; line.ends_with('\\') && std::getline(text, more);) line = line.substr(0, line.size() - 1) + more;
    std::vector<std::string> words = split(line);
    Command c{line, {}, ""};
    const auto bar = std::find(words.begin(), words.end(), "|");
    if (bar != words.end() && !words.empty() && words[0] == "echo") {
      for (auto word = words.begin() + 1; word != bar; ++word) c.input += (c.input.empty() ? "" : " ") + *word;
      c.input += "\n";
      words.erase(words.begin(), bar + 1);
    }
    if (words.empty() || (words[0] != "mynah" && words[0] != "./mynah")) continue;
    c.words.assign(words.begin() + 1, words.end());
    if (!c.words.empty()) all.push_back(c);
  }
  return all;
}

// "pull, list, show" are three commands, "bash|zsh" is two words to choose from.
std::vector<Command> expanded(const Command& c) {
  if (c.words[0].ends_with(',')) {
    std::vector<Command> all;
    for (std::string verb : c.words) {
      if (verb.ends_with(',')) verb.pop_back();
      all.push_back({c.line, {verb, "--help"}, ""});
    }
    return all;
  }
  for (size_t i = 0; i < c.words.size(); ++i) {
    std::string word = c.words[i];
    if (word.find('|') == std::string::npos) continue;
    std::vector<Command> all;
    for (size_t at = 0; at <= word.size();) {
      const size_t end = std::min(word.find('|', at), word.size());
      Command one = c;
      one.words[i] = word.substr(at, end - at);
      for (Command& further : expanded(one)) all.push_back(further);
      at = end + 1;
    }
    return all;
  }
  return {c};
}

class Documents : public Sandbox {
 protected:
  std::vector<std::pair<std::string, std::string>> documents() const {
    const fs::path root = fs::path(MYNAH_TEST_DATA).parent_path();
    std::vector<std::pair<std::string, std::string>> all = {{"README.md", read_file(root / "README.md")}};
    for (const auto& entry : fs::directory_iterator(root / "docs"))
      if (entry.path().extension() == ".md") all.emplace_back(entry.path().filename().string(), read_file(entry.path()));
    return all;
  }

  void expect_known(const Command& c, const std::string& where) {
    std::string help = help_of({c.words[0]});
    // A second verb ("tokenizer train"); of other commands this asks for the same help again.
    if (c.words.size() > 1 && !c.words[1].empty() && std::islower(static_cast<unsigned char>(c.words[1][0])))
      help += help_of({c.words[0], c.words[1]});
    for (const std::string& word : c.words) {
      if (word.rfind("--", 0) != 0 || word == "--help") continue;
      const std::string option = word.substr(0, word.find('='));
      const size_t at = help.find(option);
      EXPECT_NE(at, std::string::npos) << where << ": " << c.line << "\n" << option << " is not an option of it";
    }
  }

  // The command with this test's files in the place of the document's names; nothing if it cannot run here.
  std::optional<std::vector<std::string>> runnable(const Command& c) {
    static const std::set<std::string> kAlone = {"run", "generate", "forward", "tokenize", "quantize", "convert", "show", "list", "ls", "bench", "doctor", "completion"};
    if (!kAlone.count(c.words[0]) || std::find(c.words.begin(), c.words.end(), "--image") != c.words.end()) return {};
    const std::string model = golden("gguf_llama_f32").string(), out = file("out" + std::to_string(++outputs_)).string();
    std::vector<std::string> words;
    for (const std::string& word : c.words) {
      if (word == "MODEL" || word == "smollm2" || word == "IN") words.push_back(model);
      else if (word == "OUT") words.push_back(out);
      else if (word.ends_with(".gguf") || word == "y.safetensors") words.push_back(out + "." + word.substr(word.rfind('.') + 1));
      else if (word == "x.safetensors") words.push_back(inputs(golden_file("gguf_llama_f32/io_grad.safetensors")).string());
      else if (word.ends_with(".safetensors") || word.ends_with(".json") || word.ends_with(".txt") || word.ends_with(".jsonl")) return {};
      else words.push_back(word);
    }
    return words;
  }

 private:
  std::string help_of(std::vector<std::string> words) {
    words.push_back("--help");
    const Result result = run(words);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  int outputs_ = 0;
};

TEST_F(Documents, ShowCommandsThatWork) {
  int seen = 0, ran = 0;
  for (const auto& [name, text] : documents())
    for (const Command& shown : commands_of(text))
      for (const Command& c : expanded(shown)) {
        ++seen;
        expect_known(c, name);
        const auto words = runnable(c);
        if (!words) continue;
        ++ran;
        // Without a prompt and without a terminal, `run` reads it from stdin.
        const Result result = run(*words, c.words[0] == "run" && c.input.empty() ? "Hello" : c.input);
        EXPECT_EQ(result.code, 0) << name << ": " << c.line << "\n" << result.err;
      }
  // The test itself must not rot: the README shows these many.
  EXPECT_GE(seen, 18);
  EXPECT_GE(ran, 10);
}

TEST(Lines, AreReadAsAShellReadsThem) {
  const auto all = commands_of("```\necho \"some text\" | mynah tokenize MODEL    ids  and more\n./mynah run x \"a  b\" # c\nmynah a|b, c\n```\nmynah not code\n```\nmynah a \\\n  --b\n```\n");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].words, (std::vector<std::string>{"tokenize", "MODEL"}));
  EXPECT_EQ(all[0].input, "some text\n");
  EXPECT_EQ(all[1].words, (std::vector<std::string>{"run", "x", "a  b"}));
  EXPECT_EQ(expanded({"", {"completion", "bash|zsh"}, ""}).size(), 2u);
  EXPECT_EQ(expanded({"", {"pull,", "list,", "cp"}, ""}).size(), 3u);
}

}  // namespace
}  // namespace mynah::e2e
