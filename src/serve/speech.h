// Speech in the dialects of OpenAI (POST /v1/audio/speech) and Hugging Face (the tasks text-to-speech and
// text-to-audio).
#pragma once
#include <string>

#include "serve/service.h"

namespace mynah::serve {

// Whether the model speaks.
bool speaks(const LoadedModel& model);
// Answers a request for the sound of `inputs` with the bytes of a sound file: WAV, or what the header Accept names
// (audio/flac, audio/ogg, audio/mpeg).
void hf_speech(Call& call, const LoadedModel& model, const Json& body);

std::span<const Route> speech_routes();

}  // namespace mynah::serve
