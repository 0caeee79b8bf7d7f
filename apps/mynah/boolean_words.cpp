#include "boolean_words.h"

#include <algorithm>

namespace mynah::app {

std::vector<std::string> join_boolean_values(const std::vector<std::string>& words, const std::vector<std::string>& flags) {
  std::vector<std::string> out;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool flag = std::find(flags.begin(), flags.end(), words[i]) != flags.end();
    const auto is = [&](const char* word) { return i + 1 < words.size() && words[i + 1] == word; };
    const bool value = flag && (is("true") || is("false") || is("1") || is("0") || (words[i] == "--early-stopping" && is("never")));
    out.push_back(value ? words[i] + "=" + words[i + 1] : words[i]);
    if (value) ++i;
  }
  return out;
}

}  // namespace mynah::app
