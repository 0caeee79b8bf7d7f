#include "tasks/speech_words.h"

#include <algorithm>
#include <array>

#include "base/unicode.h"

namespace mynah::tasks {
namespace {

constexpr std::string_view kBefore = "\"'\xe2\x80\x9c\xc2\xa1\xc2\xbf([{-";
constexpr std::string_view kBehind = "\"'.\xe3\x80\x82,\xef\xbc\x8c!\xef\xbc\x81?\xef\xbc\x9f:\xef\xbc\x9a\xe2\x80\x9d)]}\xe3\x80\x81";
constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool contains(std::string_view all, std::string_view part) { return all.find(part) != std::string_view::npos; }

std::string_view speech_words_stripped(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

// The fewest tokens that are whole characters, one after another.
std::vector<TokenWord> characters_of(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  const std::string whole = tokenizer.decode(tokens, false);
  std::vector<TokenWord> out;
  std::vector<int32_t> current;
  TokenWord word;
  size_t offset = 0;  // bytes of `whole`; the reference counts characters, which comes to the same
  for (size_t i = 0; i < tokens.size(); ++i) {
    current.push_back(tokens[i]);
    word.tokens.push_back(i);
    word.text = tokenizer.decode(current, false);
    const size_t at = word.text.find(kReplacement);
    // A replacement that the whole text has too is what the tokens say.
    if (at != std::string::npos && (offset + at > whole.size() || !std::string_view(whole).substr(offset + at).starts_with(kReplacement))) continue;
    offset += word.text.size();
    out.push_back(std::move(word));
    word = {};
    current.clear();
  }
  return out;
}

void join(TokenWord* into, TokenWord* from) {
  into->text += from->text;
  into->tokens.insert(into->tokens.end(), from->tokens.begin(), from->tokens.end());
  *from = {};
}

std::vector<TokenWord> spaced_words(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  const int32_t end = tokenizer.eos_id().value_or(tokenizer.token_id("<|endoftext|>").value_or(INT32_MAX));
  std::vector<TokenWord> out;
  for (TokenWord& part : characters_of(tokenizer, tokens)) {
    const bool special = tokens[part.tokens[0]] >= end;
    const bool begins = special || part.text.starts_with(' ') || contains(kPunctuation, speech_words_stripped(part.text)) || out.empty();
    if (begins) out.push_back(std::move(part));
    else join(&out.back(), &part);
  }
  return out;
}

// Opening marks go to the word behind, closing ones to the word before.
void merge_punctuation(std::vector<TokenWord>* words) {
  auto& w = *words;
  for (size_t i = w.size(), j = w.size(); i-- > 0;) {
    if (j < w.size() && w[i].text.starts_with(' ') && contains(kBefore, speech_words_stripped(w[i].text))) {
      join(&w[i], &w[j]);
      w[j] = std::move(w[i]);
      w[i] = {};
    } else {
      j = i;
    }
  }
  for (size_t i = 0, j = 1; j < w.size(); ++j) {
    if (!w[i].text.ends_with(' ') && contains(kBehind, w[j].text)) join(&w[i], &w[j]);
    else i = j;
  }
  std::erase_if(w, [](const TokenWord& word) { return word.text.empty(); });
}

}  // namespace

std::vector<TokenWord> words_of(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens, std::string_view language) {
  constexpr std::array<std::string_view, 6> kWithoutSpaces = {"chinese", "japanese", "thai", "lao", "myanmar", "cantonese"};
  const bool spaced = std::find(kWithoutSpaces.begin(), kWithoutSpaces.end(), language) == kWithoutSpaces.end();
  std::vector<TokenWord> words = spaced ? spaced_words(tokenizer, tokens) : characters_of(tokenizer, tokens);
  merge_punctuation(&words);
  return words;
}

}  // namespace mynah::tasks
