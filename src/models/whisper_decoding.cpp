#include "models/whisper_decoding.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "models/whisper.h"
#include "models/whisper_alignment.h"
#include "models/whisper_rules.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/inputs.h"

namespace mynah {
namespace {

using nn::DecodingAnswer;
using nn::DecodingCall;
using nn::DecodingRequest;

constexpr double kSecondsPerTimestamp = 0.02, kSecondsPerFrame = 0.01;
constexpr int64_t kStride = 2;  // frames of an encoder row

// One sound on its way. Frames are those of its features.
struct Sound {
  int64_t row = 0;           // among all that are written down
  Tensor features;           // [1,mels,frames]
  int64_t length = 0;        // frames that are looked at
  int64_t heard = -1;        // frames that are not padding, for times of tokens; -1: not known
  int64_t seek = 0;
  std::vector<int32_t> prompt;                 // start, language, task
  std::vector<std::vector<int32_t>> past;      // what the segments so far say, a given text first
  bool conditioned = false;                    // the next window reads that
  Transcript out;
};

// A window of a sound, encoded.
struct Window {
  Sound* sound;
  int64_t frames;  // of the sound; the rest is silence
  Tensor rows;
  std::shared_ptr<const nn::Cache> source;
  std::vector<int32_t> tokens, seen;  // the decoder's prompt, with padding and without
  float no_speech = 0;
  DecodingAnswer answer;
  bool skipped = false;
};

// One call of generate().
class Run {
 public:
  Run(const Whisper& model, const DecodingRequest& request, nn::Generator& generator)
      : model_(model), request_(request), speech_(request.speech), rules_(request), generator_(generator), beams_(request.num_beams) {}

  std::vector<Transcript> operator()() {
    open();
    for (;;) {
      std::vector<Window> windows;
      for (Sound& sound : sounds_)
        if (sound.seek < sound.length) windows.push_back({&sound, std::min(window_, sound.length - sound.seek), {}, {}, {}, {}, 0, {}, false});
      if (windows.empty() || stopped_) break;
      for (Window& w : windows) hear(w);
      prompt(windows);
      answer(windows);
      for (Window& w : windows) {
        if (w.skipped) w.sound->seek += w.frames;
        else take(w);
        if (stopped_) break;
      }
    }
    std::vector<Transcript> out;
    for (Sound& sound : sounds_) out.push_back(std::move(sound.out));
    return out;
  }

 private:
  void open() {
    const nn::Inputs in(request_.media, {"input_features", "attention_mask"});
    const Tensor features = in.floats("input_features", {-1, model_.encoder().mels(), -1});
    const int64_t count = features.size(0), total = features.size(2);
    const bool is_short = total <= window_;
    timestamps_ = !is_short || speech_.return_timestamps.value_or(false);
    if ((timestamps_ || speech_.return_token_timestamps || speech_.no_speech_threshold) && rules_.no_timestamps < 0)
      fail(ErrorCode::failure, "generation_config.json: no_timestamps_token_id is missing; without it there are no timestamps, and no sounds of more than {} frames", window_);
    if (speech_.return_token_timestamps && rules_.alignment_heads.empty())
      fail(ErrorCode::failure, "generation_config.json: alignment_heads is missing; without it there are no times of tokens");
    if (speech_.no_speech_threshold && !speech_.logprob_threshold)
      fail(ErrorCode::usage, "generation: no_speech_threshold is given without logprob_threshold, which it goes with");
    if (speech_.prompt_condition_type != "first-segment" && speech_.prompt_condition_type != "all-segments")
      fail(ErrorCode::usage, "generation: prompt_condition_type is \"{}\", expected first-segment or all-segments", speech_.prompt_condition_type);
    if (speech_.prompt_condition_type == "all-segments" && !speech_.condition_on_prev_tokens.value_or(false))
      fail(ErrorCode::usage, "generation: prompt_condition_type all-segments goes with condition_on_prev_tokens");
    if (!speech_.language.empty() && speech_.language.size() != 1 && static_cast<int64_t>(speech_.language.size()) != count)
      fail(ErrorCode::usage, "generation: {} languages for {} sounds, expected one, or one for each", speech_.language.size(), count);
    for (const int32_t id : speech_.prompt_ids)
      if (id < 0 || id >= model_.vocabulary_size()) fail(ErrorCode::usage, "generation: prompt_ids holds {}, expected 0..{}", id, model_.vocabulary_size() - 1);
    const auto mask = in.mask("attention_mask", {count, total});
    require(is_short || count == 1 || !mask.empty(), "generate: several sounds of more than {} frames need an attention_mask, which says how long each is", window_);
    for (int64_t b = 0; b < count; ++b) {
      Sound sound;
      sound.features = narrow(features, 0, b, 1);
      const auto row = mask.begin() + (mask.empty() ? 0 : b * total);
      if (!mask.empty()) sound.heard = std::count(row, row + total, uint8_t{1});
      sound.length = !is_short && count > 1 ? sound.heard : total;
      sound.conditioned = speech_.condition_on_prev_tokens.value_or(false);
      if (!speech_.prompt_ids.empty() && speech_.prompt_condition_type == "first-segment") {
        const bool marked = speech_.prompt_ids[0] == rules_.previous;
        sound.past.emplace_back(speech_.prompt_ids.begin() + (marked ? 1 : 0), speech_.prompt_ids.end());
      }
      const std::string* language = speech_.language.empty() ? nullptr : &speech_.language[speech_.language.size() == 1 ? 0 : static_cast<size_t>(b)];
      sound.prompt = rules_.prompt(speech_, language, timestamps_, [&] { return language_of(sound); });
      for (const auto& [name, id] : rules_.languages)
        if (sound.prompt.size() > 1 && sound.prompt[1] == id) sound.out.language = id;
      for (int64_t copy = 0; copy < request_.num_return_sequences; ++copy) {
        sounds_.push_back(sound);
        sounds_.back().row = static_cast<int64_t>(sounds_.size()) - 1;
      }
    }
  }

