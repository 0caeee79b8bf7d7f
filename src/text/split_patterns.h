// The regular expressions by which byte-level tokenizers split words, and the pieces that several of them are made of.
// Sources: the pattern strings of tiktoken, of the tokenizer.json files of GPT-2, Llama 3, Qwen 2 and GPT-4o.
#pragma once

#define MYNAH_CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define MYNAH_ANY_CASE "(?i:" MYNAH_CONTRACTIONS ")"
#define MYNAH_SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MYNAH_LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define MYNAH_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define MYNAH_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define MYNAH_LLAMA3(digits) MYNAH_LEAD "\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" MYNAH_SPACES
#define MYNAH_GPT4O(suffix, digits)                                                                                  \
  MYNAH_LEAD MYNAH_UPPER "*" MYNAH_LOWER "+" suffix "|" MYNAH_LEAD MYNAH_UPPER "+" MYNAH_LOWER "*" suffix "|" digits \
                         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" MYNAH_SPACES

namespace mynah::text {

inline constexpr const char* kGpt2Split = MYNAH_CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

}  // namespace mynah::text
