#include "generation_options.h"

#include <algorithm>

#include "base/file.h"
#include "base/require.h"
#include "cli.h"
#include "generate/config.h"
#include "mynah/json.h"
#include "numbers.h"
#include "open_model.h"

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
    {"temperature", "divides the scores when sampling; speech: one, or several to try in order (0,0.2,0.4)"},
    {"top-k", "keep the k likeliest tokens (0: off)"},
    {"top-p", "keep the likeliest tokens up to this probability"},
    {"min-p", "keep tokens at least this likely, relative to the likeliest"},
    {"typical-p", "locally typical sampling"},
    {"epsilon-cutoff", "keep tokens above this probability"},
    {"eta-cutoff", "eta sampling"},
    {"repetition-penalty", "divides positive scores of tokens that occurred"},
    {"no-repeat-ngram-size", "no n-gram of this size occurs twice"},
    {"num-return-sequences", "answers per prompt (with --do-sample or --num-beams)"},
    {"num-beams", "beams of beam search (1: none)"},
    {"length-penalty", "beams: a score is its sum / length^N"},
    {"guidance-scale", "above 1: away from what the model says without the prompt"},
    {"encoder-repetition-penalty", "favours tokens of the encoder's input (of the prompt)"},
    {"encoder-no-repeat-ngram-size", "no n-gram of the encoder's input (of the prompt) occurs"},
    {"prompt-lookup-num-tokens", "speculation: guess so many tokens from where the last ones occurred before"},
    {"max-matching-ngram-size", "speculation: tokens that must match there (2)"},
    {"num-assistant-tokens", "speculation: most guesses of the assistant at once (20)"},
    {"assistant-confidence-threshold", "speculation: stop guessing after a token less likely than this (0.4)"},
    {"max-time", "seconds after which no token is added"},
    {"seed", "of the random numbers"},
    {"forced-bos-token-id", "first token"},
    {"pad-token-id", "pads rows that ended"},
    {"bos-token-id", "begins an answer where decoder-start-token-id is not given"},
    {"decoder-start-token-id", "first token of an encoder-decoder's answer"},
};
constexpr Row kJson[] = {
    {"eos-token-id", "end tokens: an id or a JSON list"},
    {"forced-eos-token-id", "last token at the limit: an id or a JSON list"},
    {"suppress-tokens", "JSON list of ids never chosen"},
    {"begin-suppress-tokens", "JSON list of ids not chosen first"},
    {"bad-words-ids", "JSON list of lists of ids"},
    {"sequence-bias", "JSON list of [ids, bias]"},
    {"exponential-decay-length-penalty", "JSON list [start, factor]"},
    {"watermarking-config", "JSON object: greenlist_ratio, bias, hashing_key, seeding_scheme, context_width"},
    {"stop-strings", "JSON list of texts that end the answer"},
};
constexpr Row kFlags[] = {
    {"do-sample", "draw tokens instead of taking the likeliest"},
    {"renormalize-logits", "normalise the scores again"},
    {"remove-invalid-values", "replace NaN and infinity in the scores"},
    {"output-scores", "print every step's processed scores, \"step_scores\""},
    {"output-logits", "print every step's logits, \"step_logits\""},
};

// Of models that write down sound.
constexpr Row kSpeech[] = {
    {"language", "of the speech: en, english (default: heard from it)"},
    {"task", "transcribe, or translate to English"},
    {"prompt-ids", "JSON list of ids that came before"},
    {"prompt-condition-type", "first-segment or all-segments: which windows read prompt-ids"},
    {"compression-ratio-threshold", "text that compresses better than this is tried again at the next temperature"},
    {"logprob-threshold", "so is text whose mean log-probability is lower"},
    {"no-speech-threshold", "such a text is left out where the probability of silence is higher"},
};
constexpr Row kSpeechFlags[] = {
    {"return-timestamps", "say when each segment begins and ends"},
    {"return-token-timestamps", "say when each token ends"},
    {"condition-on-prev-tokens", "each window reads what the ones before said"},
    {"is-multilingual", "whether the model knows other languages than English"},
};

