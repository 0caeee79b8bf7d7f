// How multilingual translators are told languages: by tokens around the source ("eng_Latn" of NLLB, "en_XX" of mBART,
// "__en__" of M2M-100, where one says "en") and by the token that the answer begins with.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::tasks {

class Languages {
 public:
  explicit Languages(const Tokenizer& tokenizer);

  // Whether texts carry a language's token.
  bool any() const { return before_ >= 0 || behind_ >= 0; }
  // The token of a language, as people or the reference write it. Throws usage; `where` names the option.
  int32_t token(const std::string& language, const std::string& where) const;
  // Puts the token of the text's language in place of the tokenizer's own into the ids of an encoded text.
  void mark(std::vector<int32_t>* ids, int32_t source) const;

 private:
  const Tokenizer& tokenizer_;
  int64_t before_ = -1, behind_ = -1;  // the token's place from the beginning, or from the end
  bool underlined_ = false;            // tokens are "__en__"
};

// The languages of a task's name: "translation_en_to_fr", "translation_en_XX_to_fr_XX".
std::optional<std::pair<std::string, std::string>> languages_of(const std::string& task);

}  // namespace mynah::tasks
