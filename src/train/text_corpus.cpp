#include "train/text_corpus.h"

#include <algorithm>

#include "base/require.h"
#include "data/rows.h"

namespace mynah::train {
namespace {

bool holds_rows(const std::filesystem::path& path) {
  const std::filesystem::path name = path.extension() == ".gz" ? path.stem() : path;
  return name.extension() == ".jsonl" || name.extension() == ".json" || name.extension() == ".csv";
}

}  // namespace

Corpus Corpus::split_off(int64_t begin) {
  Corpus rest;
  const double share = tokens.empty() ? 0 : static_cast<double>(tokens.size() - static_cast<size_t>(begin)) / static_cast<double>(tokens.size());
  rest.bytes = static_cast<int64_t>(static_cast<double>(bytes) * share + 0.5);
  bytes -= rest.bytes;
  rest.tokens.assign(tokens.begin() + begin, tokens.end());
  tokens.resize(static_cast<size_t>(begin));
  std::vector<int64_t> before;
  for (const int64_t end : ends) {
    if (end < begin) before.push_back(end);
    else if (end > begin) rest.ends.push_back(end - begin);
  }
  if (begin > 0) before.push_back(begin);
  ends = std::move(before);
  return rest;
}

Corpus read_corpus(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer, int32_t end_token) {
  Corpus corpus;
  const auto add = [&](const std::string& text, bool row) {
    const std::vector<int32_t> ids = tokenizer.encode_ids(text, false);
    corpus.bytes += static_cast<int64_t>(text.size());
    for (const int32_t id : ids)
      if (tokenizer.is_special(id)) corpus.bytes -= static_cast<int64_t>(tokenizer.token_text(id).size());
    corpus.tokens.insert(corpus.tokens.end(), ids.begin(), ids.end());
    if (row && end_token >= 0) corpus.tokens.push_back(end_token);
    corpus.ends.push_back(static_cast<int64_t>(corpus.tokens.size()));
  };
  for (const auto& path : files) {
    if (holds_rows(path)) data::for_each_row(path, [&](const Json& row, const std::string& where) { add(data::text_field(row, "text", where), true); });
    else add(data::read_text(path), false);
  }
  return corpus;
}

}  // namespace mynah::train
