#include "models/whisper_rules.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/languages.h"
#include "base/require.h"

namespace mynah {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

template <class... Args>
[[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::failure, "generation_config.json: {}", fmt::format(format, std::forward<Args>(args)...));
}

const Json* given(const Json& settings, const char* name) {
  const auto it = settings.find(name);
  return it == settings.end() || it->is_null() ? nullptr : &*it;
}

int32_t token(const Json& value, const char* name) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > INT32_MAX) wrong("{} holds {}, expected a token id", name, value.dump());
  return value.get<int32_t>();
}

std::map<std::string, int32_t> tokens_by_name(const Json& settings, const char* name) {
  std::map<std::string, int32_t> out;
  const Json* table = given(settings, name);
  if (table && !table->is_object()) wrong("{} is {}, expected an object", name, table->type_name());
  if (table)
    for (const auto& [key, value] : table->items()) out[key] = token(value, name);
  return out;
}

// [[1, id or null], [2, id], ...]; other shapes are those of prompts that this family does not have.
std::vector<std::optional<int32_t>> forced_prompt(const Json& list) {
  std::vector<std::optional<int32_t>> out;
  if (!list.is_array()) wrong("forced_decoder_ids is {}, expected a list of [place, id]", list.type_name());
  for (const Json& pair : list) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer()) wrong("forced_decoder_ids holds {}, expected [place, id]", pair.dump());
    const auto place = pair[0].get<int64_t>();
    if (out.empty() && place != 1) return out;
    if (place != static_cast<int64_t>(out.size()) + 1) wrong("forced_decoder_ids has place {} after {}", place, out.size());
    out.push_back(pair[1].is_null() ? std::nullopt : std::optional(token(pair[1], "forced_decoder_ids")));
  }
  return out;
}

}  // namespace

WhisperRules::WhisperRules(const nn::DecodingRequest& request) : start(request.start), end(request.end), pad(request.pad) {
  const Json& s = request.settings;
  if (const Json* id = given(s, "no_timestamps_token_id")) {
    no_timestamps = token(*id, "no_timestamps_token_id");
    timestamps = no_timestamps + 1;
  }
  if (const Json* id = given(s, "prev_sot_token_id")) previous = token(*id, "prev_sot_token_id");
  else if (request.suppress_tokens.size() >= 2) previous = request.suppress_tokens[request.suppress_tokens.size() - 2];
  if (const Json* index = given(s, "max_initial_timestamp_index")) max_initial_timestamp = token(*index, "max_initial_timestamp_index");
  if (const Json* detect = given(s, "_detect_timestamp_from_logprob"); detect && detect->is_boolean()) detect_timestamps = detect->get<bool>();
  if (const Json* many = given(s, "is_multilingual"); many && many->is_boolean()) multilingual = many->get<bool>();
  if (request.speech.is_multilingual) multilingual = *request.speech.is_multilingual;
  languages = tokens_by_name(s, "lang_to_id");
  tasks = tokens_by_name(s, "task_to_id");
  const Json* prompt = given(s, "forced_decoder_ids");
  if (!prompt) prompt = given(request.config, "forced_decoder_ids");
  if (prompt) forced = forced_prompt(*prompt);
  if (const Json* heads = given(s, "alignment_heads")) {
    if (!heads->is_array()) wrong("alignment_heads is {}, expected a list of [layer, head]", heads->type_name());
    for (const Json& pair : *heads) {
      if (!pair.is_array() || pair.size() != 2) wrong("alignment_heads holds {}, expected [layer, head]", pair.dump());
      alignment_heads.emplace_back(token(pair[0], "alignment_heads"), token(pair[1], "alignment_heads"));
    }
  }
}

int32_t WhisperRules::language(const std::string& name) const {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (languages.empty()) fail(ErrorCode::usage, "generation: language is \"{}\", but this model knows no languages (its generation_config.json has no lang_to_id)", name);
  if (const auto found = languages.find(lower); found != languages.end()) return found->second;
  const std::string code = language_code(lower);
  if (const auto found = languages.find("<|" + code + "|>"); found != languages.end()) return found->second;
  fail(ErrorCode::usage, "generation: language \"{}\" is not one that this model knows; give a name or a code as \"english\" or \"en\"", name);
}

