// mynah talk: a voice assistant, over recordings, over the microphone and loudspeaker, or over typed lines.
#include "talk.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "base/require.h"
#include "bundle/speech.h"
#include "chat.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "nn/decoding.h"
#include "nn/seq2seq_lm.h"
#include "open_model.h"
#include "sentence_vectors.h"
#include "standard_input.h"
#include "store/store.h"
#include "tasks/registry.h"
#include "tasks/transcription.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct TalkOptions {
  std::vector<std::string> sounds;
  Precision ears_type = Precision::int8;
  std::string model = "smollm2", ears = "whisper-base", voice = "piper-joe", embedder = "minilm";
  std::string language, system, files, notes, clock, output, speaker;
  nn::VoiceSettings speech;
  double speed = 1;
  std::optional<double> temperature;
  int64_t max_tokens = 200;
  uint64_t seed = 0;
  media::VoiceSettings voice_activity;
  bool no_voice = false, typed = false, headphones = false, json = false;
};

std::time_t clock_of(const std::string& text) {
  if (text.empty()) return std::time(nullptr);
  std::tm tm{};
  char end = 0;
  const int read = std::sscanf(text.c_str(), "%4d-%2d-%2d%*1[ T]%2d:%2d%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &end);
  if (read != 5 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_year < 1970)
    fail(ErrorCode::usage, "--clock: \"{}\", expected a local time like 2024-05-06 07:08", text);
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  tm.tm_isdst = -1;
  return std::mktime(&tm);
}

// What is left of a transcript without "(music)", "[BLANK_AUDIO]" and the like; empty if it has no words.
std::string words_said(const std::string& text) {
  std::string out;
  int depth = 0;
  for (const char c : text) {
    if (c == '(' || c == '[') ++depth;
    if (depth == 0) out += c;
    if ((c == ')' || c == ']') && depth > 0) --depth;
  }
  const bool any = std::any_of(out.begin(), out.end(), [](unsigned char c) { return c >= 0x80 || std::isalnum(c); });
  const size_t begin = out.find_first_not_of(' '), end = out.find_last_not_of(' ');
  return any ? out.substr(begin, end - begin + 1) : "";
}

// Whisper and its like write down; models of characters (Wav2Vec2) spell.
assistant::Hear hearing(const Model& ears, const std::string& language) {
  if (ears.bundle().network->kind() == nn::HeadKind::ctc) {
    const TaskEntry& entry = tasks::find_task("automatic-speech-recognition");
    const auto task = tasks::open_task(entry, entry.name, ears, LoadOptions{});
    return [task](const media::Sound& sound) {
      const Json input = {{"array", sound.samples}, {"sampling_rate", sound.rate}};
      return words_said(task->entry->run(*task, {input}, Json::object()).at(0)["text"].get<std::string>());
    };
  }
  GenerationConfig config = tasks::transcription_defaults(ears);
  if (!language.empty()) config.speech.language = {language};
  return [ears, config](const media::Sound& sound) { return words_said(tasks::transcribe(ears, sound, config, "", {}).text); };
}

assistant::Speak speaking(const std::shared_ptr<const bundle::Speech>& speech, const nn::VoiceSettings& settings) {
  return [speech, settings](const std::string& sentence) {
    media::Sound sound{speech->sampling_rate(), {}};
    try {
      sound.samples = speech->say(sentence, settings);
    } catch (const Error&) {
      // A sentence of nothing that can be spoken, such as one of signs, is passed over.
      if (!speech->tokens(sentence).empty()) throw;
    }
    return sound;
  };
}

assistant::SearchFiles searching(const TalkOptions& o) {
  if (o.files.empty()) return {};
  const std::shared_ptr<search::FolderIndex> index(new search::FolderIndex(open_index(o.files, o.embedder)));
  const auto vectors = std::make_shared<SentenceVectors>(o.embedder);
  update_index(*index, *vectors);
  return [index, vectors](const std::string& query) {
    constexpr int64_t kPassages = 3;
    std::string out;
    for (const search::Hit& hit : index->search(query, vectors->question(query), kPassages, kNear))
      out += fmt::format("[{}, line {}]\n{}\n", hit.path, hit.passage.first_line, hit.passage.text);
    return out;
  };
}

int talk_typed(const TalkParts& parts) {
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    assistant::Turn turn;
    turn.heard = line;
    turn.heard_from = turn.heard_to = turn.spoken_from = seconds();
    parts.tools.set_now(turn.heard_to);
    for (const assistant::Timer& timer : parts.tools.timers().ended(turn.heard_to)) {
      assistant::Turn ring;
      ring.reply.sentences = {assistant::ring_text(timer)};
      ring.sentences_heard = 1;
      print_turn(ring, parts.json);
    }
    turn.reply = parts.assistant.answer(line, [&](const std::string&) {
      if (turn.sentences_heard++ == 0) turn.first_sound_seconds = seconds() - turn.heard_to;
      return true;
    });
    turn.spoken_to = seconds();
    print_turn(turn, parts.json);
    if (turn.reply.goodbye) break;
  }
  return 0;
}

