#include "bundle/speech.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"
#include "bundle/phonemes.h"
#include "bundle/some_of.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

constexpr double kPauseSeconds = 0.2;  // between sentences, as Piper's program makes

std::vector<int32_t> ids_of(const Json& value, const std::string& where, const std::string& phoneme) {
  std::vector<int32_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      fail(ErrorCode::integrity, "{}: phoneme \"{}\" is {}, expected token ids", where, phoneme, value.dump());
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

}  // namespace

Speech::Speech(const Bundle& model, const Bundle* vocoder)
    : model_(model),
      network_(dynamic_cast<const nn::SpeechModel*>(model.network.get())),
      writer_(dynamic_cast<const nn::SpectrogramModel*>(model.network.get())) {
  require(network_ || writer_,
          "speech: {} is a {}, which does not speak; VitsModel, SpeechT5ForTextToSpeech and Piper voices do",
          model_.name, model_.architecture());
  if (vocoder) vocoder_ = dynamic_cast<const nn::VocoderModel*>(vocoder->network.get());
  require(!vocoder || vocoder_, "speech: {} is no vocoder, expected a SpeechT5HifiGan",
          vocoder ? vocoder->name : "");
  require(network_ || vocoder_,
          "speech: {} writes spectrograms; name a vocoder that makes sound of them (a SpeechT5HifiGan)",
          model_.name);
  tokenizer_config_ = Json::object();
  if (model_.config.contains("piper")) {
    const std::string where = model_.path.string() + ".json";
    for (const auto& [phoneme, ids] : model_.config["piper"]["phoneme_id_map"].items())
      phonemes_[phoneme] = ids_of(ids, where, phoneme);
    return;
  }
  if (fs::exists(model_.path / "tokenizer_config.json"))
    tokenizer_config_ = read_json_file(model_.path / "tokenizer_config.json");
  if (nn::config_string(tokenizer_config_, "tokenizer_class", "") == "VitsTokenizer" &&
      nn::config_bool(tokenizer_config_, "phonemize", true)) {
    const fs::path vocabulary = model_.path / "vocab.json";
    const Json ids = read_json_file(vocabulary);
    for (const auto& [phoneme, id] : ids.items()) phonemes_[phoneme] = ids_of(id, vocabulary.string(), phoneme);
    return;
  }
  tokenizer_ = model_.tokenizer ? model_.tokenizer : open_tokenizer(model_.path);
  require(tokenizer_ != nullptr, "speech: {} comes without a tokenizer", model_.name);
}

int64_t Speech::sampling_rate() const { return network_ ? network_->sampling_rate() : vocoder_->sampling_rate(); }

std::vector<float> Speech::sound_of(std::span<const int32_t> ids, const nn::VoiceSettings& settings) const {
  if (network_) return network_->speak(ids, settings);
  return vocoder_->waveform(writer_->spectrogram(ids, settings)).to_vector();
}

int64_t Speech::speaker(const std::string& name) const {
  std::vector<std::string> known;
  const auto piper = model_.config.find("piper");
  const Json named = piper == model_.config.end() ? Json() : piper->value("speaker_id_map", Json::object());
  for (const auto& [key, id] : named.items()) {
    if (key == name && id.is_number_integer()) return id.get<int64_t>();
    known.push_back(key);
  }
  if (!name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos)
    return std::stoll(name);
  fail(ErrorCode::failure, "speech: no voice is called \"{}\"; {}", name,
       known.empty() ? "give its number" : "there are " + some_of(known));
}

std::vector<int32_t> Speech::table_ids(std::string_view text) const {
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    const unicode::Decoded d = unicode::decode_any(text, at);
    if (const auto it = phonemes_.find(std::string(text.substr(at, d.size))); it != phonemes_.end())
      ids.insert(ids.end(), it->second.begin(), it->second.end());
    at += d.size;
  }
  return ids;
}

