// Talking through the microphone and the loudspeaker. One thread listens, another one answers; whoever speaks while the answer is
// spoken interrupts it.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/process.h"
#include "base/require.h"
#include "chat.h"
#include "command.h"
#include "sound_programs.h"
#include "talk.h"

namespace mynah::app {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kRate = 16000;
constexpr double kPauseSeconds = 0.2;  // between sentences

struct Heard {
  media::Sound sound;
  double from, to;  // seconds since the beginning
};

class Live {
 public:
  explicit Live(const TalkParts& parts) : parts_(parts), microphone_(recorder_command("talk")), activity_(kRate, parts.voice_activity) {
    if (parts.speak) player_command("talk");  // said before anything is spoken
  }

  int run() {
    catch_interrupts();
    fmt::print(stderr, "Listening. Say goodbye, or press Ctrl-C, to end.\n");
    std::thread answers([this] { answer_all(); });
    std::exception_ptr wrong;
    try {
      listen();
    } catch (...) {
      wrong = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      if (wrong || interrupted()) stop_speaking();
    }
    changed_.notify_all();
    answers.join();
    if (wrong) std::rethrow_exception(wrong);
    if (failed_) std::rethrow_exception(failed_);
    return interrupted() ? 130 : 0;
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

  // Until the microphone ends, or the conversation.
  void listen() {
    std::array<std::byte, kRate / 20 * 2> bytes;  // 50 ms
    size_t held = 0;                              // an odd byte of the last time
    std::vector<float> samples;
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (over_) return;
      }
      if (interrupted()) {
        const std::lock_guard lock(mutex_);
        if (!answering_) return;
        stop_speaking();
        clear_interrupt();
      }
      const auto n = microphone_.read(std::span(bytes).subspan(held), 100);
      if (!n) continue;
      if (*n == 0) return finish();
      const size_t all = held + *n;
      samples.clear();
      for (size_t i = 0; i + 1 < all; i += 2)
        samples.push_back(static_cast<float>(static_cast<int16_t>(static_cast<uint16_t>(bytes[i]) | static_cast<uint16_t>(bytes[i + 1]) << 8)) / 32768.0f);
      held = all % 2;
      if (held) bytes[0] = bytes[all - 1];
      take(samples);
    }
  }

  void take(std::vector<float>& samples) {
    {
      const std::lock_guard lock(mutex_);
      // A loudspeaker would be heard as somebody who speaks.
      if (speaking_ && !parts_.headphones) std::fill(samples.begin(), samples.end(), 0.0f);
    }
    recent_.insert(recent_.end(), samples.begin(), samples.end());
    put(activity_.push(samples));
    const auto since = activity_.speaking_since();
    if (since) {
      const std::lock_guard lock(mutex_);
      if (answering_) stop_speaking();
    }
    // What an utterance could still begin with is kept.
    const int64_t heard = first_ + static_cast<int64_t>(recent_.size()), keep = since.value_or(heard - 2 * kRate);
    if (const int64_t gone = std::min<int64_t>(keep - first_, static_cast<int64_t>(recent_.size())); gone > kRate) {
      recent_.erase(recent_.begin(), recent_.begin() + gone);
      first_ += gone;
    }
  }

  void finish() {
    put(activity_.finish());
    const std::lock_guard lock(mutex_);
    over_ = true;
  }

