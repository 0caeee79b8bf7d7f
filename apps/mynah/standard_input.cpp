#include "standard_input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "base/file.h"
#include "base/require.h"
#include "media/sound.h"

namespace mynah::app {

std::string read_standard_input(size_t most_bytes) {
  std::string bytes;
  char buffer[65536];
  for (ssize_t n; (n = ::read(STDIN_FILENO, buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::failure, "{}: cannot be read: {}", kStandardInput, std::strerror(errno));
    bytes.append(buffer, static_cast<size_t>(n));
    if (bytes.size() > most_bytes) fail(ErrorCode::does_not_fit, "{}: more than {} MB; give less, or a file", kStandardInput, most_bytes >> 20);
  }
  return bytes;
}

std::string standard_input_text() {
  std::string text = read_standard_input();
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

std::string text_of_words(const std::vector<std::string>& words) {
  if (words.size() == 1 && words[0] == "-") return standard_input_text();
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string text_of_file(const std::string& file, size_t most_bytes) { return file == "-" ? read_standard_input(most_bytes) : read_text_file(file, most_bytes); }

media::Sound sound_of_file(const std::string& file) {
  if (file != "-") return media::read_sound(file);
  const std::string bytes = read_standard_input(2048u << 20);
  return media::decode_sound(std::as_bytes(std::span<const char>(bytes)), kStandardInput);
}

std::string shown_file(const std::string& file) { return file == "-" ? kStandardInput : file; }

}  // namespace mynah::app
