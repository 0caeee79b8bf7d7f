#include "assistant/recorded.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/require.h"
#include "mynah/json.h"

namespace mynah::assistant {
namespace {

using Wall = std::chrono::steady_clock;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kPauseSeconds = 0.2;         // between sentences
constexpr double kCharactersPerSecond = 15;   // of speech, where no voice says how long it takes

double seconds_since(Wall::time_point begin) { return std::chrono::duration<double>(Wall::now() - begin).count(); }

// The sentences of one reply on the clock of the recording.
class Mouth {
 public:
  Mouth(const Speak& speak, media::Sound* track) : speak_(speak), track_(track) {}

  // Begins to speak at `from`; what has not been said by `until` is not heard.
  void begin(Turn* turn, double from, double until) {
    turn_ = turn;
    turn_->spoken_from = turn_->spoken_to = from;
    until_ = until;
    began_ = Wall::now();
  }
  bool say(const std::string& sentence) {
    const double at = turn_->spoken_to + (turn_->sentences_heard > 0 ? kPauseSeconds : 0);
    if (at >= until_) {
      turn_->interrupted = true;
      return false;
    }
    double length = static_cast<double>(sentence.size()) / kCharactersPerSecond;
    media::Sound sound;
    if (speak_) {
      sound = speak_(sentence);
      length = static_cast<double>(sound.samples.size()) / static_cast<double>(sound.rate);
    }
    if (turn_->sentences_heard == 0) turn_->first_sound_seconds = seconds_since(began_);
    ++turn_->sentences_heard;
    turn_->interrupted = at + length > until_;
    turn_->spoken_to = std::min(at + length, until_);
    if (speak_) lay(sound, at);
    return !turn_->interrupted;
  }

 private:
  void lay(const media::Sound& sound, double at) {
    track_->rate = sound.rate;
    const auto sample = [&](double seconds) { return static_cast<size_t>(std::llround(seconds * static_cast<double>(sound.rate))); };
    const size_t begin = sample(at), end = std::min(begin + sound.samples.size(), sample(turn_->spoken_to));
    if (track_->samples.size() < end) track_->samples.resize(end);
    for (size_t i = begin; i < end; ++i) track_->samples[i] = sound.samples[i - begin];
  }

  const Speak& speak_;
  media::Sound* track_;
  Turn* turn_ = nullptr;
  double until_ = kNever;
  Wall::time_point began_;
};

}  // namespace

Json turn_json(const Turn& turn) {
  Json tools = Json::array();
  for (const ToolCall& call : turn.reply.tools) tools.push_back({{"name", call.name}, {"arguments", call.arguments}, {"result", call.result}});
  std::string said;
  for (size_t i = 0; i < turn.sentences_heard; ++i) said += (i > 0 ? " " : "") + turn.reply.sentences[i];
  Json out = Json::object();
  if (!turn.heard.empty()) out["heard"] = {{"text", turn.heard}, {"start", turn.heard_from}, {"end", turn.heard_to}, {"seconds", turn.hearing_seconds}};
  out["tools"] = tools;
  out["answer"] = {{"text", said}, {"start", turn.spoken_from}, {"end", turn.spoken_to}, {"interrupted", turn.interrupted}, {"first_sound_seconds", turn.first_sound_seconds}};
  return out;
}

Recorded converse(const media::Sound& recording, const media::VoiceSettings& settings, const Hear& hear, const Speak& speak, Assistant& assistant, Toolbox& tools,
                  const std::function<void(const Turn&)>& on_turn) {
  require(recording.rate > 0 && !recording.samples.empty(), "talk: a sound without samples");
  const double rate = static_cast<double>(recording.rate), length = static_cast<double>(recording.samples.size()) / rate;
  const std::vector<media::Utterance> spoken = media::utterances(recording, settings);
  Recorded out;
  Mouth mouth(speak, &out.answers);
  double free = 0;  // when the assistant has said what it says
  const auto ring = [&](double before) {
    while (const auto ends = tools.timers().next_end()) {
      const double at = std::max(*ends, free);
      if (at >= before) return;
      const Timer timer = tools.timers().ended(*ends).front();
      Turn turn;
      mouth.begin(&turn, at, before);
      turn.reply.sentences = {ring_text(timer)};
      mouth.say(turn.reply.sentences[0]);
      free = turn.spoken_to;
      on_turn(turn);
    }
  };
  for (size_t i = 0; i < spoken.size() && !out.goodbye; ++i) {
    const auto [begin, end] = spoken[i];
    Turn turn;
    turn.heard_from = static_cast<double>(begin) / rate;
    turn.heard_to = static_cast<double>(end) / rate;
    // Who speaks is heard from the first sound on, which comes behind the margin.
    const auto onset = [&](size_t n) { return n < spoken.size() ? static_cast<double>(spoken[n].begin) / rate + settings.margin_seconds : kNever; };
    ring(onset(i));
    const auto started = Wall::now();
    turn.heard = hear({recording.rate, {recording.samples.begin() + begin, recording.samples.begin() + end}});
    turn.hearing_seconds = seconds_since(started);
    if (turn.heard.empty()) continue;
    const double decided = std::min(turn.heard_to - settings.margin_seconds + settings.pause_seconds, length);
    tools.set_now(decided);
    mouth.begin(&turn, std::max(decided, free), onset(i + 1));
    turn.reply = assistant.answer(turn.heard, [&](const std::string& sentence) { return mouth.say(sentence); });
    assistant.heard_only(turn.sentences_heard);
    free = std::max(free, turn.spoken_to);
    out.goodbye = turn.reply.goodbye;
    ++out.turns;
    on_turn(turn);
  }
  ring(std::max(length, free));
  return out;
}

}  // namespace mynah::assistant
