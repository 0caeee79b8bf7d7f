// mynah review: a git diff to comments on its lines, by any chat model.
#include <unistd.h>

#include <algorithm>

#include "answering.h"
#include "base/progress.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "diff.h"
#include "mynah/generate.h"
#include "mynah/json.h"
#include "open_model.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

struct ReviewOptions {
  std::string file = "-", model = "smollm2";
  int64_t max_tokens = 400;
  bool json = false;
};

// What an answer about a hunk looks like: line numbers can only be those of lines that were added.
std::string schema(const DiffHunk& hunk) {
  Json lines = Json::array();
  for (const auto& line : hunk.lines)
    if (line.kind == '+') lines.push_back(line.new_line);
  const Json comment = {{"type", "object"},
                        {"properties",
                         {{"comment", {{"type", "string"}, {"minLength", 8}, {"maxLength", 300}}},
                          {"line", {{"enum", lines}}},
                          {"severity", {{"enum", {"error", "warning", "note"}}}}}},
                        {"required", {"comment", "line", "severity"}},
                        {"additionalProperties", false}};
  return Json{{"type", "object"},
              {"properties", {{"comments", {{"type", "array"}, {"items", comment}, {"maxItems", 4}}}}},
              {"required", {"comments"}},
              {"additionalProperties", false}}
      .dump();
}

std::vector<int32_t> prompt(const Model& model, const DiffHunk& hunk) {
  std::string text = fmt::format("File {}{}{}\n", hunk.path, hunk.heading.empty() ? "" : ", in ", hunk.heading);
  for (const auto& line : hunk.lines)
    text += line.kind == '-' ? fmt::format("     - {}\n", line.text)
                             : fmt::format("{:4} {} {}\n", line.new_line, line.kind, line.text);
  return chat_prompt(model, {{"system",
                              "You review changes of source code. Lines with + were added, lines with - removed; "
                              "numbers are those of the new file. Point out "
                              "mistakes and risks in added lines: wrong logic, missing checks, leaks, unclear names. "
                              "If there is nothing to say, give no comments."},
                             {"user", text}});
}

bool adds(const DiffHunk& hunk) {
  for (const auto& line : hunk.lines)
    if (line.kind == '+' && line.text.find_first_not_of(" \t") != std::string::npos) return true;
  return false;
}

int run_review(const ReviewOptions& o) {
  if (o.file == "-" && isatty(STDIN_FILENO))
    fail(ErrorCode::usage, "review: no diff; pipe one in: git diff | mynah review");
  const std::string text = text_of_file(o.file, 16u << 20);
  const auto hunks = parse_diff(text);
  if (hunks.empty()) {
    require(text.find_first_not_of(" \t\r\n") == std::string::npos || text.starts_with("diff "),
            "review: the input is no diff; pipe in the output of git diff");
    if (o.json)
      print_json(Json::array());
    else
      fmt::print(stderr, "nothing to review: the diff has no changed lines\n");
    return 0;
  }
  const Model model = open_model(o.model, Precision::automatic);
  GenerationConfig config = likeliest_settings(model, o.max_tokens);
  ProgressOptions look;
  look.bytes = false;
  look.noun = "hunks";
  look.quiet = !isatty(STDERR_FILENO);
  Progress bar("reviewing", static_cast<int64_t>(hunks.size()), look);
  Json all = Json::array();
  for (const auto& hunk : hunks) {
    const auto ids = prompt(model, hunk);
    const int64_t room = prompt_room(model, o.max_tokens);
    if (static_cast<int64_t>(ids.size()) > room) {
      fmt::print(stderr, "{}: a hunk of {} tokens is left out, the model has room for {}\n", hunk.path, ids.size(),
                 room);
    } else if (adds(hunk)) {
      config.format = schema(hunk);
      std::vector<Json> said;
      const Json answer = parse_json(Session(model).generate(ids, config).text, "review: the model's answer");
      for (const auto& comment : answer["comments"]) {
        if (std::find(said.begin(), said.end(), comment) != said.end()) continue;  // small models repeat themselves
        said.push_back(comment);
        Json row = {{"path", hunk.path}};
        row.update(comment);
        all.push_back(row);
        if (!o.json)
          print_text(fmt::format("{}:{}: {}: {}\n", hunk.path, comment["line"].get<int64_t>(),
                                 comment["severity"].get<std::string>(), comment["comment"].get<std::string>()));
      }
    }
    bar.add(1);
  }
  bar.finish();
  if (o.json) print_json(all);
  return 0;
}

}  // namespace

void add_review(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("review", "Comment on the lines of a git diff");
  auto o = std::make_shared<ReviewOptions>();
  c->add_option("diff", o->file, "a file with a unified diff; without one it is read from standard input")
      ->type_name("FILE");
  c->add_option("--model", o->model, "chat model (smollm2)")->type_name("MODEL");
  c->add_option("--max-tokens", o->max_tokens, "most tokens of the comments on one hunk (400)")
      ->check(cli::Range(32, 100000));
  c->add_flag("--json", o->json, "a JSON list of {path, line, severity, comment}");
  c->callback([o, &action] { action = [o] { return run_review(*o); }; });
}

}  // namespace mynah::app
