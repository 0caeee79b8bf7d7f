#include "text/pre_tokenizer.h"

#include <algorithm>
#include <array>

#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/legacy_unicode.h"
#include "text/unicode_scripts.h"

namespace mynah::text {
namespace {

// What happens to a match: becomes a word, goes away, joins the word before or after, or joins its neighbours that are
// matches too.
enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

Behavior behavior_of(const std::string& name) {
  constexpr std::array<std::string_view, 5> kNames = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                                      "Contiguous"};
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) fail(ErrorCode::integrity, "tokenizer: split behavior '{}' is not known", shown(name));
  return static_cast<Behavior>(at - kNames.begin());
}

template <class Emit>
void emit_merged(std::vector<Match>& matches, Behavior behavior, Emit&& emit) {
  const bool backward = behavior == Behavior::merged_with_next;
  if (backward) std::reverse(matches.begin(), matches.end());
  std::vector<Match> words;
  bool previous = false;
  for (const Match& match : matches) {
    const bool joins = behavior == Behavior::contiguous ? match.found == previous : match.found && !previous;
    if (!joins || words.empty())
      words.push_back(match);
    else if (backward)
      words.back().begin = match.begin;
    else
      words.back().end = match.end;
    previous = match.found;
  }
  if (backward) std::reverse(words.begin(), words.end());
  for (const Match& word : words) emit(word.begin, word.end);
}

template <class Emit>
void emit_words(std::vector<Match>& matches, Behavior behavior, Emit&& emit) {
  if (behavior == Behavior::isolated || behavior == Behavior::removed) {
    for (const Match& match : matches)
      if (behavior == Behavior::isolated || !match.found) emit(match.begin, match.end);
  } else {
    emit_merged(matches, behavior, emit);
  }
}

// Cuts at every character of a class.
template <class Member>
void cut_at_characters(Pieces& pieces, Behavior behavior, Member&& member) {
  const bool simple = behavior == Behavior::isolated || behavior == Behavior::removed;
  std::vector<Match> matches;
  pieces.cut([&](std::string_view text, auto&& emit) {
    matches.clear();
    size_t last = 0;
    const auto put = [&](size_t begin, size_t end, bool found) {
      if (!simple)
        matches.push_back({begin, end, found});
      else if (!found || behavior == Behavior::isolated)
        emit(begin, end);
    };
    each_character(text, 0, text.size(), [&](char32_t code, size_t at, uint32_t size) {
      if (!member(code)) return;
      if (at > last) put(last, at, false);
      put(at, at + size, true);
      last = at + size;
    });
    if (last < text.size()) put(last, text.size(), false);
    if (!simple) emit_merged(matches, behavior, emit);
  });
}

class Split : public PreTokenizer {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces) const override {
    if (pattern_.scanner() && (invert_ ? behavior_ == Behavior::removed : behavior_ == Behavior::isolated))
      return pieces.cut([scan = pattern_.scanner()](std::string_view text, auto&& emit) {
        for (size_t at = 0; at < text.size();) {
          const size_t end = scan(text, at);
          emit(at, end);
          at = end;
        }
      });
    pieces.cut([&](std::string_view text, auto&& emit) {
      std::vector<Match> matches = pattern_.matches(text);
      if (invert_)
        for (Match& match : matches) match.found = !match.found;
      emit_words(matches, behavior_, emit);
    });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void apply(Pieces& pieces) const override {
    if (add_prefix_space_)
      pieces.rewrite([&](const Piece& piece, Rewriter& out) {
        if (piece.begin < piece.end && pieces.text()[piece.begin] != ' ') out.put(' ', piece.begin);
        out.copy(piece.begin, piece.end);
      });
    if (use_regex_)
      pieces.cut([](std::string_view text, auto&& emit) {
        for (size_t at = 0; at < text.size();) {
          const size_t end = scan_gpt2(text, at);
          emit(at, end);
          at = end;
        }
      });
    if (spells_)
      pieces.rewrite([&](const Piece& piece, Rewriter& out) {
        for (size_t at = piece.begin; at < piece.end; ++at)
          out.put(byte_characters()[static_cast<unsigned char>(pieces.text()[at])], at);
      });
  }
  bool ends_with_spelling() const override { return spells_; }
  void skip_spelling() override { spells_ = false; }

