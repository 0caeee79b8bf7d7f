// What the forms of mynah talk share: recordings, the microphone, typed lines.
#pragma once
#include <optional>
#include <string>

#include "assistant/recorded.h"

namespace mynah::app {

struct TalkParts {
  assistant::Toolbox& tools;
  assistant::Assistant& assistant;
  assistant::Hear hear;
  assistant::Speak speak;  // none: answers are only written
  media::VoiceSettings voice_activity;
  int64_t voice_rate = 0;  // Hz of what speak gives
  bool json = false;
  bool headphones = false;  // listen while speaking
};

// One turn to stdout, as JSON or for people.
void print_turn(const assistant::Turn& turn, bool json);
// From the microphone to the loudspeaker until somebody says goodbye or Ctrl-C.
int talk_live(const TalkParts& parts);

}  // namespace mynah::app
