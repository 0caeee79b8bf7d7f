#include "generate/config.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "bundle/bundle.h"
#include "mynah/json.h"

namespace mynah {
namespace generation {
namespace {

[[noreturn]] void wrong(const std::string& name, const Json& value, const char* expected) {
  fail(ErrorCode::usage, "generation: {} is {}, expected {}", name, value.dump(), expected);
}

int64_t integer(const std::string& name, const Json& v, int64_t low) {
  if (!v.is_number_integer() || v.get<int64_t>() < low) wrong(name, v, low > 0 ? "a positive integer" : "an integer of 0 or more");
  return v.get<int64_t>();
}
int32_t token(const std::string& name, const Json& v) {
  if (integer(name, v, 0) > INT32_MAX) wrong(name, v, "a token id");
  return v.get<int32_t>();
}
int64_t any_integer(const std::string& name, const Json& v) {
  if (!v.is_number_integer()) wrong(name, v, "an integer");
  return v.get<int64_t>();
}
float number(const std::string& name, const Json& v, double low, double high) {
  if (!v.is_number() || !(v.get<double>() >= low && v.get<double>() <= high)) wrong(name, v, fmt::format("a number from {} to {}", low, high).c_str());
  return v.get<float>();
}
bool boolean(const std::string& name, const Json& v) {
  if (!v.is_boolean()) wrong(name, v, "true or false");
  return v.get<bool>();
}
std::vector<int32_t> tokens(const std::string& name, const Json& v) {
  std::vector<int32_t> out;
  if (v.is_array())
    for (const auto& item : v) out.push_back(token(name, item));
  else
    out.push_back(token(name, v));
  return out;
}

EarlyStopping early_stopping(const std::string& name, const Json& v) {
  if (v == "never") return EarlyStopping::never;
  if (!v.is_boolean()) wrong(name, v, "true, false or \"never\"");
  return v.get<bool>() ? EarlyStopping::yes : EarlyStopping::no;
}

WatermarkingConfig watermark(const std::string& name, const Json& v) {
  WatermarkingConfig w;
  if (!v.is_object()) wrong(name, v, "an object");
  for (const auto& [key, value] : v.items()) {
    if (key == "greenlist_ratio" && value.is_number() && value.get<double>() > 0 && value.get<double>() < 1) w.greenlist_ratio = value.get<double>();
    else if (key == "bias") w.bias = number(key, value, -1e30, 1e30);
    else if (key == "hashing_key") w.hashing_key = any_integer(key, value);
    else if (key == "context_width") w.context_width = integer(key, value, 1);
    else if (key == "seeding_scheme" && (value == "lefthash" || value == "selfhash")) w.selfhash = value == "selfhash";
    else wrong(name + "." + key, value, "greenlist_ratio between 0 and 1, bias, hashing_key, context_width, or seeding_scheme lefthash or selfhash");
  }
  return w;
}

// Those of models that write down sound; `own`: the caller's. false if the name is not known.
bool set_speech(const std::string& n, const Json& v, bool own, SpeechSettings* s) {
  if (n == "language") {
    s->language.clear();
    for (const auto& name : v.is_array() ? v : Json::array({v})) {
      if (!name.is_string()) wrong(n, v, "a language or a list of them");
      s->language.push_back(name.get<std::string>());
    }
  } else if (n == "task") {
    if (!v.is_string()) wrong(n, v, "transcribe or translate");
    s->task = v.get<std::string>();
  } else if (n == "is_multilingual") s->is_multilingual = boolean(n, v);
  else if (n == "return_timestamps") s->return_timestamps = boolean(n, v);
  else if (n == "return_token_timestamps") s->return_token_timestamps = boolean(n, v);
  else if (n == "condition_on_prev_tokens") s->condition_on_prev_tokens = boolean(n, v);
  else if (n == "prompt_ids") s->prompt_ids = tokens(n, v);
  else if (n == "prompt_condition_type") {
    if (!v.is_string()) wrong(n, v, "first-segment or all-segments");
    s->prompt_condition_type = v.get<std::string>();
  } else if (n == "compression_ratio_threshold") s->compression_ratio_threshold = number(n, v, -1e30, 1e30);
  else if (n == "logprob_threshold") s->logprob_threshold = number(n, v, -1e30, 1e30);
  else if (n == "no_speech_threshold") s->no_speech_threshold = number(n, v, -1e30, 1e30);
  else return false;
  if (own) s->asked = n;
  return true;
}

// One temperature, or several that such models try in order.
void set_temperature(const Json& v, bool own, GenerationConfig* c) {
  std::vector<float> all;
  for (const auto& one : v.is_array() ? v : Json::array({v})) all.push_back(number("temperature", one, 0, 1e30));
  if (v.is_array() && (!own || all.size() < 2)) wrong("temperature", v, "a number, or several");
  c->temperature = all[0];
  if (v.is_array()) c->speech.asked = "temperature with several values";
  if (own) c->speech.temperature = all;
}

// One setting; false if the name is not known.
bool set(const std::string& n, const Json& v, bool own, GenerationConfig* c) {
  constexpr double kMax = 1e30;
  if (set_speech(n, v, own, &c->speech)) return true;
  if (n == "max_new_tokens") c->max_new_tokens = integer(n, v, 1);
  else if (n == "max_length") c->max_length = integer(n, v, 1);
  else if (n == "min_length") c->min_length = integer(n, v, 0);
  else if (n == "min_new_tokens") c->min_new_tokens = integer(n, v, 0);
  else if (n == "do_sample") c->do_sample = boolean(n, v);
  else if (n == "temperature") set_temperature(v, own, c);
  else if (n == "top_k") c->top_k = integer(n, v, 0);
  else if (n == "top_p") c->top_p = number(n, v, 0, 1);
  else if (n == "min_p") c->min_p = number(n, v, 0, 1);
  else if (n == "typical_p") c->typical_p = number(n, v, 0, 1);
  else if (n == "epsilon_cutoff") c->epsilon_cutoff = number(n, v, 0, 1);
  else if (n == "eta_cutoff") c->eta_cutoff = number(n, v, 0, 1);
  else if (n == "seed") {
    if (!v.is_number_unsigned()) integer(n, v, 0);  // one that was made in C++ is signed
    c->seed = v.get<uint64_t>();
  }
  else if (n == "num_return_sequences") c->num_return_sequences = integer(n, v, 1);
  else if (n == "num_beams") c->num_beams = integer(n, v, 1);
  else if (n == "length_penalty") c->length_penalty = number(n, v, -kMax, kMax);
  else if (n == "early_stopping") c->early_stopping = early_stopping(n, v);
  else if (n == "guidance_scale") c->guidance_scale = number(n, v, -kMax, kMax);
  else if (n == "repetition_penalty") c->repetition_penalty = number(n, v, 1e-6, kMax);
  else if (n == "encoder_repetition_penalty") c->encoder_repetition_penalty = number(n, v, 1e-6, kMax);
  else if (n == "no_repeat_ngram_size") c->no_repeat_ngram_size = integer(n, v, 0);
  else if (n == "encoder_no_repeat_ngram_size") c->encoder_no_repeat_ngram_size = integer(n, v, 0);
  else if (n == "bad_words_ids") {
    if (!v.is_array()) wrong(n, v, "a list of lists of ids");
    c->bad_words_ids.clear();
    for (const auto& word : v) {
      if (!word.is_array() || word.empty()) wrong(n, v, "a list of lists of ids");
      c->bad_words_ids.push_back(tokens(n, word));
    }
  } else if (n == "sequence_bias") {
    if (!v.is_array()) wrong(n, v, "a list of [ids, bias]");
    c->sequence_bias.clear();
    for (const auto& row : v) {
      if (!row.is_array() || row.size() != 2) wrong(n, v, "a list of [ids, bias]");
      c->sequence_bias.emplace_back(tokens(n, row[0]), number(n, row[1], -kMax, kMax));
    }
  } else if (n == "forced_bos_token_id") c->forced_bos_token_id = token(n, v);
  else if (n == "forced_eos_token_id") c->forced_eos_token_id = tokens(n, v);
  else if (n == "suppress_tokens") c->suppress_tokens = tokens(n, v);
  else if (n == "begin_suppress_tokens") c->begin_suppress_tokens = tokens(n, v);
  else if (n == "exponential_decay_length_penalty") {
    if (!v.is_array() || v.size() != 2) wrong(n, v, "[start, factor]");
    c->exponential_decay_length_penalty = {integer(n, v[0], 0), number(n, v[1], 1e-6, kMax)};
  } else if (n == "watermarking_config") c->watermarking_config = watermark(n, v);
  else if (n == "renormalize_logits") c->renormalize_logits = boolean(n, v);
  else if (n == "remove_invalid_values") c->remove_invalid_values = boolean(n, v);
  else if (n == "eos_token_id") c->eos_token_id = tokens(n, v);
  else if (n == "pad_token_id") c->pad_token_id = token(n, v);
  else if (n == "bos_token_id") c->bos_token_id = token(n, v);
  else if (n == "decoder_start_token_id") c->decoder_start_token_id = token(n, v);
  else if (n == "prompt_lookup_num_tokens") c->prompt_lookup_num_tokens = integer(n, v, 1);
  else if (n == "max_matching_ngram_size") c->max_matching_ngram_size = integer(n, v, 1);
  else if (n == "num_assistant_tokens") c->num_assistant_tokens = integer(n, v, 1);
  else if (n == "assistant_confidence_threshold") c->assistant_confidence_threshold = number(n, v, 0, 1);
  else if (n == "max_time") c->max_time = number(n, v, 0, kMax);
  else if (n == "output_scores") c->output_scores = boolean(n, v);
  else if (n == "output_logits") c->output_logits = boolean(n, v);
  else if (n == "stop_strings") {
    c->stop_strings.clear();
    for (const auto& s : v.is_array() ? v : Json::array({v})) {
      if (!s.is_string() || s.get<std::string>().empty()) wrong(n, v, "a string or a list of strings");
      c->stop_strings.push_back(s.get<std::string>());
    }
  } else return false;
  return true;
}

}  // namespace

void apply(const Json& settings, GenerationConfig* config, bool strict) {
  for (const auto& [name, given] : settings.items()) {
    Json value = given;
    // Files write -1 for a token that there is none of.
    if (!strict && (name.ends_with("_token_id") || name.ends_with("_tokens"))) {
      const auto none = [](const Json& v) { return v.is_number() && v.get<double>() < 0; };
      if (none(value)) continue;
      if (value.is_array())
        for (size_t i = value.size(); i-- > 0;)
          if (none(value[i])) value.erase(i);
    }
    if (value.is_null()) continue;
    if (!set(name, value, strict, config) && strict) fail(ErrorCode::usage, "generation: {} is not a known setting", name);
  }
}

void check(const GenerationConfig& c) {
  const auto refuse = [](bool wrong, const auto& message) {
    if (wrong) fail(ErrorCode::usage, "generation: {}", message);
  };
  refuse(c.num_beams == 1 && !c.do_sample && c.num_return_sequences > 1,
         fmt::format("num_return_sequences is {}, more than 1 needs do_sample or num_beams", c.num_return_sequences));
  refuse(c.num_beams > 1 && c.num_return_sequences > c.num_beams,
         fmt::format("num_return_sequences is {}, expected at most num_beams, {}", c.num_return_sequences, c.num_beams));
  refuse(c.do_sample && !(c.temperature > 0), "temperature is 0, expected more than 0 to sample; turn do_sample off for the likeliest tokens");
  refuse(c.do_sample && !(c.top_p > 0), "top_p is 0, expected more than 0");
  refuse(c.do_sample && !(c.typical_p > 0), "typical_p is 0, expected more than 0");
}

int64_t length_limit(const GenerationConfig& c, int64_t prompt, int64_t context) {
  int64_t limit = prompt + 20;
  if (c.max_new_tokens) limit = prompt + *c.max_new_tokens;
  else if (c.max_length) limit = *c.max_length;
  require(prompt > 0, "generation: the prompt is empty");
  require(context <= 0 || prompt < context, "generation: the prompt has {} tokens, the model's context holds {}; shorten the prompt", prompt, context);
  require(limit > prompt, "generation: max_length is {}, the prompt has {} tokens already", limit, prompt);
  return context > 0 ? std::min(limit, context) : limit;
}

}  // namespace generation

GenerationConfig generation_defaults(const Model& model) {
  GenerationConfig config;
  generation::apply(model.bundle().generation_config, &config, false);
  // The reference takes a file's max_length of 20, its default, for 20 new tokens.
  if (config.max_length == 20) config.max_length.reset();
  return config;
}

}  // namespace mynah