bool WhisperRules::hears(const SpeechSettings& speech) const { return speech.task || forced.empty() || !forced[0]; }

std::vector<int32_t> WhisperRules::prompt_with(const SpeechSettings& speech, std::optional<int32_t> id, bool given, bool with_timestamps) const {
  if (!multilingual && (speech.task || given)) fail(ErrorCode::usage, "generation: {} is given, but this model writes down English alone", speech.task ? "task" : "language");
  std::vector<std::optional<int32_t>> out{start};
  if (!speech.task && !given) out.insert(out.end(), forced.begin(), forced.end());
  if (id && out.size() > 1) out[1] = *id;
  else if (id) out.push_back(*id);
  if (speech.task) {
    const auto found = tasks.find(*speech.task);
    if (found == tasks.end() || (*speech.task != "transcribe" && *speech.task != "translate"))
      fail(ErrorCode::usage, "generation: task \"{}\" is not one of this model's; there are transcribe and translate", *speech.task);
    out.push_back(found->second);
  } else if (given && tasks.count("transcribe")) {
    out.push_back(tasks.at("transcribe"));
  }
  if (!with_timestamps && no_timestamps >= 0 && out.back() != no_timestamps) out.push_back(no_timestamps);
  else if (with_timestamps && out.back() == no_timestamps) out.pop_back();
  std::vector<int32_t> tokens;
  for (const auto& t : out)
    if (t) tokens.push_back(*t);
  return tokens;
}

void WhisperRules::restrict_timestamps(std::span<const int32_t> tokens, int64_t begin, std::span<float> scores) const {
  const auto size = static_cast<int64_t>(scores.size());
  const auto ban = [&](int64_t from, int64_t to) {
    for (int64_t i = std::max<int64_t>(from, 0); i < std::min(to, size); ++i) scores[static_cast<size_t>(i)] = kNever;
  };
  const int64_t first = timestamps;
  ban(no_timestamps, no_timestamps + 1);
  const auto said = tokens.subspan(static_cast<size_t>(begin));
  const bool last = !said.empty() && is_timestamp(said.back());
  const bool before = said.size() < 2 || is_timestamp(said[said.size() - 2]);
  if (last && before) ban(first, size);
  else if (last) ban(0, end);
  const auto latest = std::find_if(said.rbegin(), said.rend(), [&](int32_t t) { return is_timestamp(t); });
  if (latest != said.rend()) ban(first, last && !before ? *latest : *latest + 1);
  if (said.empty()) {
    ban(0, first);
    if (max_initial_timestamp) ban(first + *max_initial_timestamp + 1, size);
  }
  if (!detect_timestamps || first >= size) return;
  // log of the timestamps' sum against the likeliest word: what both are divided by does not matter
  const float word = *std::max_element(scores.begin(), scores.begin() + first), best = *std::max_element(scores.begin() + first, scores.end());
  if (best == kNever) return;
  double sum = 0;
  for (int64_t i = first; i < size; ++i) sum += std::exp(static_cast<double>(scores[static_cast<size_t>(i)] - best));
  if (std::log(sum) + static_cast<double>(best) > static_cast<double>(word)) ban(0, first);
}

double whisper_compression_ratio(std::span<const int32_t> tokens, int64_t vocabulary) {
  const auto length = static_cast<size_t>(std::log2(static_cast<double>(vocabulary)) / 8) + 1;
  std::vector<Bytef> bytes;
  for (const int32_t t : tokens)
    for (size_t i = 0; i < length; ++i) bytes.push_back(static_cast<Bytef>(static_cast<uint32_t>(t) >> (8 * i)));
  if (bytes.empty()) return 0;
  uLongf packed = compressBound(bytes.size());
  std::vector<Bytef> out(packed);
  if (compress(out.data(), &packed, bytes.data(), bytes.size()) != Z_OK) fail(ErrorCode::internal, "zlib: {} bytes do not compress", bytes.size());
  return static_cast<double>(bytes.size()) / static_cast<double>(packed);
}

}  // namespace mynah
