// What people say, in English: words, numbers, durations.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::assistant {

// Lower-case words without punctuation; "3.5" and "what's" are one word, "twenty-five" two, arithmetic signs one each, and
// "%" is "percent". At most `most` of them.
std::vector<std::string> spoken_words(std::string_view text, size_t most = 200);
// The same with the bytes [begin, end) of the text that each comes from.
struct SpokenWord {
  std::string text;
  size_t begin = 0, end = 0;
};
std::vector<SpokenWord> spoken_words_in(std::string_view text, size_t most = 200);

// The number that begins at words[*at], written or spoken ("42", "one hundred and five", "three point one four"); *at
// moves behind it.
std::optional<double> read_number(std::span<const std::string> words, size_t* at);
// Seconds of the duration that begins at words[*at]: "5 minutes", "half an hour", "an hour and a half", "two minutes and
// ten seconds"; *at moves behind it.
std::optional<double> read_duration(std::span<const std::string> words, size_t* at);

// "0.5", "1200000": at most ten digits that count.
std::string number_text(double value);
// "1 hour, 5 minutes and 1 second"; whole seconds.
std::string duration_text(double seconds);

}  // namespace mynah::assistant
