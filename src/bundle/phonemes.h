// Texts as phonemes of the international phonetic alphabet, by espeak-ng as a process of its own.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mynah::bundle {

// Phonemes of each clause, without punctuation. `voice`: espeak-ng's name of the language ("en-us"). Throws not_found
// when the program is not installed, failure when it has no such voice.
std::vector<std::string> phonemes_of(const std::string& voice, const std::vector<std::string>& clauses);

// A piece of a sentence that is spoken without a pause, and the mark that ends it.
struct Clause {
  std::string text;
  std::string mark;  // one of . , ; : ! ? or empty
};

// A text cut into sentences: after . ! ? and their likes followed by a space, and at empty lines. Spaces around them
// are dropped.
std::vector<std::string> sentences_of(std::string_view text);
// A sentence cut into clauses; brackets and dashes separate them too.
std::vector<Clause> clauses_of(std::string_view sentence);

// The phonemes of a text as the phonemizer package gives them with punctuation kept: marks and the spaces around them
// stay.
std::string phonemes_with_punctuation(const std::string& voice, std::string_view text);

}  // namespace mynah::bundle