 private:
  bool add_prefix_space_, use_regex_, spells_ = true;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : behavior_(individual ? Behavior::isolated : Behavior::contiguous) {}
  void apply(Pieces& pieces) const override {
    cut_at_characters(pieces, behavior_, [](char32_t code) {
      if (code < 0x80) return code >= '0' && code <= '9';
      // Two runs of digits of Unicode 17, which the reference counts here (and only here).
      return unicode::is_number(code) || (code >= 0x11DE0 && code <= 0x11DE9) || (code >= 0x16FF4 && code <= 0x16FF6);
    });
  }

 private:
  Behavior behavior_;
};

class Metaspace : public PreTokenizer {
 public:
  enum class Scheme { always, first, never };
  Metaspace(char32_t mark, Scheme scheme, bool split) : mark_code_(mark), scheme_(scheme), split_(split) {
    unicode::append(mark_, mark);
  }

  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) {
      const std::string_view text = pieces.text(piece);
      const bool marked = text.starts_with(' ') || text.starts_with(mark_);
      const bool wanted = scheme_ == Scheme::always || (scheme_ == Scheme::first && piece.origin == 0);
      if (!text.empty() && wanted && !marked) out.put_text(mark_, piece.begin);
      size_t copied = piece.begin;
      for (size_t at = text.find(' '); at != std::string_view::npos; at = text.find(' ', at + 1)) {
        out.copy(copied, piece.begin + at);
        out.put(mark_code_, piece.begin + at);
        copied = piece.begin + at + 1;
      }
      out.copy(copied, piece.end);
    });
    if (split_)
      pieces.cut([&](std::string_view text, auto&& emit) {
        size_t begin = 0;
        for (size_t at = text.find(mark_, 1); at != std::string_view::npos; at = text.find(mark_, at + 1)) {
          emit(begin, at);
          begin = at;
        }
        emit(begin, text.size());
      });
  }
  bool needs_origins() const override { return scheme_ == Scheme::first; }

 private:
  char32_t mark_code_;
  std::string mark_;
  Scheme scheme_;
  bool split_;
};

// Words and runs of other characters that are not white space (`\w+|[^\w\s]+`).
class Whitespace : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    enum Kind { space, word, other };
    pieces.cut([](std::string_view text, auto&& emit) {
      size_t begin = 0;
      Kind run = space;
      each_character(text, 0, text.size(), [&](char32_t code, size_t at, uint32_t) {
        const Kind kind = unicode::is_word(code) ? word : unicode::is_space(code) ? space : other;
        if (kind == run) return;
        if (run != space) emit(begin, at);
        run = kind;
        begin = at;
      });
      if (run != space) emit(begin, text.size());
    });
  }
};

class WhitespaceSplit : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    cut_at_characters(pieces, Behavior::removed, [](char32_t code) {
      return code < 0x80 ? code == ' ' || (code >= 9 && code <= 13) : unicode::is_space(code);
    });
  }
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(Behavior behavior) : behavior_(behavior) {}
  void apply(Pieces& pieces) const override {
    static const std::array<bool, 128> ascii = [] {
      std::array<bool, 128> table;
      for (size_t code = 0; code < table.size(); ++code) table[code] = is_legacy_punctuation(static_cast<char32_t>(code));
      return table;
    }();
    cut_at_characters(pieces, behavior_,
                      [](char32_t code) { return code < ascii.size() ? ascii[code] : is_legacy_punctuation(code); });
  }

 private:
  Behavior behavior_;
};

class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    WhitespaceSplit().apply(pieces);
    Punctuation(Behavior::isolated).apply(pieces);
  }
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void apply(Pieces& pieces) const override {
    cut_at_characters(pieces, Behavior::removed, [this](char32_t code) { return code == delimiter_; });
  }

 private:
  char32_t delimiter_;
};

