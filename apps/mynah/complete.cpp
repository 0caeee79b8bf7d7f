// mynah complete FILE --at LINE: what could stand at a place of a source file. Models that were taught to fill in the
// middle read what follows the place too (arXiv:2207.14255); others continue what comes before it.
#include <algorithm>
#include <optional>

#include "answering.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/generate.h"
#include "mynah/json.h"
#include "numbers.h"
#include "open_model.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

struct CompleteOptions {
  std::string file, at, model = "smollm2";
  int64_t max_tokens = 128;
  bool json = false;
};

// The three marks of a model family, as its vocabulary spells them.
struct Marks {
  const char *prefix, *suffix, *middle;
  bool suffix_first = false;
};
constexpr Marks kMarks[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},           // Qwen2.5-Coder, CodeGemma, Granite
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},                 // StarCoder
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},                 // SantaCoder
    {"\xe2\x96\x81<PRE>", "\xe2\x96\x81<SUF>", "\xe2\x96\x81<MID>"},  // Code Llama
    {"<\xef\xbd\x9c"
     "fim\xe2\x96\x81"
     "begin\xef\xbd\x9c>",
     "<\xef\xbd\x9c"
     "fim\xe2\x96\x81hole\xef\xbd\x9c>",
     "<\xef\xbd\x9c"
     "fim\xe2\x96\x81"
     "end\xef\xbd\x9c>"},                     // DeepSeek-Coder
    {"[PREFIX]", "[SUFFIX]", nullptr, true},  // Codestral
};

struct Place {
  std::string before, after;
};

// LINE is its end, LINE:COLUMN stands before that character (counted from 1, in bytes).
Place split(const std::string& text, const std::string& at) {
  const size_t colon = at.find(':');
  const int64_t line = integer_in("--at", at.substr(0, colon), 1, 1 << 30);
  size_t start = 0;
  for (int64_t n = 1; n < line; ++n) {
    const size_t end = text.find('\n', start);
    if (end == std::string::npos) fail(ErrorCode::usage, "--at: line {}, expected 1..{}", line, n);
    start = end + 1;
  }
  const size_t end = std::min(text.find('\n', start), text.size());
  size_t place = end;
  if (colon != std::string::npos)
    place = start +
            static_cast<size_t>(integer_in("--at", at.substr(colon + 1), 1, static_cast<int64_t>(end - start) + 1)) - 1;
  return {text.substr(0, place), text.substr(place)};
}

std::vector<int32_t> tail(std::vector<int32_t> ids, int64_t most) {
  if (static_cast<int64_t>(ids.size()) > most) ids.erase(ids.begin(), ids.end() - most);
  return ids;
}

int run_complete(const CompleteOptions& o) {
  const std::string text = text_of_file(o.file, 16u << 20);
  const Place place = split(text, o.at);
  const Model model = open_model(o.model, Precision::automatic);
  require(model.tokenizer() != nullptr, "complete: {} comes without a tokenizer", o.model);
  const Tokenizer& tokenizer = *model.tokenizer();
  const Marks* marks = nullptr;
  for (const auto& candidate : kMarks)
    if (!marks && tokenizer.token_id(candidate.prefix) && tokenizer.token_id(candidate.suffix) &&
        (!candidate.middle || tokenizer.token_id(candidate.middle)))
      marks = &candidate;

  GenerationConfig config = likeliest_settings(model, o.max_tokens);
  if (config.eos_token_id.empty() && tokenizer.eos_id()) config.eos_token_id = {*tokenizer.eos_id()};
  const int64_t room = prompt_room(model, o.max_tokens + 8);
  require(room > 16, "complete: the model reads {} tokens, --max-tokens leaves no room for the file",
          model.context_length());
  auto before = tokenizer.encode_ids(place.before, false, false),
       after = tokenizer.encode_ids(place.after, false, false);
  const int64_t have = static_cast<int64_t>(before.size() + (marks ? after.size() : 0));
  if (have > room) fmt::print(stderr, "(the model reads the {} nearest of {} tokens of the file)\n", room, have);
  std::vector<int32_t> ids;
  if (marks) {
    after.resize(std::min(after.size(), static_cast<size_t>(room / 3)));
    before = tail(std::move(before), room - static_cast<int64_t>(after.size()));
    const auto put = [&](const char* mark, const std::vector<int32_t>& part) {
      if (mark) ids.push_back(*tokenizer.token_id(mark));
      ids.insert(ids.end(), part.begin(), part.end());
    };
    if (tokenizer.bos_id() && marks->suffix_first) ids.push_back(*tokenizer.bos_id());
    if (marks->suffix_first) {
      put(marks->suffix, after);
      put(marks->prefix, before);
    } else {
      put(marks->prefix, before);
      put(marks->suffix, after);
      put(marks->middle, {});
    }
    for (const char* mark : {marks->prefix, marks->suffix, marks->middle, "<|file_sep|>", "<file_sep>"})
      if (mark)
        if (const auto id = tokenizer.token_id(mark)) config.eos_token_id.push_back(*id);
  } else {
    fmt::print(stderr, "({} was not taught to fill in the middle: it continues what comes before)\n", o.model);
    ids = tail(std::move(before), room);
    if (ids.empty())
      fail(ErrorCode::failure, "complete: nothing comes before {} and the model cannot look behind it", o.at);
  }
  // What merely continues ends with its paragraph; blank lines before it do not count.
  std::string written;
  const Generated g = Session(model).generate(ids, config, [&](const std::string& piece) {
    written += piece;
    const size_t begin = written.find_first_not_of(" \n"),
                 end = marks || begin == std::string::npos ? begin : written.find("\n\n", begin);
    const bool ends = !marks && end != std::string::npos && end != begin;
    if (!o.json)
      print_text(ends ? piece.substr(0, piece.size() - std::min(piece.size(), written.size() - end)) : piece);
    if (ends) written.resize(end);
    return !ends;
  });
  if (o.json)
    print_json({{"completion", written}, {"fills_in_the_middle", marks != nullptr}, {"tokens", g.ids.size()}});
  else
    print_text("\n");
  return 0;
}

}  // namespace

void add_complete(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("complete", "Complete a source file at a line");
  auto o = std::make_shared<CompleteOptions>();
  c->add_option("file", o->file, "a source file, - for standard input; it is not changed")->required()->type_name("FILE");
  c->add_option("--at", o->at, "LINE: at its end; LINE:COLUMN: before that character")
      ->required()
      ->type_name("LINE[:COLUMN]");
  c->add_option("--model", o->model, "a code model fills in the middle, others continue (smollm2)")->type_name("MODEL");
  c->add_option("--max-tokens", o->max_tokens, "most new tokens (128)")->check(cli::Range(1, 100000));
  c->add_flag("--json", o->json, "one JSON object: completion, fills_in_the_middle");
  c->callback([o, &action] { action = [o] { return run_complete(*o); }; });
}

}  // namespace mynah::app
