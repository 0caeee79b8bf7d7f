#include "tasks/ctc_text.h"

#include <algorithm>

#include "mynah/json.h"
#include "nn/config.h"
#include "tasks/characters.h"

namespace mynah::tasks {
namespace {

std::string token_named(const Json& config, const char* name, const char* otherwise) {
  const auto it = config.find(name);
  if (it == config.end() || it->is_null()) return otherwise;
  if (it->is_object()) return nn::config_string(*it, "content", otherwise);
  return it->is_string() ? it->get<std::string>() : otherwise;
}

// Characters between delimiters. A word's end is that of its last character.
std::vector<CtcSpan> word_spans(const std::vector<CtcSpan>& characters, const std::string& delimiter) {
  std::vector<CtcSpan> words;
  bool inside = false;
  CtcSpan word;
  for (const CtcSpan& c : characters) {
    if (c.text == delimiter) {
      if (inside) words.push_back(word);
      inside = false;
    } else if (inside) {
      word.text += c.text;
      word.end = c.end;
    } else {
      word = c;
      inside = true;
    }
  }
  if (inside) words.push_back(word);
  return words;
}

struct Marks {
  Marks(const Tokenizer& tokenizer, const Json& config)
      : blank(tokenizer.pad_id() ? tokenizer.token_text(*tokenizer.pad_id()) : token_named(config, "pad_token", "<pad>")),
        delimiter(token_named(config, "word_delimiter_token", "|")),
        space(nn::config_string(config, "replace_word_delimiter_char", " ")),
        unknown(tokenizer.unk_id() ? tokenizer.token_text(*tokenizer.unk_id()) : token_named(config, "unk_token", "<unk>")) {}
  std::string blank, delimiter, space, unknown;
};

CtcText text_of(std::vector<CtcSpan> characters, const Json& config, const std::string& space) {
  CtcText out;
  out.characters = std::move(characters);
  for (const CtcSpan& c : out.characters) out.text += c.text;
  out.text = without_spaces_around(out.text);
  if (nn::config_bool(config, "do_lower_case", false))
    std::transform(out.text.begin(), out.text.end(), out.text.begin(), [](unsigned char c) { return static_cast<char>(c < 0x80 ? std::tolower(c) : c); });
  out.words = word_spans(out.characters, space);
  return out;
}

}  // namespace

CtcText ctc_text(const Tokenizer& tokenizer, const Json& config, const std::vector<int32_t>& frames) {
  const Marks marks(tokenizer, config);
  std::vector<CtcSpan> characters;
  for (size_t i = 0; i < frames.size();) {
    const auto text = [&](int32_t id) { return id >= 0 && id < tokenizer.vocab_size() ? tokenizer.token_text(id) : marks.unknown; };
    const std::string token = text(frames[i]);
    size_t end = i + 1;
    while (end < frames.size() && text(frames[end]) == token) ++end;
    if (token != marks.blank) characters.push_back({token == marks.delimiter ? marks.space : token, static_cast<int64_t>(i), static_cast<int64_t>(end)});
    i = end;
  }
  return text_of(std::move(characters), config, marks.space);
}

CtcAlphabet ctc_alphabet(const Tokenizer& tokenizer, const Json& config) {
  const Marks marks(tokenizer, config);
  CtcAlphabet out;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string text = tokenizer.token_text(id);
    if (text == marks.blank) out.blank = id;
    if (text == marks.delimiter) out.delimiter = id;
    out.tokens.push_back(text == marks.delimiter ? marks.space : text);
  }
  return out;
}

CtcText ctc_text(const Tokenizer& tokenizer, const Json& config, const CtcBeam& beam) {
  const Marks marks(tokenizer, config);
  std::vector<CtcSpan> characters;
  for (const CtcToken& t : beam.tokens) {
    const std::string text = tokenizer.token_text(t.token);
    characters.push_back({text == marks.delimiter ? marks.space : text, t.begin, t.end});
  }
  return text_of(std::move(characters), config, marks.space);
}

}  // namespace mynah::tasks