int talk_recorded(const TalkOptions& o, const TalkParts& parts) {
  const media::Sound recording = sound_of_file(o.sounds[0]);
  const assistant::Recorded done =
      assistant::converse(recording, parts.voice_activity, parts.hear, parts.speak, parts.assistant, parts.tools, [&](const assistant::Turn& turn) { print_turn(turn, o.json); });
  if (!o.output.empty()) {
    media::Sound track = done.answers;
    if (track.rate == 0) track.rate = parts.voice_rate;
    media::write_sound(o.output, track, media::sound_format_of(o.output));
  }
  if (done.turns == 0) fmt::print(stderr, "(nobody speaks in {})\n", shown_file(o.sounds[0]));
  if (const size_t n = parts.tools.timers().running().size(); n > 0) fmt::print(stderr, "({} timer{} still running at the end)\n", n, n == 1 ? " was" : "s were");
  return 0;
}

void check(const TalkOptions& o) {
  if (o.typed && !o.sounds.empty()) fail(ErrorCode::usage, "talk: --typed reads lines, and {} is a recording; give one of them", o.sounds[0]);
  if (o.sounds.size() > 1) fail(ErrorCode::usage, "talk: {} recordings; a conversation has one", o.sounds.size());
  if (!o.output.empty() && o.sounds.empty()) fail(ErrorCode::usage, "talk: -o keeps the answers to a recording; name one");
  if (!o.output.empty() && o.no_voice) fail(ErrorCode::usage, "talk: -o keeps what is spoken, and --no-voice speaks nothing");
  if (!o.output.empty()) media::sound_format_of(o.output);
  if (!o.sounds.empty() && o.sounds[0] != "-" && !fs::exists(o.sounds[0])) fail(ErrorCode::not_found, "{}: no such file", o.sounds[0]);
}

int run_talk(const TalkOptions& o) {
  check(o);
  assistant::ToolSettings tools_settings;
  tools_settings.begin = clock_of(o.clock);
  tools_settings.notes = o.notes.empty() ? store::Settings::from_environment().home / "notes.txt" : fs::path(o.notes);
  tools_settings.search = searching(o);
  assistant::Toolbox tools(std::move(tools_settings));
  ChatOptions chat;
  chat.model = o.model;
  chat.temperature = o.temperature;
  chat.max_tokens = o.max_tokens;
  chat.seed = o.seed;
  const Model model = open_model(o.model, Precision::automatic);
  assistant::Assistant brain(model, chat.settings(model), tools, o.system);
  TalkParts parts{tools, brain, {}, {}, o.voice_activity, 0, o.json, o.headphones};
  if (o.typed) return talk_typed(parts);
  const Model ears = open_model(o.ears, o.ears_type);
  const nn::Seq2SeqLM* lm = ears.bundle().network->seq2seq_lm();
  require(ears.bundle().network->kind() == nn::HeadKind::ctc || (lm && lm->decoding()), "talk: {} holds a {}, which does not hear; whisper-base does", o.ears, ears.architecture());
  parts.hear = hearing(ears, o.language);
  std::optional<Model> voice;
  if (!o.no_voice) {
    voice = open_model(o.voice, Precision::automatic);
    const auto speech = std::make_shared<const bundle::Speech>(voice->bundle());
    nn::VoiceSettings settings = o.speech;
    if (!o.speaker.empty()) settings.speaker = speech->speaker(o.speaker);
    parts.voice_rate = speech->sampling_rate();
    parts.speak = speaking(speech, settings);
  }
  return o.sounds.empty() ? talk_live(parts) : talk_recorded(o, parts);
}

}  // namespace