  // Encoder rows of the frames from `first` on, silence after the last.
  Tensor encoded(const Sound& sound, int64_t first, int64_t count) const {
    const int64_t mels = model_.encoder().mels(), from = std::min(first, sound.features.size(2));
    const int64_t there = std::min(count, sound.features.size(2) - from);
    Tensor window = Tensor::zeros({1, mels, window_});
    for (int64_t m = 0; m < mels; ++m) std::copy_n(sound.features.data<float>() + m * sound.features.stride(1) + from, there, window.data<float>() + m * window_);
    return model_.encode_media({{"input_features", window}}, nullptr).rows;
  }
  std::shared_ptr<const nn::Cache> remembered(const Tensor& rows) const {
    auto cache = std::make_shared<nn::Cache>(model_.new_memory());
    model_.remember(rows, cache.get());
    return cache;
  }

  int32_t language_of(const Sound& sound) const {
    const auto source = remembered(encoded(sound, 0, window_));
    const int32_t start[] = {rules_.start};
    const Tensor logits = model_.logits_after(start, 0, *source);
    int32_t best = -1;
    for (const auto& [name, id] : rules_.languages) {
      require(id < model_.vocabulary_size(), "generation_config.json: lang_to_id names token {} of {}", id, model_.vocabulary_size());
      const float score = logits.data<float>()[id];
      if (best < 0 || score > logits.data<float>()[best] || (score == logits.data<float>()[best] && id < best)) best = id;
    }
    return best;
  }

  void hear(Window& w) const {
    w.rows = encoded(*w.sound, w.sound->seek, w.frames);
    w.source = remembered(w.rows);
  }

  // What the decoder reads first: given tokens, what was said before, and the prompt itself; all rows filled up from the left.
  void prompt(std::vector<Window>& windows) {
    if (first_ && !request_.decoder_input_ids.empty()) {
      for (Window& w : windows) {
        w.tokens = w.seen = request_.decoder_input_ids[static_cast<size_t>(w.sound->row / request_.num_return_sequences)];
        for (const int32_t id : w.tokens) require(id >= 0 && id < model_.vocabulary_size(), "generate: decoder_input_ids holds {}, expected 0..{}", id, model_.vocabulary_size() - 1);
      }
      first_ = false;
      return;
    }
    first_ = false;
    const bool conditioned = std::any_of(sounds_.begin(), sounds_.end(), [](const Sound& s) { return s.conditioned; }) && !sounds_[0].past.empty();
    size_t longest = 0;
    for (Window& w : windows) {
      w.seen = conditioned ? before(*w.sound) : speech_.prompt_ids;
      w.seen.insert(w.seen.end(), w.sound->prompt.begin(), w.sound->prompt.end());
      longest = std::max(longest, w.seen.size());
    }
    for (Window& w : windows) {
      w.tokens.assign(longest - w.seen.size(), rules_.pad);
      w.tokens.insert(w.tokens.end(), w.seen.begin(), w.seen.end());
      if (conditioned) std::erase(w.seen, rules_.pad);
    }
  }

