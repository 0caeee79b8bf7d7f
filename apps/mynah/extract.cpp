// mynah extract --schema FILE TEXTFILE...: texts to JSON that satisfies a schema, by any chat model.
#include "answering.h"
#include "base/file.h"
#include "base/require.h"
#include "base/unicode.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/generate.h"
#include "mynah/json.h"
#include "open_model.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

struct ExtractOptions {
  std::string schema, model = "smollm2", output;
  std::vector<std::string> files;
  int64_t max_tokens = 512;
  bool json = true;
};

constexpr size_t kMostTextBytes = 16u << 20;

std::vector<int32_t> prompt(const Model& model, const std::string& schema, const std::string& text) {
  return chat_prompt(
      model,
      {{"system", "You extract data from texts. Answer with JSON only, with values that stand in the text."},
       {"user", "Text:\n" + text + "\n\nExtract from this text a JSON value that follows this schema:\n" + schema}});
}

// The longest part of a text, from its start, whose prompt leaves room for the answer. What is left out is said.
std::vector<int32_t> fitting_prompt(const Model& model, const ExtractOptions& o, const std::string& schema,
                                    const std::string& file, const std::string& text) {
  std::vector<int32_t> ids = prompt(model, schema, text);
  const int64_t room = prompt_room(model, o.max_tokens);
  size_t length = text.size();
  while (static_cast<int64_t>(ids.size()) > room) {
    require(length > 0,
            "extract: the schema alone has {} tokens, there is room for {}; shorten it or take a model with a longer "
            "context",
            ids.size(), room);
    // Towards the room, a little below it; the number of tokens is nearly proportional to that of bytes.
    length = std::min(length - 1, length * static_cast<size_t>(std::max<int64_t>(room - 16, 0)) / ids.size());
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
    ids = prompt(model, schema, text.substr(0, length));
  }
  if (length < text.size())
    fmt::print(stderr, "{}: longer than the model's context: the last {} of {} bytes were left out\n", file,
               text.size() - length, text.size());
  return ids;
}

int run_extract(const ExtractOptions& o) {
  const Json schema = read_json_file(o.schema);
  const Model model = open_model(o.model, Precision::automatic);
  GenerationConfig config = likeliest_settings(model, o.max_tokens);
  config.format = schema.dump();
  std::string rows;
  for (const auto& file : o.files) {
    const std::string text = text_of_file(file, kMostTextBytes);
    // Of nothing a model would make something up.
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
      fmt::print(stderr, "{}: no text in it, no rows\n", shown_file(file));
      continue;
    }
    const Generated g = Session(model).generate(fitting_prompt(model, o, schema.dump(), shown_file(file), text), config);
    const Json value = parse_json(g.text, shown_file(file) + ": the model's answer");
    // A list is as many rows.
    std::string lines;
    if (value.is_array())
      for (const auto& row : value) lines += row.dump() + "\n";
    else
      lines = value.dump() + "\n";
    if (o.output.empty())
      print_text(lines);
    else
      rows += lines;
  }
  if (!o.output.empty()) {
    AtomicFile out(o.output);
    out.write(rows);
    out.commit();
  }
  return 0;
}

}  // namespace

void add_extract(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("extract", "Turn texts into JSON rows of a schema");
  auto o = std::make_shared<ExtractOptions>();
  c->add_option("--schema", o->schema, "a JSON Schema; of type array: each element is a row")
      ->required()
      ->type_name("FILE");
  c->add_option("files", o->files, "text files, - for standard input")->required()->type_name("FILE");
  c->add_option("--model", o->model, "chat model (smollm2)")->type_name("MODEL");
  c->add_option("--output-file", o->output, "rows go there, whole or not at all")->type_name("FILE");
  c->add_option("--max-tokens", o->max_tokens, "most tokens of one answer (512)")->check(cli::Range(8, 100000));
  c->add_flag("--json", o->json, "rows are JSON in any case");
  c->callback([o, &action] { action = [o] { return run_extract(*o); }; });
}

}  // namespace mynah::app
