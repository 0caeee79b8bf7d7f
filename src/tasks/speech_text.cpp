#include "tasks/speech_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/languages.h"
#include "tasks/speech_words.h"

namespace mynah::tasks {
namespace {

using Times = std::pair<double, double>;

struct Said {
  std::vector<int32_t> tokens;
  std::vector<Times> times;  // of each token, where words are asked for
};

// To hundredths, as the decimal that is nearest.
double rounded(double seconds) { return std::strtod(fmt::format("{:.2f}", seconds).c_str(), nullptr); }

// Texts of pieces that overlap, as one: where two meet, the longest stretch that they share is sought, and cut in its middle.
Said joined(const std::vector<Said>& pieces) {
  Said total, left = pieces[0];
  const auto append = [](Said* to, const Said& from, size_t begin, size_t end) {
    to->tokens.insert(to->tokens.end(), from.tokens.begin() + static_cast<long>(begin), from.tokens.begin() + static_cast<long>(end));
    if (!from.times.empty()) to->times.insert(to->times.end(), from.times.begin() + static_cast<long>(begin), from.times.begin() + static_cast<long>(end));
  };
  for (size_t p = 1; p < pieces.size(); ++p) {
    const Said& right = pieces[p];
    const size_t n = left.tokens.size(), m = right.tokens.size();
    double most = 0;
    size_t left_middle = n, right_middle = 0;
    for (size_t i = 1; i < n + m; ++i) {
      const size_t left_start = n > i ? n - i : 0, left_stop = std::min(n, n + m - i);
      const size_t right_start = i > n ? i - n : 0, right_stop = std::min(m, i);
      size_t matches = 0;
      for (size_t k = 0; left_start + k < left_stop; ++k)
        matches += left.tokens[left_start + k] == right.tokens[right_start + k] && (left.times.empty() || left.times[left_start + k] <= right.times[right_start + k]);
      // a little more for long matches
      const double matching = static_cast<double>(matches) / static_cast<double>(i) + static_cast<double>(i) / 10000;
      if (matches <= 1 || matching <= most) continue;
      most = matching;
      left_middle = (left_stop + left_start) / 2;
      right_middle = (right_stop + right_start) / 2;
    }
    append(&total, left, 0, left_middle);
    Said rest;
    append(&rest, right, right_middle, m);
    left = std::move(rest);
  }
  append(&total, left, 0, left.tokens.size());
  return total;
}

class Writer {
 public:
  Writer(const Tokenizer& tokenizer, const SpeechTextOptions& options)
      : tokenizer_(tokenizer), options_(options), begin_(timestamp_begin(tokenizer).value_or(INT32_MAX)) {}

  std::vector<SpeechChunk> operator()(const std::vector<SpeechPiece>& pieces) {
    for (const SpeechPiece& piece : pieces) read(piece);
    if (!previous_.empty()) finish();
    return std::move(chunks_);
  }

 private:
  bool is_timestamp(int32_t token) const { return token >= begin_; }

  void read(const SpeechPiece& piece) {
    if (!piece.language.empty()) hear(piece.language);
    const bool overlaps = piece.length > 0;
    double first = begin_;
    last_ = 0;
    if (overlaps) {
      offset_ -= piece.left;
      if (piece.left > 0) first = piece.left / options_.time_precision + begin_;
      // The timestamps in what the next piece says again do not end a segment yet.
      if (piece.right > 0)
        for (auto token = piece.tokens.rbegin(); token != piece.tokens.rend(); ++token) {
          if (!is_timestamp(*token)) continue;
          if (last_ > 0 && seconds(*token) < piece.length - piece.right) break;
          last_ = *token;
        }
    }
    current_ = {};
    before_ = latest_ = segments_ = 0;
    for (size_t i = 0; i < piece.tokens.size(); ++i) {
      const int32_t token = piece.tokens[i];
      if (tokenizer_.is_special(token) && !is_timestamp(token)) special(token);
      else if (is_timestamp(token)) timestamp(piece, i, first);
      else word(piece, i);
    }
    if (overlaps) offset_ += piece.length - piece.right;
    if (!current_.tokens.empty()) previous_.push_back(std::move(current_));
    else if (std::all_of(previous_.begin(), previous_.end(), [](const Said& s) { return s.tokens.empty(); })) start_anew();
  }

