#include "text/ngram.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "base/require.h"

namespace mynah::text {
namespace {

constexpr int64_t kMostGrams = 100'000'000, kHighestOrder = 20;

// The fields of a line, separated by blanks and tabs.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t at = 0; at < line.size();) {
    const size_t begin = line.find_first_not_of(" \t\r", at);
    if (begin == std::string_view::npos) break;
    const size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    at = end;
  }
  return fields;
}

template <class Number>
bool read(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

size_t NgramModel::HashWords::operator()(const std::vector<Word>& words) const {
  uint64_t hash = 14695981039346656037u;
  for (const Word w : words) hash = (hash ^ static_cast<uint32_t>(w)) * 1099511628211u;
  return hash;
}

std::shared_ptr<const NgramModel> NgramModel::open(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return parse({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, path.string());
}

std::shared_ptr<const NgramModel> NgramModel::parse(std::string_view text, const std::string& where) {
  auto model = std::make_shared<NgramModel>();
  std::vector<int64_t> counts;  // announced, by order
  int64_t section = -1, number = 0, read_in_section = 0;  // section: 0 \data\, N the N-grams
  bool ended = false;
  const auto wrong = [&](const char* what) { fail(ErrorCode::integrity, "{}: line {}: {}; expected an ARPA file (binary models are not read)", where, number, what); };
  const auto check_count = [&] {
    if (section > 0 && read_in_section != counts[static_cast<size_t>(section - 1)]) wrong("another number of n-grams than announced");
  };
  for (size_t at = 0; at < text.size() && !ended;) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    const auto fields = fields_of(line);
    if (fields.empty()) continue;
    if (fields[0].front() == '\\') {
      check_count();
      if (fields[0] == "\\data\\") {
        section = 0;
      } else if (fields[0] == "\\end\\") {
        ended = true;
      } else {
        int64_t order = 0;
        const size_t dash = fields[0].find('-');
        if (dash == std::string_view::npos || !read(fields[0].substr(1, dash - 1), &order) || order != section + 1 || order > static_cast<int64_t>(counts.size())) wrong("a section out of place");
        section = order;
      }
      read_in_section = 0;
      continue;
    }
    if (section < 0) continue;  // what comes before \data\ means nothing
    if (section == 0) {
      // "ngram 2=345"
      const size_t equals = line.find('=');
      int64_t order = 0, count = 0;
      if (fields[0] != "ngram" || equals == std::string_view::npos || fields_of(line.substr(0, equals)).size() != 2 || !read(fields_of(line.substr(0, equals))[1], &order) ||
          fields_of(line.substr(equals + 1)).size() != 1 || !read(fields_of(line.substr(equals + 1))[0], &count) || order != static_cast<int64_t>(counts.size()) + 1 || order > kHighestOrder ||
          count < 0)
        wrong("not \"ngram ORDER=COUNT\"");
      if (count > kMostGrams) fail(ErrorCode::does_not_fit, "{}: {} n-grams of order {}, at most {} are read", where, count, order, kMostGrams);
      counts.push_back(count);
      continue;
    }
    const auto order = static_cast<size_t>(section);
    Entry entry;
    if (fields.size() != order + 1 && fields.size() != order + 2) wrong("not a probability, words and a backoff weight");
    if (!read(fields[0], &entry.log_probability) || !(entry.log_probability <= 0)) wrong("no probability of at most 1");
    if (fields.size() == order + 2 && !(read(fields[order + 1], &entry.backoff) && std::isfinite(entry.backoff))) wrong("not a backoff weight");
    std::vector<Word> gram;
    for (size_t i = 1; i <= order; ++i) {
      const std::string word(fields[i]);
      if (order == 1) model->words_.try_emplace(word, static_cast<Word>(model->words_.size()));
      const auto known = model->words_.find(word);
      if (known == model->words_.end()) wrong("a word that is no 1-gram");
      gram.push_back(known->second);
    }
    model->entries_[std::move(gram)] = entry;
    ++read_in_section;
  }
  if (!ended || counts.empty() || section != static_cast<int64_t>(counts.size())) wrong("it ends too early");
  model->order_ = static_cast<int64_t>(counts.size());
  for (const auto& [word, id] : model->words_) model->sorted_.push_back(word);
  std::sort(model->sorted_.begin(), model->sorted_.end());
  const auto id_of = [&](const char* word) {
    const auto it = model->words_.find(word);
    return it == model->words_.end() ? -1 : it->second;
  };
  model->unknown_ = id_of("<unk>");
  if (model->unknown_ < 0) model->unknown_ = id_of("<UNK>");
  model->start_ = id_of("<s>");
  model->end_ = id_of("</s>");
  return model;
}

NgramModel::Word NgramModel::find(std::string_view word) const {
  const auto it = words_.find(std::string(word));
  return it == words_.end() ? unknown_ : it->second;
}

bool NgramModel::begins_word(std::string_view part) const {
  const auto it = std::lower_bound(sorted_.begin(), sorted_.end(), part);
  return it != sorted_.end() && it->starts_with(part);
}

NgramModel::History NgramModel::start() const { return start_ < 0 || order_ < 2 ? History() : History{start_}; }

double NgramModel::score(Word word, History* history) const {
  double total = 0;
  History before = *history;
  bool found = false;
  while (word >= 0) {
    std::vector<Word> gram = before;
    gram.push_back(word);
    if (const auto it = entries_.find(gram); it != entries_.end()) {
      total += static_cast<double>(it->second.log_probability);
      found = true;
      break;
    }
    if (before.empty()) break;
    if (const auto it = entries_.find(before); it != entries_.end()) total += static_cast<double>(it->second.backoff);
    before.erase(before.begin());
  }
  history->push_back(word);
  // Words that the model does not have say nothing about what follows.
  if (word < 0) history->clear();
  if (static_cast<int64_t>(history->size()) > order_ - 1) history->erase(history->begin(), history->end() - (order_ - 1));
  return found ? total : -100;
}

}  // namespace mynah::text