// Words of `length` characters.
class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}
  void apply(Pieces& pieces) const override {
    pieces.cut([this](std::string_view text, auto&& emit) {
      size_t begin = 0;
      int64_t count = 0;
      each_character(text, 0, text.size(), [&](char32_t, size_t at, uint32_t) {
        if (count++ < length_) return;
        emit(begin, at);
        begin = at;
        count = 1;
      });
      emit(begin, text.size());
    });
  }

 private:
  int64_t length_;
};

// Cuts where the script changes; what stands in front of the first character with a script goes away.
class UnicodeScripts : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.cut([](std::string_view text, auto&& emit) {
      size_t begin = text.size();
      int last = kAnyScript;
      each_character(text, 0, text.size(), [&](char32_t code, size_t at, uint32_t) {
        const int script = unicode_script(code);
        if (script == kAnyScript || script == last) return;
        if (begin < at) emit(begin, at);
        begin = at;
        last = script;
      });
      if (begin < text.size()) emit(begin, text.size());
    });
  }
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  void apply(Pieces& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }
  bool ends_with_spelling() const override { return !steps_.empty() && steps_.back()->ends_with_spelling(); }
  void skip_spelling() override { steps_.back()->skip_spelling(); }
  bool needs_origins() const override {
    return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->needs_origins(); });
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> make_pre_tokenizer_sequence(const Json& list) {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const Json& step : list)
    if (auto made = make_pre_tokenizer(step)) steps.push_back(std::move(made));
  return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

std::unique_ptr<PreTokenizer> make_metaspace_splitter(const Json& json) {
  using Scheme = Metaspace::Scheme;
  Scheme scheme = Scheme::always;
  const std::string name = string_field(json, "prepend_scheme", "always");
  if (name == "first")
    scheme = Scheme::first;
  else if (name == "never")
    scheme = Scheme::never;
  else if (name != "always")
    fail(ErrorCode::integrity, "tokenizer: prepend_scheme '{}' is not known", shown(name));
  if (!bool_field(json, "add_prefix_space", true)) scheme = Scheme::never;
  return std::make_unique<Metaspace>(character_field(json, "replacement", 0x2581), scheme,
                                     bool_field(json, "split", true));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const std::string type = string_value(need_field(json, "type"), "type");
  if (type == "Sequence") return make_pre_tokenizer_sequence(array_field(json, "pretokenizers"));
  if (type == "ByteLevel")
    return std::make_unique<ByteLevel>(bool_field(json, "add_prefix_space", true), bool_field(json, "use_regex", true));
  if (type == "Split")
    return std::make_unique<Split>(Pattern::from_json(need_field(json, "pattern")),
                                   behavior_of(string_value(need_field(json, "behavior"), "behavior")),
                                   bool_field(json, "invert", false));
  if (type == "Digits") return std::make_unique<Digits>(bool_field(json, "individual_digits", false));
  if (type == "Metaspace") return make_metaspace_splitter(json);
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Punctuation")
    return std::make_unique<Punctuation>(behavior_of(string_field(json, "behavior", "Isolated")));
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "CharDelimiterSplit")
    return std::make_unique<CharDelimiterSplit>(character_field(json, "delimiter", ' '));
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "FixedLength") return std::make_unique<FixedLength>(integer_field(json, "length", 5, 1, INT32_MAX));
  fail(ErrorCode::failure, "tokenizer: pre-tokenizer '{}' is not known; it needs a newer mynah", shown(type));
}

std::unique_ptr<PreTokenizer> make_splits(std::vector<Pattern> patterns, bool byte_level) {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (Pattern& pattern : patterns)
    steps.push_back(std::make_unique<Split>(std::move(pattern), Behavior::isolated, false));
  if (byte_level) steps.push_back(std::make_unique<ByteLevel>(false, false));
  return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

}  // namespace mynah::text
