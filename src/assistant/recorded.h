// A conversation with a recording: what was spoken into it is answered at the time at which an assistant that listened would
// have answered, and whoever speaks while it speaks interrupts it. Computing takes no time on this clock, so that the same
// recording gives the same conversation on every machine.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "assistant/assistant.h"
#include "media/voice_activity.h"

namespace mynah::assistant {

// The words of a piece of sound; empty when there are none.
using Hear = std::function<std::string(const media::Sound&)>;
// The sound of one sentence.
using Speak = std::function<media::Sound(const std::string& sentence)>;

// Times are seconds of the recording.
struct Turn {
  std::string heard;              // empty: a timer rang
  double heard_from = 0, heard_to = 0;
  Reply reply;
  double spoken_from = 0, spoken_to = 0;
  size_t sentences_heard = 0;     // of the reply; the last of them may have been cut
  bool interrupted = false;
  // What it really took: writing down what was said, and from then to the first sentence's sound.
  double hearing_seconds = 0, first_sound_seconds = 0;
};
Json turn_json(const Turn& turn);

struct Recorded {
  media::Sound answers;   // of the voice's rate, on the recording's clock; it may end later
  size_t turns = 0;
  bool goodbye = false;
};

// `on_turn` gets each turn when it is over. Without `speak` nothing is spoken: sentences last as long as they would at 15
// characters a second. Timers ring as long as somebody speaks.
Recorded converse(const media::Sound& recording, const media::VoiceSettings& settings, const Hear& hear, const Speak& speak, Assistant& assistant, Toolbox& tools,
                  const std::function<void(const Turn&)>& on_turn);

}  // namespace mynah::assistant
