// Sounds as tasks are given them: the path of a file, or {"array": [samples], "sampling_rate": Hz} ("raw" instead of "array" too).
#pragma once
#include "media/sound.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

// Whether this JSON value is such an object.
bool is_sound(const Json& value);
// One channel at the sound's own rate; stereo files as FFmpeg mixes them. Throws usage for another value.
media::Sound sound_of(const OpenTask& task, const Json& input);

}  // namespace mynah::tasks
