#include "sound_programs.h"

#include "base/process.h"
#include "base/require.h"

namespace mynah::app {

std::vector<std::string> player_command(const std::string& verb) {
  if (const auto aplay = find_program("aplay")) return {aplay->string(), "-q", "-"};
  if (const auto play = find_program("paplay")) return {play->string()};
  if (const auto play = find_program("pw-play")) return {play->string(), "-"};
  if (const auto play = find_program("ffplay"))
    return {play->string(), "-loglevel", "error", "-nodisp", "-autoexit", "-"};
  fail(ErrorCode::not_found,
       "{}: no player found; install one (Debian: apt-get install alsa-utils) or name a file: -o speech.wav", verb);
}

std::vector<std::string> recorder_command(const std::string& verb) {
  if (const auto record = find_program("arecord"))
    return {record->string(), "-q", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1", "-"};
  if (const auto record = find_program("parecord"))
    return {record->string(), "--raw", "--format=s16le", "--rate=16000", "--channels=1"};
  if (const auto record = find_program("pw-record"))
    return {record->string(), "--format=s16", "--rate=16000", "--channels=1", "-"};
  fail(ErrorCode::not_found,
       "{}: no recorder found; install one (Debian: apt-get install alsa-utils), name a recording, or give --typed",
       verb);
}

}  // namespace mynah::app