  std::vector<int32_t> before(const Sound& sound) const {
    std::vector<int32_t> said;
    if (sound.conditioned)
      for (const auto& tokens : sound.past) {
        const bool doubled = tokens.size() > 2 && rules_.is_timestamp(tokens[tokens.size() - 2]);
        said.insert(said.end(), tokens.begin(), tokens.end() - (doubled ? 1 : 0));
      }
    const auto most = static_cast<size_t>(model_.max_positions() / 2 - 1);
    if (said.size() > most) said.erase(said.begin(), said.end() - static_cast<long>(most));
    std::vector<int32_t> out;
    if (!speech_.prompt_ids.empty() && speech_.prompt_condition_type == "all-segments") out = speech_.prompt_ids;
    else if (rules_.previous >= 0) out = {rules_.previous};
    out.insert(out.end(), said.begin(), said.end());
    return out;
  }

  // Answers all windows, and again, at the next temperature, those whose answers look wrong.
  void answer(std::vector<Window>& windows) {
    std::vector<Window*> open;
    for (Window& w : windows) {
      open.push_back(&w);
      if (speech_.no_speech_threshold) w.no_speech = no_speech(w);
    }
    const std::vector<float> temperatures = speech_.temperature.empty() ? std::vector<float>{0} : speech_.temperature;
    for (size_t attempt = 0; attempt < temperatures.size() && !open.empty(); ++attempt) {
      const float temperature = temperatures[attempt];
      if (temperature > 0) beams_ = 1;  // from here on, as in the reference
      DecodingCall call;
      call.num_beams = beams_;
      call.temperature = temperature;
      call.log_probabilities = speech_.logprob_threshold.has_value();
      if (timestamps_)
        call.process = [&](std::span<const int32_t> tokens, int64_t prompt, std::span<float> scores) { rules_.restrict_timestamps(tokens, prompt, scores); };
      for (const Window* w : open)
        call.rows.push_back({w->source, w->tokens, w->seen, static_cast<uint64_t>(w->sound->row) << 40 | static_cast<uint64_t>(w->sound->seek) << 8 | attempt});
      std::vector<DecodingAnswer> answers = generator_.answer(call);
      std::vector<Window*> again;
      for (size_t i = 0; i < open.size(); ++i) {
        open[i]->answer = std::move(answers[i]);
        open[i]->sound->conditioned = speech_.condition_on_prev_tokens.value_or(false) && temperature < 0.5f;
        if (looks_wrong(*open[i])) again.push_back(open[i]);
      }
      open = std::move(again);
    }
  }

  // The probability that nobody speaks, where the transcript would start.
  float no_speech(const Window& w) const {
    const auto from = static_cast<int64_t>(w.seen.size() - std::min(w.seen.size(), w.sound->prompt.size()));
    const Tensor p = softmax(model_.logits_after(w.seen, from, *w.source));
    return p.data<float>()[rules_.no_timestamps - 1];
  }

  bool looks_wrong(Window& w) const {
    const std::vector<int32_t>& tokens = w.answer.tokens;
    bool wrong = speech_.compression_ratio_threshold &&
                 whisper_compression_ratio(tokens, model_.vocabulary_size()) > static_cast<double>(*speech_.compression_ratio_threshold);
    const double mean = tokens.empty() ? 0 : w.answer.log_probability / static_cast<double>(tokens.size());
    const bool unlikely = speech_.logprob_threshold && mean < static_cast<double>(*speech_.logprob_threshold);
    wrong = wrong || unlikely;
    w.skipped = unlikely && speech_.no_speech_threshold && w.no_speech > *speech_.no_speech_threshold;
    return wrong && !w.skipped;
  }

