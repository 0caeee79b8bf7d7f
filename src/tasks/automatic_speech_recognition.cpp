// automatic-speech-recognition: what is said in a sound. As transformers 4.57's pipeline for Whisper (windows, or pieces that overlap) and
// for CTC models (Wav2Vec2, HuBERT).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "base/languages.h"
#include "base/require.h"
#include "bundle/processor.h"
#include "generate/config.h"
#include "mynah/autograd.h"
#include "mynah/generate.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/seq2seq_lm.h"
#include "tasks/ctc_beams.h"
#include "tasks/ctc_text.h"
#include "tasks/options.h"
#include "tasks/show.h"
#include "tasks/sound_input.h"
#include "tasks/speech_text.h"
#include "tasks/transcription.h"

namespace mynah {
namespace {
namespace t = tasks;

struct RecognitionSettings {
  bool timestamps = false;
  std::string unit;  // "word", "char" or empty
  bool language = false;
  double chunk = 0, left = 0, right = 0;  // seconds
};

// A number, two of them, or "2,1".
std::pair<double, double> strides(const Json& v) {
  Json pair = v;
  if (v.is_string()) pair = Json::parse("[" + v.get<std::string>() + "]", nullptr, false);
  if (pair.is_number()) pair = Json::array({pair, pair});
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number() || pair[0].get<double>() < 0 || pair[1].get<double>() < 0)
    fail(ErrorCode::usage, "automatic-speech-recognition: stride_length_s is {}, expected seconds, or two of them as 2,1", v.dump());
  return {pair[0].get<double>(), pair[1].get<double>()};
}

RecognitionSettings settings_of(const Json& options, bool ctc) {
  RecognitionSettings s;
  if (const auto it = options.find("return_timestamps"); it != options.end() && !it->is_null()) {
    const bool word = *it == "word" || *it == "char";
    if (!it->is_boolean() && !word) fail(ErrorCode::usage, "automatic-speech-recognition: return_timestamps is {}, expected true, false, \"word\" or \"char\"", it->dump());
    s.timestamps = word || it->get<bool>();
    if (word) s.unit = it->get<std::string>();
    if (ctc && s.unit.empty() && s.timestamps)
      fail(ErrorCode::usage, "automatic-speech-recognition: this model gives times of words and characters; set return_timestamps to \"word\" or \"char\"");
    if (!ctc && s.unit == "char")
      fail(ErrorCode::usage, "automatic-speech-recognition: this model gives times of segments and words; set return_timestamps to true or \"word\"");
  }
  s.language = t::boolean(options, "return_language", false);
  if (s.language && ctc) fail(ErrorCode::usage, "automatic-speech-recognition: return_language is for models that know languages");
  if (const auto it = options.find("chunk_length_s"); it != options.end() && !it->is_null()) s.chunk = it->get<double>();
  if (!(s.chunk >= 0 && s.chunk < 1e6)) fail(ErrorCode::usage, "automatic-speech-recognition: chunk_length_s is {}, expected seconds", s.chunk);
  s.left = s.right = s.chunk / 6;
  if (const auto it = options.find("stride_length_s"); it != options.end() && !it->is_null()) std::tie(s.left, s.right) = strides(*it);
  return s;
}

// A piece of a sound, in samples; `left` and `right` of it belong to its neighbours.
struct Piece {
  int64_t begin, length, left, right;
};

std::vector<Piece> pieces_of(int64_t samples, const RecognitionSettings& s, int64_t rate, int64_t align) {
  const auto aligned = [&](double seconds) {
    return static_cast<int64_t>(std::nearbyint(seconds * static_cast<double>(rate) / static_cast<double>(align))) * align;
  };
  const int64_t chunk = aligned(s.chunk), left = aligned(s.left), right = aligned(s.right), step = chunk - left - right;
  if (step <= 0)
    fail(ErrorCode::usage, "automatic-speech-recognition: chunk_length_s {} leaves nothing between strides of {} and {}; make it longer", s.chunk, s.left, s.right);
  std::vector<Piece> out;
  for (int64_t begin = 0; begin < samples; begin += step) {
    const bool last = begin + chunk >= samples;
    const Piece piece{begin, std::min(chunk, samples - begin), begin == 0 ? 0 : left, last ? 0 : right};
    if (piece.length > piece.left) out.push_back(piece);
    if (last) break;
  }
  return out;
}

media::Sound part(const media::Sound& sound, const Piece& piece) {
  const auto begin = sound.samples.begin() + piece.begin;
  return {sound.rate, {begin, begin + piece.length}};
}

GenerationConfig config_of(const t::OpenTask& task, const Json& options, const RecognitionSettings& s) {
  GenerationConfig c = generation_defaults(task.model);
  // The pipeline's own settings; a model's own total length comes before its number of tokens.
  if (!c.max_length || *c.max_length == 20) c.max_new_tokens = 256;
  c.num_beams = 5;
  Json given = t::generation_settings(*task.entry, options);
  for (const char* name : {"language", "task", "prompt_ids", "prompt_condition_type", "condition_on_prev_tokens", "compression_ratio_threshold", "logprob_threshold",
                           "no_speech_threshold"})
    if (options.contains(name) && !options[name].is_null()) given[name] = options[name];
  if (const auto it = options.find("generate_kwargs"); it != options.end() && !it->is_null()) {
    if (!it->is_object()) fail(ErrorCode::usage, "automatic-speech-recognition: generate_kwargs is {}, expected an object", it->dump());
    given.update(*it);
  }
  generation::apply(given, &c, true);
  if (s.timestamps) c.speech.return_timestamps = true;
  if (s.unit == "word") c.speech.return_token_timestamps = true;
  return c;
}

std::string name_of(const Tokenizer& tokenizer, int32_t language) {
  if (language < 0) return "";
  const std::string text = tokenizer.token_text(language);
  return text.size() > 4 ? std::string(language_name(std::string_view(text).substr(2, text.size() - 4))) : "";
}

// Models that write, of which there is Whisper.
Json write_down(const t::OpenTask& task, const media::Sound& sound, const Json& options, const RecognitionSettings& s) {
  const bundle::SoundProcessor processor = bundle::sound_processor(task.bundle().path);
  const GenerationConfig config = config_of(task, options, s);
  std::vector<Piece> pieces = s.chunk > 0 ? pieces_of(static_cast<int64_t>(sound.samples.size()), s, sound.rate, 1)
                                          : std::vector<Piece>{{0, static_cast<int64_t>(sound.samples.size()), 0, 0}};
  std::vector<t::SpeechPiece> said;
  if (t::is_silent(sound)) pieces.clear();  // there is nothing to be heard, and the model would make something up
  for (const Piece& piece : pieces) {
    GenerateInputs in;
    in.media = processor.whole(part(sound, piece));
    if (s.chunk > 0) {  // the reference cuts pieces to the model's window
      const int64_t window = processor.window_seconds() * processor.rate() / std::max<int64_t>(1, processor.window_seconds() * processor.rate() / in.media.at("input_features").size(2));
      const int64_t frames = std::min(in.media.at("input_features").size(2), window);
      for (auto& [name, tensor] : in.media) tensor = narrow(tensor, tensor.rank() - 1, 0, frames);
    }
    const Transcript transcript = std::move(generate(task.model, in, config).transcripts.at(0));
    const auto seconds = [&](int64_t samples) { return static_cast<double>(samples) / static_cast<double>(sound.rate); };
    t::SpeechPiece one{transcript.tokens, {}, name_of(task.tokenizer(), transcript.language)};
    if (s.chunk > 0) one.length = seconds(piece.length), one.left = seconds(piece.left), one.right = seconds(piece.right);
    for (const SpeechSegment& segment : transcript.segments) one.token_times.insert(one.token_times.end(), segment.token_times.begin(), segment.token_times.end());
    said.push_back(std::move(one));
  }
  t::SpeechTextOptions how{s.timestamps, s.unit == "word"};
  if (const int64_t rows = nn::config_int(task.bundle().config, "max_source_positions", 0, 0); rows > 0)
    how.time_precision = static_cast<double>(processor.window_seconds()) / static_cast<double>(rows);
  const auto chunks = t::speech_chunks(task.tokenizer(), said, how);
  Json out = {{"text", ""}};
  std::string text;
  for (const auto& chunk : chunks) text += chunk.text;
  out["text"] = text;
  if (!s.timestamps && !s.language) return out;
  const auto language = [](const std::string& name) { return name.empty() ? Json() : Json(name); };
  Json& list = out["chunks"] = Json::array();
  for (const auto& chunk : chunks) {
    if (how.words) {
      for (const auto& word : chunk.words) {
        Json one = {{"text", word.text}, {"timestamp", {word.start, word.end}}};
        if (s.language) one["language"] = language(word.language);
        list.push_back(std::move(one));
      }
      continue;
    }
    Json one = Json::object();
    if (s.language) one["language"] = language(chunk.language);
    if (s.timestamps) one["timestamp"] = {chunk.start ? Json(*chunk.start) : Json(), chunk.end ? Json(*chunk.end) : Json()};
    one["text"] = chunk.text;
    list.push_back(std::move(one));
  }
  return out;
}

int64_t samples_per_frame(const Json& config) {
  int64_t ratio = 1;
  for (const int64_t stride : nn::config_ints(config, "conv_stride", {5, 2, 2, 2, 2, 2, 2})) ratio *= stride;
  return ratio;
}

// How texts are searched for: greedily, label by label, unless beams or a language model are asked for.
std::optional<t::CtcBeamSettings> beam_settings(const t::OpenTask& task, const Json& options) {
  t::CtcBeamSettings s;
  std::optional<std::string> file = t::text(options, "language_model");
  const int64_t width = t::integer(options, "beam_width", file ? s.beam_width : 1, 1);
  // Where a checkpoint brings a model of its own, beams use it.
  if (const auto own = task.bundle().path / "language_model"; !file && width > 1 && std::filesystem::is_directory(own))
    for (const auto& entry : std::filesystem::directory_iterator(own))
      if (entry.path().extension() == ".arpa") file = entry.path().string();
  if (width == 1 && !file) return std::nullopt;
  s.beam_width = width;
  if (file) s.language_model = text::NgramModel::open(*file);
  s.alpha = t::number(options, "lm_alpha", s.alpha);
  s.beta = t::number(options, "lm_beta", s.beta);
  return s;
}

// Each frame's likeliest label.
std::vector<int32_t> labels(const Tensor& logits) {
  std::vector<int32_t> out;
  const int64_t v = logits.size(2);
  for (int64_t i = 0; i < logits.size(1); ++i) {
    const float* row = logits.data<float>() + i * v;
    out.push_back(static_cast<int32_t>(std::max_element(row, row + v) - row));
  }
  return out;
}

Json spell(const t::OpenTask& task, const media::Sound& sound, const RecognitionSettings& s, const std::optional<t::CtcBeamSettings>& beams) {
  const bundle::SoundProcessor processor = bundle::sound_processor(task.bundle().path);
  const int64_t ratio = samples_per_frame(task.bundle().config), total = static_cast<int64_t>(sound.samples.size());
  const std::vector<Piece> pieces = s.chunk > 0 ? pieces_of(total, s, sound.rate, ratio) : std::vector<Piece>{{0, total, 0, 0}};
  std::vector<int32_t> frames;
  std::vector<float> chances;  // log-probabilities of the frames, for beams
  for (const Piece& piece : pieces) {
    const Tensor logits = contiguous(task.bundle().network->forward(processor.whole(part(sound, piece)), {}).at("logits"));
    const auto one = labels(logits);
    int64_t first = 0, end = static_cast<int64_t>(one.size());
    if (s.chunk > 0) {  // samples -> frames, as the reference rounds
      const auto of = [](int64_t n, int64_t of_samples, int64_t to) { return static_cast<int64_t>(std::nearbyint(static_cast<double>(n) / static_cast<double>(of_samples) * static_cast<double>(to))); };
      const auto n = static_cast<int64_t>(std::nearbyint(static_cast<double>(piece.length) * (1 / static_cast<double>(ratio))));
      first = std::min(of(piece.left, piece.length, n), end);
      end = std::clamp(n - of(piece.right, piece.length, n), first, end);
    }
    frames.insert(frames.end(), one.begin() + first, one.begin() + end);
    if (!beams) continue;
    const std::vector<float> rows = log_softmax(logits).to_vector();
    const int64_t width = logits.size(2);
    chances.insert(chances.end(), rows.begin() + first * width, rows.begin() + end * width);
  }
  t::CtcText text;
  if (beams) {
    const t::CtcAlphabet alphabet = t::ctc_alphabet(task.tokenizer(), task.tokenizer_config);
    require(frames.empty() || chances.size() / frames.size() == alphabet.tokens.size(), "automatic-speech-recognition: {} logits for {} tokens",
            frames.empty() ? 0 : chances.size() / frames.size(), alphabet.tokens.size());
    text = t::ctc_text(task.tokenizer(), task.tokenizer_config, t::ctc_beams(chances, alphabet, *beams).at(0));
  } else {
    text = t::ctc_text(task.tokenizer(), task.tokenizer_config, frames);
  }
  Json out = {{"text", text.text}};
  if (!s.timestamps) return out;
  Json& list = out["chunks"] = Json::array();
  const auto seconds = [&](int64_t frame) { return static_cast<double>(frame * ratio) / static_cast<double>(sound.rate); };
  for (const t::CtcSpan& span : s.unit == "word" ? text.words : text.characters) list.push_back({{"text", span.text}, {"timestamp", {seconds(span.begin), seconds(span.end)}}});
  return out;
}

std::vector<Json> run_automatic_speech_recognition(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  NoGrad no_grad;
  const bool ctc = task.bundle().network->kind() == nn::HeadKind::ctc;
  const nn::Seq2SeqLM* lm = task.bundle().network->seq2seq_lm();
  require(ctc || (lm && lm->decoding()), "automatic-speech-recognition: {} holds a {}, which does not hear; {}", task.bundle().name, task.bundle().architecture(),
          task.entry->suggestion);
  require(task.bundle().tokenizer != nullptr, "automatic-speech-recognition: {} comes without a tokenizer", task.bundle().name);
  const RecognitionSettings s = settings_of(options, ctc);
  for (const char* name : {"beam_width", "language_model", "lm_alpha", "lm_beta"})
    if (!ctc && options.contains(name) && !options[name].is_null()) fail(ErrorCode::usage, "automatic-speech-recognition: {} is for models that spell (CTC); num_beams is for those that write", name);
  const std::optional<t::CtcBeamSettings> beams = ctc ? beam_settings(task, options) : std::nullopt;
  const int64_t rate = bundle::sound_processor(task.bundle().path).rate();
  std::vector<Json> out;
  for (const Json& input : inputs) {
    const media::Sound sound = media::resample(t::sound_of(task, input), rate);
    require(!sound.samples.empty(), "automatic-speech-recognition: a sound without samples");
    out.push_back(ctc ? spell(task, sound, s, beams) : write_down(task, sound, options, s));
  }
  return out;
}

std::string show_automatic_speech_recognition(const Json&, const Json& result, const t::Style& style) {
  // Whisper's texts begin with a space, of which the JSON is the place.
  const auto line = [](const Json& text) {
    const std::string& all = text.get_ref<const std::string&>();
    return all.substr(std::min(all.find_first_not_of(' '), all.size())) + "\n";
  };
  if (!result.contains("chunks") || result["chunks"].empty()) return line(result["text"]);
  std::string out;
  for (const Json& chunk : result["chunks"]) {
    if (chunk.contains("timestamp")) {
      const auto time = [](const Json& v) { return v.is_number() ? fmt::format("{:7.2f}", v.get<double>()) : std::string("       "); };
      out += t::dimmed("[" + time(chunk["timestamp"][0]) + " " + time(chunk["timestamp"][1]) + "]", style) + " ";
    }
    out += line(chunk["text"]);
  }
  return out;
}

const std::vector<t::TaskOption> kAutomaticSpeechRecognitionOptions = {
    {"return_timestamps", t::OptionType::json, "true: when segments are said; word, char: when those are"},
    {"return_language", t::OptionType::boolean, "name the language"},
    {"chunk_length_s", t::OptionType::number, "cut the sound into pieces of so many seconds (0: whole)"},
    {"stride_length_s", t::OptionType::json, "seconds that a piece shares with its neighbours: 2 or 2,1 (a sixth of the piece)"},
    {"language", t::OptionType::text, "of the speech: en, english (default: heard from it)"},
    {"task", t::OptionType::text, "transcribe, or translate to English"},
    {"prompt_ids", t::OptionType::json, "ids of a text that came before"},
    {"prompt_condition_type", t::OptionType::text, "first-segment or all-segments: which windows read prompt_ids"},
    {"condition_on_prev_tokens", t::OptionType::boolean, "each window reads what the ones before said"},
    {"compression_ratio_threshold", t::OptionType::number, "text that compresses better than this is tried again at the next temperature"},
    {"logprob_threshold", t::OptionType::number, "so is text whose mean log-probability is lower"},
    {"no_speech_threshold", t::OptionType::number, "such a text is left out where the probability of silence is higher"},
    {"beam_width", t::OptionType::integer, "of models that spell (CTC): so many texts are followed at once (1; 100 with a language model)"},
    {"language_model", t::OptionType::text, "of such models: an n-gram model of words, an ARPA file"},
    {"lm_alpha", t::OptionType::number, "the weight of its log-probabilities (0.5)"},
    {"lm_beta", t::OptionType::number, "what each word adds (1.5)"},
    {"generate_kwargs", t::OptionType::json, "settings of generation as one object"},
};

}  // namespace

extern const TaskEntry task_automatic_speech_recognition{"automatic-speech-recognition",
                                                         {"asr"},
                                                         "what is said in a sound",
                                                         "SOUND",
                                                         t::is_sound,
                                                         {nn::HeadKind::seq2seq_lm, nn::HeadKind::ctc},
                                                         kAutomaticSpeechRecognitionOptions,
                                                         true,
                                                         "whisper-base",
                                                         "good ones to pull: whisper-base, openai/whisper-small, facebook/wav2vec2-base-960h",
                                                         run_automatic_speech_recognition,
                                                         nullptr,
                                                         nullptr,
                                                         show_automatic_speech_recognition,
                                                         t::Medium::sound};

}  // namespace mynah