  double seconds(int32_t token) const { return static_cast<double>(token - begin_) * options_.time_precision; }

  void hear(const std::string& language) {
    if (!language_.empty() && language != language_ && !options_.timestamps && !previous_.empty()) finish();
    chunk_.language = language_ = language;
  }

  // A language, or nothing to be written.
  void special(int32_t token) {
    const std::string text = tokenizer_.token_text(token);
    if (text.size() <= 4) return;
    const std::string_view name = language_name(std::string_view(text).substr(2, text.size() - 4));
    if (name.empty()) return;
    if (!language_.empty() && name != language_ && !options_.timestamps) {
      previous_.push_back(std::move(current_));
      finish();
    }
    chunk_.language = language_ = std::string(name);
  }

  void timestamp(const SpeechPiece& piece, size_t i, double first) {
    const int32_t token = piece.tokens[i];
    // Times that go back begin the next window of a long sound.
    if (seconds(token) < latest_) {
      const bool single = i >= 2 && !(is_timestamp(piece.tokens[i - 1]) && is_timestamp(piece.tokens[i - 2]));
      if (single) {
        segments_ += options_.time_precision * 1500;
      } else {
        latest_ = before_;
        segments_ += before_;
      }
    }
    before_ = latest_;
    latest_ = seconds(token);
    const double time = rounded(seconds(token) + offset_ + segments_);
    if (last_ > 0 && token >= last_) skip_ = true;
    else if (skip_ || (!previous_.empty() && static_cast<double>(token) < first)) skip_ = false;
    else if (!chunk_.start) chunk_.start = time;
    else if (time != *chunk_.start) {
      chunk_.end = time;
      previous_.push_back(std::move(current_));
      finish();
    }
  }

  void word(const SpeechPiece& piece, size_t i) {
    current_.tokens.push_back(piece.tokens[i]);
    if (!options_.words) return;
    const auto at = [&](size_t k) { return k < piece.token_times.size() ? static_cast<double>(piece.token_times[k]) : 0; };
    current_.times.emplace_back(rounded((i == 0 ? 0 : at(i - 1)) + offset_), rounded(at(i) + offset_));
  }

  void finish() {
    const Said said = joined(previous_);
    chunk_.text = tokenizer_.decode(said.tokens, false);
    if (options_.words)
      for (const TokenWord& w : words_of(tokenizer_, said.tokens, language_))
        chunk_.words.push_back({w.text, language_, said.times[w.tokens.front()].first, said.times[w.tokens.back()].second});
    chunks_.push_back(std::move(chunk_));
    start_anew();
  }

  void start_anew() {
    chunk_ = {};
    chunk_.language = language_;
    previous_.clear();
    current_ = {};
  }

  const Tokenizer& tokenizer_;
  const SpeechTextOptions& options_;
  const int32_t begin_;
  std::vector<SpeechChunk> chunks_;
  SpeechChunk chunk_;
  std::string language_;
  std::vector<Said> previous_;  // what pieces before said and no timestamp has ended
  Said current_;
  double offset_ = 0;           // seconds before this piece
  bool skip_ = false;
  int32_t last_ = 0;            // the first timestamp that the next piece repeats; 0: none
  double latest_ = 0, before_ = 0, segments_ = 0;  // the last two times, and the length of the windows before
};

}  // namespace

std::optional<int32_t> timestamp_begin(const Tokenizer& tokenizer) {
  const auto id = tokenizer.token_id("<|notimestamps|>");
  return id ? std::optional(*id + 1) : std::nullopt;
}

std::vector<SpeechChunk> speech_chunks(const Tokenizer& tokenizer, const std::vector<SpeechPiece>& pieces, const SpeechTextOptions& options) {
  return Writer(tokenizer, options)(pieces);
}

}  // namespace mynah::tasks
