// What "-" means where a command takes a text or a file: all of standard input.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace mynah::media {
struct Sound;
}

namespace mynah::app {

constexpr const char* kStandardInput = "standard input";  // what messages call it

// Standard input to its end, from a terminal too. Throws does_not_fit above `most_bytes`.
std::string read_standard_input(size_t most_bytes = 256u << 20);
// The same as a text: without the end of its last line, as shells take what a command prints.
std::string standard_input_text();

// A text given as words, joined by blanks; "-" alone is that of standard input.
std::string text_of_words(const std::vector<std::string>& words);
// The text of a file. Throws as read_text_file does.
std::string text_of_file(const std::string& file, size_t most_bytes);
// The sound of a file.
media::Sound sound_of_file(const std::string& file);
// What messages call the file.
std::string shown_file(const std::string& file);

}  // namespace mynah::app
