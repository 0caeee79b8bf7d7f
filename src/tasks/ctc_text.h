// The text of frames that a CTC head labelled: equal neighbours are one, blanks are none. As Wav2Vec2CTCTokenizer of transformers 4.57.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "mynah/tokenizer.h"
#include "tasks/ctc_beams.h"

namespace mynah::tasks {

struct CtcSpan {
  std::string text;
  int64_t begin, end;  // frames
};
struct CtcText {
  std::string text;
  std::vector<CtcSpan> characters, words;
};

// `tokenizer_config`: tokenizer_config.json.
CtcText ctc_text(const Tokenizer& tokenizer, const Json& tokenizer_config, const std::vector<int32_t>& frames);

// What the tokens say; the delimiter between words is a blank.
CtcAlphabet ctc_alphabet(const Tokenizer& tokenizer, const Json& tokenizer_config);
CtcText ctc_text(const Tokenizer& tokenizer, const Json& tokenizer_config, const CtcBeam& beam);

}  // namespace mynah::tasks
