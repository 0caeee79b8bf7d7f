#include "generate/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "bundle/bundle.h"

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
int32_t token(const std::string& name, const Json& v) { return static_cast<int32_t>(integer(name, v, 0)); }
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

// One setting; false if the name is not known.
bool set(const std::string& n, const Json& v, GenerationConfig* c) {
  constexpr double kMax = 1e30;
  if (n == "max_new_tokens") c->max_new_tokens = integer(n, v, 1);
  else if (n == "max_length") c->max_length = integer(n, v, 1);
  else if (n == "min_length") c->min_length = integer(n, v, 0);
  else if (n == "min_new_tokens") c->min_new_tokens = integer(n, v, 0);
  else if (n == "do_sample") c->do_sample = boolean(n, v);
  else if (n == "temperature") c->temperature = number(n, v, 0, kMax);
  else if (n == "top_k") c->top_k = integer(n, v, 0);
  else if (n == "top_p") c->top_p = number(n, v, 0, 1);
  else if (n == "min_p") c->min_p = number(n, v, 0, 1);
  else if (n == "typical_p") c->typical_p = number(n, v, 0, 1);
  else if (n == "epsilon_cutoff") c->epsilon_cutoff = number(n, v, 0, 1);
  else if (n == "eta_cutoff") c->eta_cutoff = number(n, v, 0, 1);
  else if (n == "seed") c->seed = static_cast<uint64_t>(integer(n, v, 0));
  else if (n == "num_return_sequences") c->num_return_sequences = integer(n, v, 1);
  else if (n == "repetition_penalty") c->repetition_penalty = number(n, v, 1e-6, kMax);
  else if (n == "no_repeat_ngram_size") c->no_repeat_ngram_size = integer(n, v, 0);
  else if (n == "bad_words_ids") {
    if (!v.is_array()) wrong(n, v, "a list of lists of ids");
    for (const auto& word : v) {
      if (!word.is_array() || word.empty()) wrong(n, v, "a list of lists of ids");
      c->bad_words_ids.push_back(tokens(n, word));
    }
  } else if (n == "sequence_bias") {
    if (!v.is_array()) wrong(n, v, "a list of [ids, bias]");
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
  } else if (n == "renormalize_logits") c->renormalize_logits = boolean(n, v);
  else if (n == "remove_invalid_values") c->remove_invalid_values = boolean(n, v);
  else if (n == "eos_token_id") c->eos_token_id = tokens(n, v);
  else if (n == "pad_token_id") c->pad_token_id = token(n, v);
  else if (n == "bos_token_id") c->bos_token_id = token(n, v);
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
  for (const auto& [name, value] : settings.items()) {
    if (value.is_null()) continue;
    if (!set(name, value, config) && strict) fail(ErrorCode::usage, "generation: {} is not a known setting", name);
  }
}

}  // namespace generation

GenerationConfig generation_defaults(const Model& model) {
  GenerationConfig config;
  generation::apply(model.bundle().generation_config, &config, false);
  const auto& tokenizer = model.bundle().tokenizer;
  if (config.eos_token_id.empty() && tokenizer && tokenizer->eos_id()) config.eos_token_id = {*tokenizer->eos_id()};
  return config;
}

}  // namespace mynah
