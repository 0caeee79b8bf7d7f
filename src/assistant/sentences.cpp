#include "assistant/sentences.h"

#include <algorithm>

#include "base/unicode.h"
#include "bundle/phonemes.h"

namespace mynah::assistant {
namespace {

// Without "*", "#", "`" and the like; without "1." and "-" at the beginning.
std::string plain(const std::string& sentence) {
  std::string out;
  for (const char c : sentence)
    if (std::string_view("*#`_|~").find(c) == std::string_view::npos) out += c == '\n' ? ' ' : c;
  std::string_view rest = unicode::stripped(out);
  while (rest.starts_with("- ") || rest.starts_with("> ")) rest = unicode::stripped(rest.substr(2));
  return std::string(rest);
}

bool says_something(const std::string& sentence) {
  // "1." of a list is no sentence.
  const bool number = std::all_of(sentence.begin(), sentence.end(), [](unsigned char c) { return std::isdigit(c) || c == '.' || c == ')' || c == ' '; });
  return !number || sentence.find('.') + 1 < sentence.size();
}

}  // namespace

std::vector<std::string> SentenceCutter::push(std::string_view piece) {
  held_ += piece;
  return cut(false);
}

std::vector<std::string> SentenceCutter::finish() {
  std::vector<std::string> out = cut(true);
  held_.clear();
  return out;
}

std::vector<std::string> SentenceCutter::cut(bool all) {
  std::vector<std::string> out;
  // A line ends a sentence here: answers that are heard have no paragraphs.
  size_t begin = 0;
  const auto put = [&](std::string_view text) {
    for (const std::string& s : bundle::sentences_of(text))
      if (std::string one = plain(s); !one.empty() && says_something(one)) out.push_back(std::move(one));
  };
  for (size_t end; (end = held_.find('\n', begin)) != std::string::npos; begin = end + 1) put(std::string_view(held_).substr(begin, end - begin));
  held_.erase(0, begin);
  if (all) {
    put(held_);
    return out;
  }
  // All but the last, behind which nothing has come yet. Their bytes are found again from the end: sentences_of() drops blanks.
  const std::vector<std::string> sentences = bundle::sentences_of(held_);
  if (sentences.size() < 2) return out;
  const size_t last = held_.rfind(sentences.back());
  put(std::string_view(held_).substr(0, last));
  held_.erase(0, last);
  return out;
}

}  // namespace mynah::assistant
