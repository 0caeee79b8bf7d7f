#include "bundle/gguf_pre_names.h"

#include <algorithm>
#include <charconv>

#include "base/unicode.h"
#include "text/gguf_pre_tokenizers.h"

namespace mynah::bundle {
namespace {

// One name of every family, those that other programs know best first.
constexpr const char* kNames[] = {
    "gpt-2",     "smollm",       "llama-bpe",   "dbrx",           "glm4",       "qwen2",      "gpt-4o",
    "tekken",    "deepseek-llm", "deepseek-v3", "deepseek-coder", "falcon",     "bloom",      "viking",
    "chameleon", "ufakzeka",     "qwen35",      "seed-coder",     "bailingmoe", "exaone-moe", "granite-embed-multi-97m",
    "tiny_aya",  "minicpm5",     "superbpe"};

}  // namespace

std::string with_literal_characters(std::string_view expression) {
  std::string out;
  for (size_t at = 0; at < expression.size();) {
    if (expression.substr(at, 3) == "\\x{") {
      uint32_t code = 0;
      const char* end = expression.data() + expression.size();
      const auto [stop, error] = std::from_chars(expression.data() + at + 3, end, code, 16);
      // Below 0x80 a character could mean something else in an expression.
      if (error == std::errc() && stop != end && *stop == '}' && code >= 0x80) {
        unicode::append(out, code);
        at = static_cast<size_t>(stop - expression.data()) + 1;
        continue;
      }
    }
    // An escape is two bytes, so that "\\\\x{" is not taken for one.
    const size_t size = expression[at] == '\\' && at + 1 < expression.size() ? 2 : 1;
    out.append(expression.substr(at, size));
    at += size;
  }
  return out;
}

std::string find_pre_name(const std::vector<std::string>& expressions, bool ignore_merges) {
  std::string near;
  for (const char* name : kNames) {
    const text::GgufPreTokenizer known = text::gguf_pre_tokenizer(name);
    const bool equal = std::equal(known.expressions.begin(), known.expressions.end(), expressions.begin(),
                                  expressions.end(), [](const std::string& a, const std::string& b) {
                                    return with_literal_characters(a) == with_literal_characters(b);
                                  });
    if (!equal) continue;
    if (known.ignore_merges == ignore_merges) return name;
    if (near.empty()) near = name;
  }
  return near;
}

}  // namespace mynah::bundle