// Values of these may be bare words.
bool is_text(const std::string& name) { return name == "stop_strings" || name == "language" || name == "task" || name == "prompt_condition_type"; }

std::string snake(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace

std::string read_format(const std::string& format) { return format == "json" ? format : read_text_file(format, 4 << 20); }

void GenerationOptions::add_speech(cli::App& command) {
  for (const Row& row : kSpeech) option(command, row.name, row.help, "VALUE", "Speech");
  for (const Row& row : kSpeechFlags) flag(command, row.name, row.help, "Speech");
}

void GenerationOptions::option(cli::App& command, const char* name, const char* help, const char* type, const char* group) {
  command.add_option_function(
             std::string("--") + name, [this, key = snake(name)](const std::string& v) { values_[key] = v; }, help)
      ->type_name(type)
      ->group(group);
}
void GenerationOptions::flag(cli::App& command, const char* name, const char* help, const char* group) {
  command.add_flag_function(
             std::string("--") + name + "{true}", [this, key = snake(name)](int64_t count) { values_[key] = count > 0 ? "true" : "false"; }, help)
      ->group(group);
}

void GenerationOptions::add(cli::App& command) {
  for (const Row& row : kNumbers) option(command, row.name, row.help, "N", "Generation");
  for (const Row& row : kJson) option(command, row.name, row.help, "JSON", "Generation");
  for (const Row& row : kFlags) flag(command, row.name, row.help, "Generation");
  command.add_option("--assistant-model", assistant_, "speculation: a smaller model of the same vocabulary")->type_name("MODEL")->group("Generation");
  command.add_option("--format", format_, "json, or the file of a JSON Schema that the answer keeps to")->type_name("json|FILE")->group("Generation");
  command.add_option("--regex", regex_, "a regular expression that the whole answer matches")->type_name("PATTERN")->group("Generation");
  command.add_flag("--early-stopping{true}", early_stopping_, "beams: stop when there are enough; \"never\" before none can win")
      ->check(cli::IsMember({"true", "false", "1", "0", "never"}))
      ->group("Generation");
}

Json GenerationOptions::settings() const {
  Json settings = Json::object();
  for (const auto& [name, text] : values_) {
    if (name == "seed") {
      settings[name] = seed_of("--seed", text);
      continue;
    }
    try {
      settings[name] = Json::parse(name == "temperature" && text.find(',') != std::string::npos && !text.starts_with('[') ? "[" + text + "]" : text);
    } catch (const Json::exception&) {
      if (is_text(name)) settings[name] = text;
      else fail(ErrorCode::usage, "--{}: \"{}\" is not a number or JSON", [&] { std::string k = name; std::replace(k.begin(), k.end(), '_', '-'); return k; }(), text);
    }
  }
  if (!early_stopping_.empty()) settings["early_stopping"] = early_stopping_ == "never" ? Json("never") : Json(early_stopping_ == "true" || early_stopping_ == "1");
  const auto contradict = [&](const char* low, const char* high) {
    const auto number = [&](const char* name) { return settings.contains(name) && settings[name].is_number() ? settings[name].get<double>() : -1; };
    if (number(low) >= 0 && number(high) >= 0 && number(low) > number(high))
      fail(ErrorCode::usage, "generation: {} is {}, expected at most {}, {}", low, settings[low].dump(), high, settings[high].dump());
  };
  contradict("min_length", "max_length");
  contradict("min_new_tokens", "max_new_tokens");
  return settings;
}

void GenerationOptions::apply(GenerationConfig* config) const {
  const Json settings = this->settings();
  if (settings.contains("bad_words_ids")) config->bad_words_ids.clear();
  if (settings.contains("sequence_bias")) config->sequence_bias.clear();
  generation::apply(settings, config, true);
  if (!format_.empty() && !regex_.empty()) fail(ErrorCode::usage, "generation: give one of format and regex");
  if (!format_.empty()) config->format = read_format(format_);
  if (!regex_.empty()) config->regex = regex_;
  if (!assistant_.empty()) config->assistant_model = std::make_shared<Model>(open_model(assistant_, {}, false));
}

}  // namespace mynah::app
