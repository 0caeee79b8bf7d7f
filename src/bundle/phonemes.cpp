#include "bundle/phonemes.h"

#include <algorithm>
#include <array>

#include "base/process.h"
#include "base/require.h"
#include "base/unicode.h"

namespace mynah::bundle {
namespace {

// A line that no text holds and that espeak-ng speaks in one go: it separates the answers.
constexpr std::string_view kMark = "xqzxqz";
constexpr size_t kLongestLine = 700;  // bytes; espeak-ng reads lines of up to 1000

struct Character {
  char32_t code;
  size_t begin, end;
};
std::vector<Character> characters_of(std::string_view text) {
  std::vector<Character> all;
  for (size_t at = 0; at < text.size();) {
    const unicode::Decoded d = unicode::decode_any(text, at);
    all.push_back({d.code, at, at + d.size});
    at += d.size;
  }
  return all;
}

bool is_space(char32_t c) { return unicode::is_python_space(c); }
bool among(char32_t c, std::u32string_view set) { return set.find(c) != std::u32string_view::npos; }
constexpr std::u32string_view kEnds = U".!?\u2026\u3002\uFF01\uFF1F", kWideEnds = U"\u3002\uFF01\uFF1F";
constexpr std::u32string_view kClosing = U"\"')]}\u201D\u2019\u00BB";
constexpr std::u32string_view kPauses = U",;:\uFF0C\u3001\uFF1B\uFF1A",
                              kBreaks = U"()[]{}\u2014\u2013\u201C\u201D\u00AB\u00BB\"";

// Whether the point that ends `before` belongs to an abbreviation.
bool is_abbreviation(std::string_view before) {
  size_t begin = before.size();
  while (begin > 0 && before[begin - 1] != ' ' && before[begin - 1] != '\n' && before[begin - 1] != '(') --begin;
  const std::string_view word = before.substr(begin);
  if (word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word[0] != 'I') return true;  // an initial
  constexpr std::array<std::string_view, 18> kKnown = {"Mr", "Mrs", "Ms",  "Dr",  "Prof", "St",
                                                       "Sr", "Jr",  "vs",  "e.g", "i.e",  "etc",
                                                       "No", "Gen", "Col", "Lt",  "Capt", "approx"};
  return std::find(kKnown.begin(), kKnown.end(), word) != kKnown.end();
}

std::string stripped(std::string_view text) { return std::string(unicode::stripped(text)); }

// "(en)wiːkˈɛnd(fr)": marks of a change of language are no phonemes.
std::string without_flags(std::string_view line) {
  std::string out;
  for (size_t at = 0; at < line.size(); ++at) {
    const size_t close = line[at] == '(' ? line.find(')', at) : std::string_view::npos;
    if (close == std::string_view::npos)
      out += line[at];
    else
      at = close;
  }
  return out;
}

}  // namespace

std::vector<std::string> phonemes_of(const std::string& voice, const std::vector<std::string>& clauses) {
  const auto program = find_program("espeak-ng");
  if (!program)
    fail(ErrorCode::not_found,
         "espeak-ng: not found, and this voice speaks the phonemes that it gives; install it (Debian: apt-get install "
         "espeak-ng)");
  const bool plain = !voice.empty() && std::all_of(voice.begin(), voice.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '+';
  });
  require(plain && voice[0] != '-', "espeak-ng: \"{}\" is not the name of a voice", voice);
  std::string input(kMark);
  input += '\n';
  for (const std::string& clause : clauses) {
    std::string line = unicode::to_valid(clause);
    for (char& c : line)
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    // A line that is too long is cut at spaces.
    for (size_t at = 0; at < line.size();) {
      size_t size = std::min(kLongestLine, line.size() - at);
      if (at + size < line.size()) {
        const size_t space = line.rfind(' ', at + size);
        if (space != std::string::npos && space > at) size = space - at;
        while (size > 1 && at + size < line.size() && unicode::is_continuation(line[at + size])) --size;
      }
      input += " " + line.substr(at, size) + "\n";  // the space keeps a leading "-" from being anything else
      at += size;
    }
    input += kMark;
    input += '\n';
  }
  std::string output;
  try {
    output = run_filter({program->string(), "-q", "--ipa", "-b", "1", "-v", voice}, input, 64u << 20, 60);
  } catch (const Error&) {
    fail(ErrorCode::failure, "espeak-ng: does not speak \"{}\"; espeak-ng --voices lists what it speaks", voice);
  }
  std::vector<std::string> lines;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    lines.push_back(stripped(without_flags(output.substr(at, end - at))));
    at = end + 1;
  }
  std::vector<std::string> answers(1);
  for (size_t i = 1; i < lines.size(); ++i) {
    if (lines[i] == lines[0])
      answers.emplace_back();
    else if (!lines[i].empty())
      answers.back() += (answers.back().empty() ? "" : " ") + lines[i];
  }
  answers.pop_back();  // what follows the last mark
  require(answers.size() == clauses.size(), "espeak-ng: {} answers for {} clauses", answers.size(), clauses.size());
  return answers;
}