void print_turn(const assistant::Turn& turn, bool json) {
  if (json) return print_json(assistant::turn_json(turn));
  std::string text;
  if (!turn.heard.empty()) text += fmt::format("you:   {}\n", turn.heard);
  std::string said;
  for (size_t i = 0; i < turn.sentences_heard; ++i) said += (i > 0 ? " " : "") + turn.reply.sentences[i];
  if (!said.empty() || turn.interrupted) text += fmt::format("mynah: {}{}\n", said, turn.interrupted ? " (interrupted)" : "");
  print_text(text);
}

void add_talk(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("talk", "Talk with an assistant that hears, answers, speaks and has tools");
  auto o = std::make_shared<TalkOptions>();
  c->add_option("sound", o->sounds, "a recording to converse with (WAV, FLAC, Ogg, MP3; - for standard input); without one, the microphone")->type_name("SOUND");
  c->add_option("--model", o->model, "chat model that answers (smollm2)")->type_name("MODEL");
  c->add_option("--ears", o->ears, "model that writes down what is said (whisper-base)")->type_name("MODEL");
  add_dtype_option(*c, o->ears_type, "--ears-dtype", "what it computes, int8 without the option,");
  c->add_option("--voice", o->voice, "model that speaks (piper-joe)")->type_name("MODEL");
  c->add_flag("--no-voice", o->no_voice, "write the answers, speak nothing");
  c->add_flag("--typed", o->typed, "read lines from standard input instead of listening, and write the answers");
  c->add_option("-o,--output", o->output, "keep the answers to a recording as sound, at the times at which they are given")->type_name("FILE");
  c->add_option("--language", o->language, "of what is said: en, english (default: heard from it)")->type_name("NAME");
  c->add_option("--system", o->system, "who the assistant is and how it answers")->type_name("TEXT");
  c->add_option("--files", o->files, "your own files, searched on request; read first, if they changed")->type_name("DIR");
  c->add_option("--embedder", o->embedder, "encoder of sentences for the search (minilm)")->type_name("MODEL");
  c->add_option("--notes", o->notes, "where notes are kept (notes.txt in the store's folder)")->type_name("FILE");
  c->add_option("--clock", o->clock, "the local time at the beginning, like \"2024-05-06 07:08\" (now)")->type_name("TIME");
  c->add_option("--pause", o->voice_activity.pause_seconds, "seconds of silence after which it answers (0.6)")->check(cli::Range(0.25, 10.0));
  c->add_flag("--headphones", o->headphones, "listen while speaking, so that a voice interrupts it: the microphone must not hear the loudspeaker");
  c->add_option("--speaker", o->speaker, "which voice of several: a number or a name")->type_name("WHO");
  cli::Option* speed = c->add_option("--speed", o->speed, "1.5 speaks faster by a half")->type_name("X")->check(cli::Range(0.1, 10.0));
  c->add_option("--max-tokens", o->max_tokens, "most tokens of an answer (200)")->check(cli::Range(1, 100000));
  c->add_option("--temperature", o->temperature, "0: always the likeliest word")->check(cli::Range(0.0, 100.0));
  c->add_option("--seed", o->seed, "another one answers in other words (0)")->type_name("N");
  c->add_flag("--json", o->json, "one JSON object a turn");
  c->callback([o, speed, &action] {
    action = [o, given = speed->count() > 0] {
      if (given) o->speech.speaking_rate = static_cast<float>(o->speed);
      return run_talk(*o);
    };
  });
}

}  // namespace mynah::app
