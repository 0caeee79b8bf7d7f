#include "generation_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "generate/config.h"

namespace mynah::app {
namespace {

struct Row {
  const char* name;
  const char* help;
};
constexpr Row kNumbers[] = {
    {"max-new-tokens", "most new tokens"},
    {"max-length", "most tokens of prompt and answer"},
    {"min-new-tokens", "fewest new tokens"},
    {"min-length", "fewest tokens of prompt and answer"},
    {"temperature", "divides the scores when sampling"},
    {"top-k", "keep the k likeliest tokens (0: off)"},
    {"top-p", "keep the likeliest tokens up to this probability"},
    {"min-p", "keep tokens at least this likely, relative to the likeliest"},
    {"typical-p", "locally typical sampling"},
    {"epsilon-cutoff", "keep tokens above this probability"},
    {"eta-cutoff", "eta sampling"},
    {"repetition-penalty", "divides positive scores of tokens that occurred"},
    {"no-repeat-ngram-size", "no n-gram of this size occurs twice"},
    {"num-return-sequences", "answers per prompt (with --do-sample)"},
    {"seed", "of the random numbers"},
    {"forced-bos-token-id", "first token"},
    {"pad-token-id", "pads rows that ended"},
};
constexpr Row kJson[] = {
    {"eos-token-id", "end tokens: an id or a JSON list"},
    {"forced-eos-token-id", "last token at the limit: an id or a JSON list"},
    {"suppress-tokens", "JSON list of ids never chosen"},
    {"begin-suppress-tokens", "JSON list of ids not chosen first"},
    {"bad-words-ids", "JSON list of lists of ids"},
    {"sequence-bias", "JSON list of [ids, bias]"},
    {"exponential-decay-length-penalty", "JSON list [start, factor]"},
    {"stop-strings", "JSON list of texts that end the answer"},
};
constexpr Row kFlags[] = {
    {"do-sample", "draw tokens instead of taking the likeliest"},
    {"renormalize-logits", "normalise the scores again"},
    {"remove-invalid-values", "replace NaN and infinity in the scores"},
};

std::string snake(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace

void GenerationOptions::add(CLI::App& command) {
  const auto option = [&](const Row& row, const char* type) {
    command.add_option_function<std::string>(
               std::string("--") + row.name, [this, key = snake(row.name)](const std::string& v) { values_[key] = v; }, row.help)
        ->type_name(type)
        ->group("Generation");
  };
  for (const Row& row : kNumbers) option(row, "N");
  for (const Row& row : kJson) option(row, "JSON");
  for (const Row& row : kFlags)
    command.add_flag_function(
               std::string("--") + row.name + "{true}", [this, key = snake(row.name)](int64_t count) { values_[key] = count > 0 ? "true" : "false"; }, row.help)
        ->group("Generation");
}

void GenerationOptions::apply(GenerationConfig* config) const {
  Json settings = Json::object();
  for (const auto& [name, text] : values_) {
    try {
      settings[name] = Json::parse(text);
    } catch (const nlohmann::json::exception&) {
      if (name == "stop_strings") settings[name] = text;  // a bare word is one stop string
      else fail(ErrorCode::usage, "--{}: \"{}\" is not a number or JSON", [&] { std::string k = name; std::replace(k.begin(), k.end(), '_', '-'); return k; }(), text);
    }
  }
  if (settings.contains("bad_words_ids")) config->bad_words_ids.clear();
  if (settings.contains("sequence_bias")) config->sequence_bias.clear();
  generation::apply(settings, config, true);
}

}  // namespace mynah::app