std::vector<std::string> sentences_of(std::string_view text) {
  const auto all = characters_of(text);
  std::vector<std::string> out;
  size_t begin = 0;
  const auto cut = [&](size_t end) {
    if (std::string s = stripped(text.substr(begin, end - begin)); !s.empty()) out.push_back(std::move(s));
    begin = end;
  };
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].code == '\n') {
      size_t j = i + 1;
      while (j < all.size() && is_space(all[j].code) && all[j].code != '\n') ++j;
      if (j < all.size() && all[j].code == '\n') cut(all[i].begin);
      continue;
    }
    if (!among(all[i].code, kEnds)) continue;
    size_t j = i + 1;
    while (j < all.size() && (among(all[j].code, kEnds) || among(all[j].code, kClosing))) ++j;
    const bool at_end = j == all.size() || is_space(all[j].code) || among(all[i].code, kWideEnds);
    const bool abbreviated =
        all[i].code == '.' && j == i + 1 && j < all.size() && is_abbreviation(text.substr(begin, all[i].begin - begin));
    if (at_end && !abbreviated) cut(all[j - 1].end);
    i = j - 1;
  }
  cut(text.size());
  return out;
}

std::vector<Clause> clauses_of(std::string_view sentence) {
  const auto all = characters_of(sentence);
  std::vector<Clause> out;
  size_t begin = 0;
  const auto cut = [&](size_t end, size_t next, std::string mark) {
    Clause c{stripped(sentence.substr(begin, end - begin)), std::move(mark)};
    begin = next;
    if (!c.text.empty())
      out.push_back(std::move(c));
    else if (!c.mark.empty() && !out.empty() && out.back().mark.empty())
      out.back().mark = std::move(c.mark);
  };
  const auto mark_of = [](char32_t c) -> std::string {
    switch (c) {
      case U'!':
      case U'\uFF01':
        return "!";
      case U'?':
      case U'\uFF1F':
        return "?";
      case U';':
      case U'\uFF1B':
        return ";";
      case U':':
      case U'\uFF1A':
        return ":";
      case U',':
      case U'\uFF0C':
      case U'\u3001':
        return ",";
      default:
        return ".";
    }
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const char32_t c = all[i].code;
    const bool last = i + 1 == all.size(),
               before_space = last || is_space(all[i + 1].code) || among(all[i + 1].code, kClosing);
    if (among(c, kBreaks)) {
      cut(all[i].begin, all[i].end, "");
    } else if (among(c, kPauses) && (before_space || c > 0x7F)) {
      cut(all[i].begin, all[i].end, mark_of(c));
    } else if (among(c, kEnds)) {
      size_t j = i + 1;
      while (j < all.size() && among(all[j].code, kEnds)) ++j;
      const bool ends = j == all.size() || is_space(all[j].code) || among(all[j].code, kClosing) || among(c, kWideEnds);
      if (ends && !(c == '.' && j == i + 1 && j < all.size() &&
                    is_abbreviation(sentence.substr(begin, all[i].begin - begin)))) {
        std::string mark = mark_of(c);
        for (size_t k = i; k < j; ++k)
          if (mark == "." && mark_of(all[k].code) != ".") mark = mark_of(all[k].code);
        cut(all[i].begin, all[j - 1].end, mark);
      }
      i = j - 1;
    }
  }
  cut(sentence.size(), sentence.size(), "");
  return out;
}

std::string phonemes_with_punctuation(const std::string& voice, std::string_view text) {
  constexpr std::u32string_view kMarks = U";:,.!?\u00A1\u00BF\u2014\u2026\"\u00AB\u00BB\u201C\u201D(){}[]";
  std::vector<std::string> chunks(1), marks;
  const std::string whole = stripped(text);
  const auto all = characters_of(whole);
  for (size_t i = 0; i < all.size();) {
    size_t j = i;
    bool marked = false;
    while (j < all.size() && (is_space(all[j].code) || among(all[j].code, kMarks)))
      marked |= among(all[j++].code, kMarks);
    if (marked) {
      marks.push_back(whole.substr(all[i].begin, all[j - 1].end - all[i].begin));
      chunks.emplace_back();
      i = j;
    } else {
      chunks.back().append(whole, all[i].begin, all[i].end - all[i].begin);
      ++i;
    }
  }
  const auto spoken = phonemes_of(voice, chunks);
  std::string out;
  for (size_t i = 0; i < spoken.size(); ++i) out += spoken[i] + (i < marks.size() ? marks[i] : "");
  std::string joined;
  for (const Character& c : characters_of(out))
    if (!is_space(c.code))
      joined.append(out, c.begin, c.end - c.begin);
    else if (joined.empty() || joined.back() != ' ')
      joined += ' ';
  return stripped(joined);
}

}  // namespace mynah::bundle
