// Voice activity: where somebody speaks in a sound. A frame is active when its energy stands above the noise in many
// frequency bands; an utterance also needs voiced frames, whose waveform repeats at the pitch of a voice. Steady noise of
// any level, hum, single tones and clicks are no utterances; music is not told from speech, whispering is not found.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "media/sound.h"

namespace mynah::media {

struct VoiceSettings {
  double pause_seconds = 0.6;    // so much silence ends an utterance
  double margin_seconds = 0.2;   // kept before and behind it
  double longest_seconds = 120;  // an utterance that goes on is cut here
};

// Samples [begin, end).
struct Utterance {
  int64_t begin, end;
};

// Hears samples as they come. What it finds does not depend on how they are cut into pieces.
class VoiceActivity {
 public:
  // `rate`: of the samples, Hz, 8000 at least.
  explicit VoiceActivity(int64_t rate, const VoiceSettings& settings = {});
  ~VoiceActivity();
  VoiceActivity(VoiceActivity&&) noexcept;

  // Utterances that ended within these samples, in order. Their margins do not overlap.
  std::vector<Utterance> push(std::span<const float> samples);
  // No more samples come: the utterance that was still going on, if any.
  std::vector<Utterance> finish();
  // Where the utterance that is going on begins.
  std::optional<int64_t> speaking_since() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All utterances of a sound.
std::vector<Utterance> utterances(const Sound& sound, const VoiceSettings& settings = {});

}  // namespace mynah::media
