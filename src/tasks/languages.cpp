#include "tasks/languages.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::tasks {

Languages::Languages(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  const auto bare = tokenizer.encode_ids("a", false), full = tokenizer.encode_ids("a", true);
  const auto own = std::search(full.begin(), full.end(), bare.begin(), bare.end());
  if (own == full.end()) return;
  // What is put around every text and is no token of another use names the language.
  const auto names_language = [&](int32_t id) {
    const auto is = [id](std::optional<int32_t> other) { return other == id; };
    return !is(tokenizer.bos_id()) && !is(tokenizer.eos_id()) && !is(tokenizer.pad_id()) && !is(tokenizer.unk_id()) &&
           !is(tokenizer.cls_id()) && !is(tokenizer.sep_id()) && !is(tokenizer.mask_id());
  };
  int32_t found = -1;
  for (auto it = full.begin(); it != own; ++it)
    if (names_language(*it)) {
      before_ = it - full.begin();
      found = *it;
    }
  for (auto it = own + static_cast<int64_t>(bare.size()); it != full.end(); ++it)
    if (found < 0 && names_language(*it)) {
      behind_ = full.end() - it;
      found = *it;
    }
  underlined_ = found >= 0 && tokenizer.token_text(found).starts_with("__");
}

int32_t Languages::token(const std::string& language, const std::string& where) const {
  const std::string name = underlined_ && !language.starts_with("__") ? "__" + language + "__" : language;
  const auto id = tokenizer_.token_id(name);
  if (!id || (!underlined_ && !tokenizer_.is_special(*id)))
    fail(ErrorCode::usage, "{} \"{}\" is no language of this model", where, language);
  return *id;
}

void Languages::mark(std::vector<int32_t>* ids, int32_t source) const {
  if (any()) (*ids)[before_ >= 0 ? static_cast<size_t>(before_) : ids->size() - static_cast<size_t>(behind_)] = source;
}

std::optional<std::pair<std::string, std::string>> languages_of(const std::string& task) {
  constexpr std::string_view kStart = "translation_", kBetween = "_to_";
  const size_t between = task.find(kBetween, std::min(kStart.size(), task.size()));
  if (!task.starts_with(kStart) || between == std::string::npos || between <= kStart.size() ||
      between + kBetween.size() == task.size())
    return std::nullopt;
  return std::pair(task.substr(kStart.size(), between - kStart.size()), task.substr(between + kBetween.size()));
}

}  // namespace mynah::tasks
