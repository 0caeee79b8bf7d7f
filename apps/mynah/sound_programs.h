// The programs through which sound is played and recorded, whichever is installed.
#pragma once
#include <string>
#include <vector>

namespace mynah::app {

// Plays the WAV on its standard input. `verb` is for the message: throws not_found when there is none.
std::vector<std::string> player_command(const std::string& verb);
// Writes 16-bit samples of one channel at 16 kHz to its standard output until it is ended. Throws not_found likewise.
std::vector<std::string> recorder_command(const std::string& verb);

}  // namespace mynah::app
