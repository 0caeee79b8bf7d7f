#include "train/text_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/require.h"
#include "base/unicode.h"
#include "mynah/json.h"
#include "train/class_metrics.h"

namespace mynah::train {
namespace {

using Words = std::vector<std::string>;

// Text as characters.
std::u32string characters(const std::string& text) {
  const std::string valid = unicode::to_valid(text);
  std::u32string out;
  for (size_t at = 0; at < valid.size();) {
    uint32_t size;
    out.push_back(unicode::decode_valid(valid.data() + at, size));
    at += size;
  }
  return out;
}
std::string utf8(const std::u32string& text) {
  std::string out;
  for (const char32_t c : text) unicode::append(out, c);
  return out;
}

// Python's str.split().
Words split(const std::string& text) {
  Words words;
  std::u32string word;
  for (const char32_t c : characters(text) + U" ") {
    if (!unicode::is_space(c)) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(utf8(word));
      word.clear();
    }
  }
  return words;
}

// Python's str.strip().
std::u32string stripped(const std::u32string& text) {
  size_t begin = 0, end = text.size();
  while (begin < end && unicode::is_space(text[begin])) ++begin;
  while (end > begin && unicode::is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

template <class T>
std::map<std::vector<T>, int64_t> ngrams(const std::vector<T>& items, size_t n) {
  std::map<std::vector<T>, int64_t> counts;
  for (size_t i = 0; i + n <= items.size(); ++i) ++counts[std::vector<T>(items.begin() + static_cast<long>(i), items.begin() + static_cast<long>(i + n))];
  return counts;
}

template <class Map>
int64_t overlap(const Map& a, const Map& b) {
  int64_t sum = 0;
  for (const auto& [key, count] : a)
    if (const auto it = b.find(key); it != b.end()) sum += std::min(count, it->second);
  return sum;
}

// ---- BLEU (sacrebleu: tokenizer 13a, exponential smoothing)

void replace_all(std::string* text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) text->replace(at, from.size(), to);
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

// The tokens of mteval-v13a: symbols alone, full stops and commas too unless between digits, dashes after digits.
Words tokens_13a(std::string line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
  replace_all(&line, "<skipped>", "");
  replace_all(&line, "-\n", "");
  replace_all(&line, "\n", " ");
  replace_all(&line, "&quot;", "\"");
  replace_all(&line, "&amp;", "&");
  replace_all(&line, "&lt;", "<");
  replace_all(&line, "&gt;", ">");
  std::u32string text = U" " + characters(line) + U" ", next;
  for (const char32_t c : text) {
    const bool symbol = (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
    if (symbol) next += U' ', next += c, next += U' ';
    else next += c;
  }
  const auto is_stop = [](char32_t c) { return c == '.' || c == ','; };
  // Each rule is a scan for two characters that goes on after what it replaced.
  const auto pairs = [](const std::u32string& in, const auto& matches, bool before_first) {
    std::u32string out;
    for (size_t i = 0; i < in.size(); ++i) {
      if (i + 1 < in.size() && matches(in[i], in[i + 1])) {
        if (before_first) out += U' ', out += in[i], out += U' ', out += in[i + 1];
        else out += in[i], out += U' ', out += in[i + 1], out += U' ';
        ++i;
      } else {
        out += in[i];
      }
    }
    return out;
  };
  next = pairs(next, [&](char32_t a, char32_t b) { return !is_digit(a) && is_stop(b); }, false);
  next = pairs(next, [&](char32_t a, char32_t b) { return is_stop(a) && !is_digit(b); }, true);
  next = pairs(next, [&](char32_t a, char32_t b) { return is_digit(a) && b == '-'; }, false);
  return split(utf8(next));
}

double bleu(const std::vector<Prediction>& all) {
  constexpr size_t kOrder = 4;
  double correct[kOrder] = {}, total[kOrder] = {}, length = 0, reference_length = 0;
  for (const Prediction& p : all) {
    const Words words = tokens_13a(p.text);
    length += static_cast<double>(words.size());
    int64_t closest = -1, difference = -1;
    std::vector<Words> references;
    for (const std::string& r : p.references) {
      references.push_back(tokens_13a(r));
      const auto size = static_cast<int64_t>(references.back().size()), d = std::abs(size - static_cast<int64_t>(words.size()));
      if (difference < 0 || d < difference || (d == difference && size < closest)) {
        difference = d;
        closest = size;
      }
    }
    reference_length += static_cast<double>(closest);
    for (size_t n = 1; n <= kOrder; ++n) {
      const auto counts = ngrams(words, n);
      std::map<Words, int64_t> most;
      for (const Words& r : references)
        for (const auto& [key, count] : ngrams(r, n)) most[key] = std::max(most[key], count);
      correct[n - 1] += static_cast<double>(overlap(counts, most));
      total[n - 1] += static_cast<double>(words.size() >= n ? words.size() - n + 1 : 0);
    }
  }
  if (std::all_of(std::begin(correct), std::end(correct), [](double c) { return c == 0; })) return 0;
  double logs = 0, smoothing = 1;
  for (size_t n = 0; n < kOrder; ++n) {
    if (total[n] == 0) return 0;
    if (correct[n] == 0) smoothing *= 2;
    logs += std::log(correct[n] == 0 ? 100 / (smoothing * total[n]) : 100 * correct[n] / total[n]);
  }
  const double brevity = length >= reference_length ? 1 : length > 0 ? std::exp(1 - reference_length / length) : 0;
  return brevity * std::exp(logs / kOrder);
}

// ---- chrF (sacrebleu: character 6-grams, beta 2)

constexpr size_t kCharacterOrder = 6;
struct ChrfCounts {
  double predicted[kCharacterOrder] = {}, reference[kCharacterOrder] = {}, matched[kCharacterOrder] = {};
  double score() const {
    double precision = 0, recall = 0, orders = 0;
    for (size_t n = 0; n < kCharacterOrder; ++n) {
      if (predicted[n] <= 0 || reference[n] <= 0) continue;
      precision += matched[n] / predicted[n];
      recall += matched[n] / reference[n];
      ++orders;
    }
    if (orders == 0 || precision + recall == 0) return 0;
    precision /= orders;
    recall /= orders;
    constexpr double kFactor = 4;  // beta squared
    return 100 * (1 + kFactor) * precision * recall / (kFactor * precision + recall);
  }
};

std::vector<char32_t> without_spaces(const std::string& text) {
  std::vector<char32_t> out;
  for (const char32_t c : characters(text))
    if (!unicode::is_space(c)) out.push_back(c);
  return out;
}

double chrf(const std::vector<Prediction>& all) {
  ChrfCounts sum;
  for (const Prediction& p : all) {
    const auto text = without_spaces(p.text);
    double best = -1;
    ChrfCounts chosen;
    for (const std::string& r : p.references) {
      const auto reference = without_spaces(r);
      ChrfCounts counts;
      for (size_t n = 1; n <= kCharacterOrder; ++n) {
        const auto a = ngrams(text, n), b = ngrams(reference, n);
        const auto size = [n](const auto& t) { return static_cast<double>(t.size() >= n ? t.size() - n + 1 : 0); };
        counts.predicted[n - 1] = b.empty() ? 0 : size(text);
        counts.reference[n - 1] = size(reference);
        counts.matched[n - 1] = static_cast<double>(overlap(a, b));
      }
      if (counts.score() > best) {
        best = counts.score();
        chosen = counts;
      }
    }
    for (size_t n = 0; n < kCharacterOrder; ++n) {
      sum.predicted[n] += chosen.predicted[n];
      sum.reference[n] += chosen.reference[n];
      sum.matched[n] += chosen.matched[n];
    }
  }
  return sum.score();
}

// ---- ROUGE (rouge-score without stemming)

Words rouge_words(const std::string& text) {
  Words words(1);
  for (const char32_t c : characters(unicode::to_lower(unicode::to_valid(text)))) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (kept) words.back() += static_cast<char>(c);
    else if (!words.back().empty()) words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

double f_measure(double matched, double predicted, double reference) {
  const double precision = matched / std::max(1.0, predicted), recall = matched / std::max(1.0, reference);
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

double rouge_n(const Words& predicted, const Words& reference, size_t n) {
  const auto size = [n](const Words& w) { return static_cast<double>(w.size() >= n ? w.size() - n + 1 : 0); };
  return f_measure(static_cast<double>(overlap(ngrams(predicted, n), ngrams(reference, n))), size(predicted), size(reference));
}

double rouge_l(const Words& a, const Words& b) {
  if (a.empty() || b.empty()) return 0;
  std::vector<int64_t> row(b.size() + 1), before;
  for (const std::string& word : a) {
    before = row;
    for (size_t j = 1; j <= b.size(); ++j) row[j] = word == b[j - 1] ? before[j - 1] + 1 : std::max(before[j], row[j - 1]);
  }
  return f_measure(static_cast<double>(row.back()), static_cast<double>(a.size()), static_cast<double>(b.size()));
}

// ---- word and character error rates

template <class T>
int64_t edits(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<int64_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int64_t diagonal = std::exchange(row[0], static_cast<int64_t>(i));
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = std::exchange(row[j], next);
    }
  }
  return row.back();
}

// Runs of blanks count as one space; words lie between spaces.
std::vector<std::u32string> wer_words(const std::string& text) {
  const std::u32string in = characters(text);
  std::u32string joined;
  for (size_t i = 0; i < in.size();) {
    size_t end = i;
    while (end < in.size() && unicode::is_space(in[end])) ++end;
    if (end > i + 1) joined += U' ';
    else if (end == i + 1) joined += in[i];
    else joined += in[end++];
    i = end;
  }
  std::vector<std::u32string> words(1);
  for (const char32_t c : stripped(joined)) {
    if (c != U' ') words.back() += c;
    else if (!words.back().empty()) words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::vector<char32_t> cer_characters(const std::string& text) {
  const std::u32string s = stripped(characters(text));
  return {s.begin(), s.end()};
}

template <class F>
double error_rate(const std::vector<Prediction>& all, F&& units) {
  double wrong = 0, length = 0;
  for (const Prediction& p : all) {
    const auto reference = units(p.references[0]);
    wrong += static_cast<double>(edits(reference, units(p.text)));
    length += static_cast<double>(reference.size());
  }
  require(length > 0, "eval: every reference is empty");
  return wrong / length;
}

// ---- SQuAD

Words squad_words(const std::string& text) {
  std::u32string kept;
  for (const char32_t c : characters(unicode::to_lower(unicode::to_valid(text)))) {
    const bool punctuation = c < 0x80 && std::ispunct(static_cast<int>(c));
    if (!punctuation) kept += c;
  }
  // Articles stand between characters that belong to no word.
  std::u32string out;
  for (size_t i = 0; i < kept.size();) {
    size_t end = i;
    while (end < kept.size() && (unicode::is_word(kept[end]))) ++end;
    const std::u32string word = kept.substr(i, end - i);
    if (word == U"a" || word == U"an" || word == U"the") out += U' ';
    else out += word;
    if (end == i) out += kept[end++];
    i = end;
  }
  return split(utf8(out));
}

double squad_f1(const Words& a, const Words& b) {
  std::map<std::string, int64_t> x, y;
  for (const auto& w : a) ++x[w];
  for (const auto& w : b) ++y[w];
  const auto same = static_cast<double>(overlap(x, y));
  if (same == 0) return 0;
  const double precision = same / static_cast<double>(a.size()), recall = same / static_cast<double>(b.size());
  return 2 * precision * recall / (precision + recall);
}

template <class F>
double mean_of_best(const std::vector<Prediction>& all, F&& score) {
  double sum = 0;
  for (const Prediction& p : all) {
    double best = 0;
    for (const std::string& r : p.references) best = std::max(best, score(p.text, r));
    sum += best;
  }
  return sum / static_cast<double>(all.size());
}

}  // namespace

Json text_metric(const std::string& metric, const std::vector<Prediction>& all) {
  require(!all.empty(), "eval: no predictions");
  if (metric == "bleu") return {{"bleu", bleu(all)}};
  if (metric == "chrf") return {{"chrf", chrf(all)}};
  if (metric == "wer") return {{"wer", error_rate(all, wer_words)}};
  if (metric == "cer") return {{"cer", error_rate(all, cer_characters)}};
  if (metric == "accuracy") return {{"accuracy", mean_of_best(all, [](const std::string& a, const std::string& b) { return a == b ? 1.0 : 0.0; })}};
  if (metric == "classification") return classification_metrics(all);
  if (metric == "calibration") return calibration_metrics(all);
  if (metric == "exact_match" || metric == "f1")
    return {{"exact_match", 100 * mean_of_best(all, [](const std::string& a, const std::string& b) { return squad_words(a) == squad_words(b) ? 1.0 : 0.0; })},
            {"f1", 100 * mean_of_best(all, [](const std::string& a, const std::string& b) { return squad_f1(squad_words(a), squad_words(b)); })}};
  if (metric == "rouge") {
    const auto n = [&](size_t order) {
      return mean_of_best(all, [order](const std::string& a, const std::string& b) { return rouge_n(rouge_words(a), rouge_words(b), order); });
    };
    return {{"rouge1", n(1)}, {"rouge2", n(2)}, {"rougeL", mean_of_best(all, [](const std::string& a, const std::string& b) { return rouge_l(rouge_words(a), rouge_words(b)); })}};
  }
  fail(ErrorCode::usage, "--metric: \"{}\", expected exact_match, f1, rouge, bleu, chrf, wer, cer, accuracy, classification, calibration, perplexity or bpb", metric);
}

}  // namespace mynah::train