// ^ _ p _ p _ ... $, as the voice was trained: the phonemes of every clause with the mark that ends it.
std::vector<int32_t> Speech::piper_tokens(std::string_view sentence) const {
  const Json& piper = model_.config["piper"];
  std::string phonemes;
  if (nn::config_string(piper, "phoneme_type", "espeak") == "text") {
    phonemes = unicode::to_lower(std::string(sentence));
  } else {
    const Json espeak = piper.value("espeak", Json::object());
    std::vector<std::string> texts;
    const std::vector<Clause> clauses = clauses_of(sentence);
    for (const Clause& c : clauses) texts.push_back(c.text + c.mark);
    const auto spoken = phonemes_of(nn::config_string(espeak, "voice", "en-us"), texts);
    for (size_t i = 0; i < clauses.size(); ++i) {
      if (i > 0) phonemes += ' ';
      phonemes += spoken[i] + clauses[i].mark;
    }
  }
  const auto mark = [&](const char* name) {
    const auto it = phonemes_.find(name);
    return it == phonemes_.end() ? std::vector<int32_t>() : it->second;
  };
  const std::vector<int32_t> blank = mark("_");
  std::vector<int32_t> ids = mark("^");
  ids.insert(ids.end(), blank.begin(), blank.end());
  bool any = false;
  const std::string decomposed = unicode::normalize(phonemes, unicode::Form::nfd);
  for (size_t at = 0; at < decomposed.size();) {
    const unicode::Decoded d = unicode::decode_any(decomposed, at);
    const std::vector<int32_t> one = table_ids(std::string_view(decomposed).substr(at, d.size));
    at += d.size;
    if (one.empty()) continue;
    any = any || d.code > ' ';
    ids.insert(ids.end(), one.begin(), one.end());
    ids.insert(ids.end(), blank.begin(), blank.end());
  }
  const std::vector<int32_t> end = mark("$");
  ids.insert(ids.end(), end.begin(), end.end());
  return any ? ids : std::vector<int32_t>();
}

std::vector<int32_t> Speech::tokens(std::string_view text) const {
  std::vector<int32_t> ids;
  if (model_.config.contains("piper")) {
    ids = piper_tokens(text);
  } else if (!tokenizer_) {
    const bool normalize = nn::config_bool(tokenizer_config_, "normalize", true),
               blank = nn::config_bool(tokenizer_config_, "add_blank", true);
    const std::vector<int32_t> plain = table_ids(
        phonemes_with_punctuation("en-us", normalize ? unicode::to_lower(std::string(text)) : std::string(text)));
    for (const int32_t id : plain) {
      if (blank) ids.push_back(0);
      ids.push_back(id);
    }
    if (blank && !plain.empty()) ids.push_back(0);
  } else {
    ids = tokenizer_->encode_ids(text);
  }
  return ids;
}

std::vector<float> Speech::say(std::string_view text, const nn::VoiceSettings& settings, bool by_sentence,
                               const std::function<bool(std::span<const float>)>& heard) const {
  std::vector<std::string> parts = {std::string(text)};
  if (by_sentence || model_.config.contains("piper")) parts = sentences_of(text);
  std::vector<float> all;
  nn::VoiceSettings own = settings;
  bool spoken = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::vector<int32_t> ids = tokens(parts[i]);
    if (ids.empty()) continue;  // a line of dashes, say
    own.seed = settings.seed + i;
    std::vector<float> sound = sound_of(ids, own);
    if (spoken)
      sound.insert(sound.begin(), static_cast<size_t>(kPauseSeconds * static_cast<double>(sampling_rate())), 0.0f);
    spoken = true;
    if (heard && !heard(sound)) break;
    all.insert(all.end(), sound.begin(), sound.end());
  }
  require(spoken, "speech: nothing in \"{}\" can be spoken", std::string(text.substr(0, 60)));
  return all;
}

}  // namespace mynah::bundle
