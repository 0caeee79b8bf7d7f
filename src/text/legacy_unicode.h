// Character classes as the reference tokenizers know them: their tables stopped at Unicode 8 and 9, and vocabularies
// were made with them, so newer characters must keep falling outside.
#pragma once

namespace mynah::text {

// Category Mn; what BertNormalizer strips.
bool is_legacy_nonspacing_mark(char32_t code);
// Any ASCII symbol, or punctuation of any category.
bool is_legacy_punctuation(char32_t code);
// Category M; what StripAccents strips.
bool is_legacy_combining_mark(char32_t code);
// Control, format and private-use characters without tab and line ends; what BertNormalizer cleans away.
bool is_legacy_control(char32_t code);

}  // namespace mynah::text