  // Cuts an answer into segments where timestamps meet, and moves on to where the last of them ends.
  void take(Window& w) {
    Sound& sound = *w.sound;
    std::vector<int32_t> said = w.answer.tokens;
    const std::vector<float> times = speech_.return_token_timestamps ? times_of(w) : std::vector<float>();
    if (!said.empty() && said.back() == rules_.end) said.pop_back();
    const double offset = static_cast<double>(sound.seek) * kSecondsPerTimestamp / kStride;
    const auto seconds = [&](int32_t token) { return offset + static_cast<double>(token - rules_.timestamps) * kSecondsPerTimestamp; };
    const auto n = said.size();
    std::vector<size_t> cuts;
    for (size_t i = 1; i < n; ++i)
      if (rules_.is_timestamp(said[i - 1]) && rules_.is_timestamp(said[i])) cuts.push_back(i);
    if (cuts.empty()) {
      double last = std::trunc(static_cast<double>(w.frames) * kSecondsPerFrame / kSecondsPerTimestamp);
      const auto stamp = std::find_if(said.rbegin(), said.rend(), [&](int32_t t) { return rules_.is_timestamp(t); });
      if (stamp != said.rend() && *stamp != rules_.timestamps) last = *stamp - rules_.timestamps;
      sound.seek += w.frames;
      put(sound, {offset, offset + last * kSecondsPerTimestamp, std::move(said), {}}, times, 0, offset);
      return;
    }
    const bool single = n >= 2 && !rules_.is_timestamp(said[n - 2]) && rules_.is_timestamp(said[n - 1]);
    if (single) cuts.push_back(n);
    else ++cuts.back();  // the second timestamp stays, so that one can see that there were two
    size_t first = 0;
    for (size_t i = 0; i < cuts.size(); ++i) {
      const auto begin = said.begin() + static_cast<long>(first), end = said.begin() + static_cast<long>(cuts[i]);
      const int32_t closing = *(end - (i + 1 < cuts.size() || single ? 1 : 2));
      put(sound, {seconds(*begin), seconds(closing), {begin, end}, {}}, times, first, offset);
      first = cuts[i];
    }
    const int64_t reached = static_cast<int64_t>(said[first - 2] - rules_.timestamps) * kStride;
    sound.seek += single || reached <= 0 ? w.frames : reached;  // always on
  }

  void put(Sound& sound, SpeechSegment segment, const std::vector<float>& times, size_t first, double offset) {
    for (size_t i = 0; !times.empty() && i < segment.tokens.size(); ++i) segment.token_times.push_back(static_cast<float>(static_cast<double>(times[first + i]) + offset));
    sound.past.push_back(segment.tokens);
    sound.out.tokens.insert(sound.out.tokens.end(), segment.tokens.begin(), segment.tokens.end());
    if (speech_.on_segment && !stopped_ && !speech_.on_segment(sound.row, segment)) stopped_ = true;
    sound.out.segments.push_back(std::move(segment));
  }

  // Seconds within the window, for each token of the answer. The last one, most often the end, has the time of the one before.
  std::vector<float> times_of(const Window& w) const {
    const std::vector<int32_t>& said = w.answer.tokens;
    if (said.size() < 2) return std::vector<float>(said.size(), 0.0f);
    std::vector<int32_t> read = w.seen;
    read.insert(read.end(), said.begin(), said.end() - 1);
    Tensor weights = model_.attention_to_sound(read, w.rows, rules_.alignment_heads);
    const int64_t frames = w.sound->heard < 0 ? weights.size(2) : std::clamp<int64_t>((w.sound->heard - w.sound->seek) / kStride, 0, weights.size(2));
    weights = contiguous(narrow(narrow(weights, 1, static_cast<int64_t>(w.seen.size()), static_cast<int64_t>(said.size()) - 1), 2, 0, frames));
    std::vector<float> times = token_times(weights, model_.median_filter_width());
    times.push_back(times.back());
    return times;
  }

  const Whisper& model_;
  const DecodingRequest& request_;
  const SpeechSettings& speech_;
  const WhisperRules rules_;
  nn::Generator& generator_;
  const int64_t window_ = model_.encoder().frames();
  int64_t beams_;
  bool timestamps_ = false, first_ = true, stopped_ = false;
  std::vector<Sound> sounds_;
};

class WhisperDecoding final : public nn::Decoding {
 public:
  explicit WhisperDecoding(const Whisper& model) : model_(model) {}
  std::vector<Transcript> run(const DecodingRequest& request, nn::Generator& generator) const override { return Run(model_, request, generator)(); }

 private:
  const Whisper& model_;
};

}  // namespace

std::unique_ptr<nn::Decoding> make_whisper_decoding(const Whisper& model) { return std::make_unique<WhisperDecoding>(model); }

}  // namespace mynah
