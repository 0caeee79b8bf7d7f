// mynah tokenizer train: a tokenizer from text.
#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "data/rows.h"
#include "subject_options.h"
#include "text/trainer.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct TokenizerOptions {
  text::TrainerOptions trainer;
  std::string special_tokens, output;
  std::vector<std::string> files;
  bool json = false;
};

// What special tokens of known names are for.
Json roles(const Json& tokenizer) {
  static const std::map<std::string, std::vector<const char*>> known = {{"[PAD]", {"pad_token"}},  {"<pad>", {"pad_token"}},
                                                                        {"[UNK]", {"unk_token"}},  {"<unk>", {"unk_token"}},
                                                                        {"[CLS]", {"cls_token"}},  {"[SEP]", {"sep_token"}},
                                                                        {"[MASK]", {"mask_token"}}, {"<mask>", {"mask_token"}},
                                                                        {"<s>", {"bos_token"}},    {"</s>", {"eos_token"}},
                                                                        {"<|endoftext|>", {"bos_token", "eos_token"}}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}, {"model_max_length", 1e30}};
  for (const Json& token : tokenizer["added_tokens"])
    if (const auto it = known.find(token["content"].get<std::string>()); it != known.end())
      for (const char* role : it->second) config[role] = it->first;
  return config;
}

void write_json(const fs::path& path, const Json& json) {
  AtomicFile file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

// The lines of the rows' texts, as if they stood in a file of text.
void feed_rows(const fs::path& file, const std::function<void(std::string_view)>& visit) {
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string text = data::text_field(row, "text", where) + "\n";
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at) + 1;
      visit(std::string_view(text).substr(at, end - at));
      at = end;
    }
  });
}

int run_tokenizer(const TokenizerOptions& o) {
  text::TrainerOptions trainer = o.trainer;
  trainer.special_tokens = comma_list(o.special_tokens);
  const Json tokenizer = text::train_tokenizer(trainer, [&](const auto& visit) {
    for (const std::string& file : o.files) {
      if (data::holds_fields(file)) feed_rows(file, visit);
      else data::for_each_line(file == "-" ? "/dev/stdin" : file, visit);
    }
  });
  fs::create_directories(o.output);
  write_json(fs::path(o.output) / "tokenizer_config.json", roles(tokenizer));
  write_json(fs::path(o.output) / "tokenizer.json", tokenizer);
  const size_t size = tokenizer["model"]["vocab"].size();
  if (o.json) print_json({{"output", o.output}, {"vocab_size", size}});
  else fmt::print(stderr, "{}: {} tokens\n", o.output, size);
  return 0;
}

}  // namespace

void add_tokenizer(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("tokenizer", "Make tokenizers: tokenizer train");
  c->require_subcommand(1);
  cli::App* t = c->add_subcommand("train", "Make a tokenizer from text files");
  auto o = std::make_shared<TokenizerOptions>();
  t->add_option("files", o->files, "text, or .jsonl, .json or .csv rows with \"text\" (also .gz, .zst; - is standard input); a line with its newline is a unit")->required()->type_name("FILE...");
  t->add_option("--type", o->trainer.type, "bpe, wordpiece, unigram or char")->capture_default_str();
  t->add_flag("--byte-level{true}", o->trainer.byte_level, "bpe over bytes, as GPT-2");
  t->add_option("--vocab-size", o->trainer.vocab_size, "tokens, special ones included")->capture_default_str();
  t->add_option("--min-frequency", o->trainer.min_frequency, "of a pair that is merged")->capture_default_str();
  t->add_option("--special-tokens", o->special_tokens, "comma list: the first ids")->type_name("A,B");
  t->add_flag("--lowercase{true}", o->trainer.lowercase, "wordpiece: lower case, no accents");
  t->add_option("--output", o->output, "folder to write")->required()->type_name("DIR");
  t->add_flag("--json", o->json, "say what was made as JSON");
  t->callback([o, &action] { action = [o] { return run_tokenizer(*o); }; });
}

}  // namespace mynah::app
