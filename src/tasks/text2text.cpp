// text2text-generation, summarization, translation: encoder-decoders answer a text. As transformers 4.57's pipelines: 4 beams and 256 new
// tokens unless asked otherwise; task_specific_params of config.json give a prefix and settings.
#include <algorithm>

#include "base/log.h"
#include "base/require.h"
#include "generate/config.h"
#include "mynah/generate.h"
#include "nn/config.h"
#include "tasks/encode.h"
#include "tasks/languages.h"
#include "tasks/options.h"

namespace mynah {
namespace {
namespace t = tasks;

// config.json's settings for the task that was asked for, "translation_en_to_fr" before "translation".
Json own_settings(const t::OpenTask& task) {
  const Json& config = task.bundle().config;
  const auto all = config.find("task_specific_params");
  if (all == config.end() || !all->is_object()) return Json::object();
  for (const std::string& name : {task.asked, std::string(task.entry->name)})
    if (const auto it = all->find(name); it != all->end() && it->is_object()) return *it;
  // Plain "translation" means the first pair of languages that the model knows.
  for (const auto& [name, settings] : all->items())
    if (task.asked == "translation" && name.starts_with("translation_") && settings.is_object()) return settings;
  return Json::object();
}

// The token of the source's language, if one was named; the target's begins the answer.
std::optional<int32_t> choose_languages(const t::OpenTask& task, const Json& options, const t::Languages& known, GenerationConfig* c) {
  auto from = t::text(options, "src_lang"), to = t::text(options, "tgt_lang");
  const std::string where = task.entry->name;
  if (!known.any()) {
    if (from || to) warn("{}: {} translates between two languages only; src_lang and tgt_lang change nothing", where, task.bundle().name);
    return std::nullopt;
  }
  if (const auto named = t::languages_of(task.asked); named && !from && !to) {
    from = named->first;
    to = named->second;
  }
  if (task.entry->name == std::string_view("translation") && !to && !c->forced_bos_token_id)
    fail(ErrorCode::usage, "{}: this model knows many languages; give src_lang and tgt_lang", where);
  if (to) c->forced_bos_token_id = known.token(*to, where + ": tgt_lang");
  return from ? std::optional(known.token(*from, where + ": src_lang")) : std::nullopt;
}

std::vector<Json> text2text_answers(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options, const std::string& key) {
  const Json own = own_settings(task);
  GenerationConfig c = generation_defaults(task.model);
  // The model's settings, the pipeline's, those of the task, the caller's: later ones win.
  if (!c.max_length || *c.max_length == 20) c.max_new_tokens = 256;
  c.num_beams = 4;
  generation::apply(own, &c, false);
  generation::apply(t::generation_settings(*task.entry, options), &c, true);
  const t::Languages languages(task.tokenizer());
  const auto source = choose_languages(task, options, languages, &c);
  if (const auto stop = t::text(options, "stop_sequence")) {
    const auto ids = task.tokenizer().encode_ids(*stop, false);
    if (ids.empty()) fail(ErrorCode::usage, "{}: stop_sequence is empty", task.entry->name);
    c.eos_token_id = {ids[0]};
  }
  EncodeOptions cut;  // max_length among the options is the answer's
  if (t::has(options, "truncation")) cut = t::encode_options({{"truncation", options["truncation"]}});
  const std::string prefix = nn::config_string(own, "prefix", nn::config_string(task.bundle().config, "prefix", ""));
  const bool tokens = t::boolean(options, "return_tensors", false), clean = t::boolean(options, "clean_up_tokenization_spaces", false);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    GenerateInputs in;
    in.input_ids = {t::encode(task, {prefix + t::one_text(task, input), {}}, cut).ids};
    if (source) languages.mark(&in.input_ids[0], *source);
    in.attention_mask = {std::vector<int32_t>(in.input_ids[0].size(), 1)};
    Json records = Json::array();
    for (const auto& sequence : generate(task.model, in, c).sequences)
      records.push_back(tokens ? Json{{key + "_token_ids", sequence}} : Json{{key + "_text", task.tokenizer().decode(sequence, true, clean)}});
    results.push_back(std::move(records));
  }
  return results;
}

std::vector<Json> generated(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) { return text2text_answers(task, inputs, options, "generated"); }
std::vector<Json> summary(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) { return text2text_answers(task, inputs, options, "summary"); }
std::vector<Json> translation(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) { return text2text_answers(task, inputs, options, "translation"); }

// Several inputs with one answer each give the answers without lists around them.
Json flat(std::vector<Json> results, const Json&, bool one, const Json&) {
  if (one) return results[0];
  const bool single = std::all_of(results.begin(), results.end(), [](const Json& r) { return r.size() == 1; });
  Json out = Json::array();
  for (Json& r : results) out.push_back(single ? r[0] : std::move(r));
  return out;
}

std::string show_text2text(const Json&, const Json& result, const t::Style&) {
  std::string text;
  for (const Json& record : result) text += (record.begin()->is_string() ? record.begin()->get<std::string>() : record.dump()) + "\n";
  return text;
}

const std::vector<t::TaskOption> kText2textOptions = {{"return_tensors", t::OptionType::boolean, "token ids instead of text"},
                                             {"clean_up_tokenization_spaces", t::OptionType::boolean, "join punctuation to the word before (false)"},
                                             {"truncation", t::OptionType::json, "true: cut texts that are too long for the tokenizer (false)"},
                                             {"stop_sequence", t::OptionType::text, "end with its first token"}};

std::vector<t::TaskOption> with_languages() {
  std::vector<t::TaskOption> all = kText2textOptions;
  all.push_back({"src_lang", t::OptionType::text, "the text's language, in the model's own spelling (en_XX, eng_Latn, en)"});
  all.push_back({"tgt_lang", t::OptionType::text, "the language to translate into (fr_XX, fra_Latn, fr)"});
  return all;
}

}  // namespace

extern const TaskEntry task_text2text_generation{"text2text-generation", {}, "an encoder-decoder's answer to a text", "TEXT", nullptr,
                                                 {nn::HeadKind::seq2seq_lm, nn::HeadKind::bare}, kText2textOptions, true, nullptr,
                                                 "good ones to pull: google/flan-t5-small, google/flan-t5-base", generated, nullptr, flat, show_text2text};
extern const TaskEntry task_summarization{"summarization", {}, "a shorter text", "TEXT", nullptr, {nn::HeadKind::seq2seq_lm, nn::HeadKind::bare}, kText2textOptions, true, nullptr,
                                          "good ones to pull: sshleifer/distilbart-cnn-12-6, google-t5/t5-small", summary, nullptr, flat, show_text2text};
extern const TaskEntry task_translation{"translation", {}, "a text in another language; also translation_XX_to_YY", "TEXT", nullptr,
                                        {nn::HeadKind::seq2seq_lm, nn::HeadKind::bare}, with_languages(), true, nullptr,
                                        "good ones to pull: Helsinki-NLP/opus-mt-en-fr, google-t5/t5-small", translation, nullptr, flat, show_text2text};

}  // namespace mynah