  void put(const std::vector<media::Utterance>& utterances) {
    for (const auto& [begin, end] : utterances) {
      Heard heard{{kRate, {recent_.begin() + (begin - first_), recent_.begin() + (end - first_)}}, static_cast<double>(begin) / kRate, static_cast<double>(end) / kRate};
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(heard));
      changed_.notify_all();
    }
  }

  // The other thread: what was heard, one after the other, and timers when they end.
  void answer_all() {
    try {
      std::unique_lock lock(mutex_);
      for (;;) {
        parts_.tools.set_now(now());
        if (const auto timers = parts_.tools.timers().ended(now()); !timers.empty()) {
          lock.unlock();
          for (const assistant::Timer& timer : timers) ring(timer);
          lock.lock();
          continue;
        }
        if (!waiting_.empty()) {
          const Heard heard = std::move(waiting_.front());
          waiting_.pop_front();
          lock.unlock();
          const bool goodbye = answer(heard);
          lock.lock();
          over_ = over_ || goodbye;
          if (goodbye) return;
          continue;
        }
        if (over_) return;
        const auto next = parts_.tools.timers().next_end();
        changed_.wait_for(lock, std::chrono::duration<double>(next ? std::clamp(*next - now(), 0.01, 60.0) : 60.0));
      }
    } catch (...) {
      failed_ = std::current_exception();
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
  }

  void ring(const assistant::Timer& timer) {
    assistant::Turn turn;
    turn.spoken_from = now();
    turn.reply.sentences = {assistant::ring_text(timer)};
    begin_speaking();
    say(turn.reply.sentences[0], &turn);
    end_speaking(&turn);
    print_turn(turn, parts_.json);
  }

  bool answer(const Heard& heard) {
    assistant::Turn turn;
    turn.heard_from = heard.from;
    turn.heard_to = heard.to;
    const double started = now();
    turn.heard = parts_.hear(heard.sound);
    turn.hearing_seconds = now() - started;
    if (turn.heard.empty()) return false;
    turn.spoken_from = now();
    begin_speaking();
    turn.reply = parts_.assistant.answer(turn.heard, [&](const std::string& sentence) { return say(sentence, &turn); });
    end_speaking(&turn);
    parts_.assistant.heard_only(turn.sentences_heard);
    print_turn(turn, parts_.json);
    return turn.reply.goodbye;
  }

  void begin_speaking() {
    const std::lock_guard lock(mutex_);
    answering_ = true;
    stopped_ = false;
    starts_.clear();
    spoken_ = 0;
  }

  bool say(const std::string& sentence, assistant::Turn* turn) {
    if (!parts_.speak) {
      ++turn->sentences_heard;
      return true;
    }
    const media::Sound sound = parts_.speak(sentence);
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return false;
      if (!player_) {
        player_ = std::make_shared<ProgramInput>(player_command("talk"));
        player_started_ = now();
        turn->first_sound_seconds = player_started_ - turn->spoken_from;
      }
      speaking_ = true;
    }
    std::vector<std::byte> bytes;
    if (starts_.empty()) bytes = media::endless_wav_header(sound.rate);
    const size_t pause = starts_.empty() ? 0 : static_cast<size_t>(kPauseSeconds * static_cast<double>(sound.rate));
    media::Sound padded{sound.rate, std::vector<float>(pause)};
    padded.samples.insert(padded.samples.end(), sound.samples.begin(), sound.samples.end());
    starts_.push_back(spoken_);
    spoken_ += static_cast<double>(padded.samples.size()) / static_cast<double>(sound.rate);
    const auto pcm = media::encode_sound(padded, media::SoundFormat::pcm);
    bytes.insert(bytes.end(), pcm.begin(), pcm.end());
    return player_->write(bytes);
  }

  // Waits until it has been heard, or somebody interrupts.
  void end_speaking(assistant::Turn* turn) {
    if (player_) {
      player_->finish();
      const double heard = now() - player_started_;
      const std::lock_guard lock(mutex_);
      turn->interrupted = stopped_;
      for (const double start : starts_) turn->sentences_heard += !stopped_ || start < heard;
      player_.reset();
    }
    turn->spoken_to = now();
    const std::lock_guard lock(mutex_);
    answering_ = speaking_ = false;
  }

  // With mutex_ held.
  void stop_speaking() {
    stopped_ = true;
    if (player_) player_->stop();
  }

  const TalkParts& parts_;
  const Clock::time_point began_ = Clock::now();
  ProgramOutput microphone_;
  media::VoiceActivity activity_;
  std::vector<float> recent_;  // samples from first_ on
  int64_t first_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Heard> waiting_;
  bool over_ = false, answering_ = false, speaking_ = false, stopped_ = false;
  std::shared_ptr<ProgramInput> player_;
  std::exception_ptr failed_;

  // Of the answering thread.
  double player_started_ = 0, spoken_ = 0;
  std::vector<double> starts_;  // of the sentences, seconds
};

}  // namespace

int talk_live(const TalkParts& parts) { return Live(parts).run(); }

}  // namespace mynah::app
