#include "text/normalizer.h"

#include <algorithm>
#include <vector>

#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/legacy_unicode.h"
#include "text/pattern.h"
#include "text/precompiled.h"
#include "text/space_mark.h"
#include "text/unicode_normalizer.h"

namespace mynah::text {
namespace {


// A normalizer that edits each piece by itself.
class PieceNormalizer : public Normalizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.rewrite([&](const Piece& piece, Rewriter& out) { edit(pieces, piece, out); });
  }

 protected:
  virtual void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const = 0;
};

// Copies runs of ASCII, to be changed by run(copy, size), and calls other(code, at, size) for every other character.
template <class Run, class Other>
void each_run(const Pieces& pieces, const Piece& piece, Rewriter& out, Run&& run, Other&& other) {
  const std::string_view text = pieces.text();
  for (size_t at = piece.begin; at < piece.end;) {
    const size_t end = ascii_end(text, at, piece.end);
    if (end > at) run(out.copy(at, end), end - at);
    uint32_t size = 0;
    if (end < piece.end) {
      const char32_t code = unicode::decode_valid(text.data() + end, size);
      other(code, end, size);
    }
    at = end + size;
  }
}

// Puts the characters that keep(code) keeps; ASCII always.
template <class Keep>
void filter(const Pieces& pieces, const Piece& piece, Rewriter& out, Keep&& keep) {
  each_run(
      pieces, piece, out, [](char*, size_t) {},
      [&](char32_t code, size_t at, uint32_t) {
        if (keep(code)) out.put(code, at);
      });
}

bool is_ascii(std::string_view text) { return ascii_end(text, 0, text.size()) == text.size(); }

class Normal : public PieceNormalizer {
 public:
  explicit Normal(unicode::Form form) : form_(form) {}

 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    normalize_piece(pieces, piece, form_, out);
  }

 private:
  unicode::Form form_;
};

class Lowercase : public PieceNormalizer {
 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    constexpr auto lower_ascii = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    std::array<char32_t, 2> lower;
    each_run(
        pieces, piece, out, [&](char* copy, size_t size) { std::transform(copy, copy + size, copy, lower_ascii); },
        [&](char32_t code, size_t at, uint32_t size) {
          const int count = unicode::to_lower(code, lower);
          out.put(lower[0], at);
          if (count > 1) out.insert(lower[1], at + size);
        });
  }
};

class StripAccents : public PieceNormalizer {
 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    filter(pieces, piece, out, [](char32_t code) { return !is_legacy_combining_mark(code); });
  }
};

class Strip : public PieceNormalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    const std::string_view text = pieces.text();
    size_t begin = piece.begin, end = piece.end;
    uint32_t size;
    while (left_ && begin < end && unicode::is_space(unicode::decode_valid(text.data() + begin, size))) begin += size;
    while (right_ && begin < end) {
      const size_t last = unicode::previous(text, end);
      if (!unicode::is_space(unicode::decode_valid(text.data() + last, size))) break;
      end = last;
    }
    out.copy(begin, end);
  }

 private:
  bool left_, right_;
};

class Replace : public PieceNormalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    size_t copied = piece.begin;
    pattern_.each_match(pieces.text(piece), [&](size_t begin, size_t end) {
      out.copy(copied, piece.begin + begin);
      copied = piece.begin + end;
      out.insert(content_, copied);
    });
    out.copy(copied, piece.end);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend : public PieceNormalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}

 protected:
  void edit(const Pieces&, const Piece& piece, Rewriter& out) const override {
    if (piece.begin == piece.end) return;
    out.put_text(text_, piece.begin);
    out.copy(piece.begin, piece.end);
  }

 private:
  std::string text_;
};

class ByteLevelSpelling : public PieceNormalizer {
 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    for (size_t at = piece.begin; at < piece.end; ++at)
      out.put(byte_characters()[static_cast<unsigned char>(pieces.text()[at])], at);
  }
};

// The cleaning that mT5 and Moses-like pipelines do.
class Nmt : public PieceNormalizer {
 protected:
  void edit(const Pieces& pieces, const Piece& piece, Rewriter& out) const override {
    each_character(pieces.text(), piece.begin, piece.end, [&](char32_t code, size_t at, uint32_t) {
      if (is_space(code))
        out.put(' ', at);
      else if (!is_removed(code))
        out.put(code, at);
    });
  }

 private:
  static bool is_removed(char32_t code) {
    return (code >= 1 && code <= 0x1F) || code == 0x7F || code == 0x8F || code == 0x9F;
  }
  static bool is_space(char32_t code) {
    return code == 9 || code == 10 || code == 12 || code == 13 || code == 0x1680 ||
           (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 || code == 0xFEFF ||
           code == 0xFFFD;
  }
};

class Bert : public Normalizer {
 public:
  explicit Bert(const Json& json)
      : clean_(bool_field(json, "clean_text", true)),
        chinese_(bool_field(json, "handle_chinese_chars", true)),
        lowercase_(bool_field(json, "lowercase", true)),
        strip_accents_(bool_field(json, "strip_accents", lowercase_)) {}

  void apply(Pieces& pieces) const override {
    if (clean_ || chinese_) pieces.rewrite([&](const Piece& piece, Rewriter& out) { clean(pieces, piece, out); });
    if (strip_accents_ && !is_ascii(pieces.text())) {
      pieces.rewrite(
          [&](const Piece& piece, Rewriter& out) { normalize_piece(pieces, piece, unicode::Form::nfd, out); });
      pieces.rewrite([&](const Piece& piece, Rewriter& out) {
        filter(pieces, piece, out, [](char32_t code) { return !is_legacy_nonspacing_mark(code); });
      });
    }
    if (lowercase_) Lowercase().apply(pieces);
  }

 private:
  void clean(const Pieces& pieces, const Piece& piece, Rewriter& out) const {
    constexpr auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
    const std::string_view text = pieces.text();
    uint32_t size;
    for (size_t at = piece.begin; at < piece.end; at += size) {
      size_t plain = at;
      while (plain < piece.end && is_printable(text[plain])) ++plain;
      if (plain > at) out.copy(at, plain);
      at = plain;
      if (at == piece.end) break;
      const char32_t code = unicode::decode_valid(text.data() + at, size);
      clean_character(code, at, size, out);
    }
  }
  void clean_character(char32_t code, size_t at, uint32_t size, Rewriter& out) const {
    if (clean_) {
      if (code == 0 || code == unicode::kReplacement || is_legacy_control(code)) return;
      if (unicode::is_space(code)) code = ' ';
    }
    if (!chinese_ || !is_chinese(code)) return out.put(code, at);
    out.put(' ', at);
    out.insert(code, at + size);
    out.insert(U' ', at + size);
  }
  static bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
  }

  bool clean_, chinese_, lowercase_, strip_accents_;
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(Pieces& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

std::unique_ptr<Normalizer> make_normalizer_sequence(const Json& list) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& step : list)
    if (auto made = make_normalizer(step)) steps.push_back(std::move(made));
  return std::make_unique<NormalizerSequence>(std::move(steps));
}

}  // namespace

std::string Normalizer::normalized(std::string_view text) const {
  Pieces pieces;
  pieces.reset(text, false);
  apply(pieces);
  return std::string(pieces.text());
}

std::unique_ptr<Normalizer> make_normalizer(const Json& json) {
  if (json.is_null()) return nullptr;
  const std::string type = string_value(need_field(json, "type"), "type");
  if (type == "Sequence") return make_normalizer_sequence(array_field(json, "normalizers"));
  if (type == "NFC") return std::make_unique<Normal>(unicode::Form::nfc);
  if (type == "NFD") return std::make_unique<Normal>(unicode::Form::nfd);
  if (type == "NFKC") return std::make_unique<Normal>(unicode::Form::nfkc);
  if (type == "NFKD") return std::make_unique<Normal>(unicode::Form::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip")
    return std::make_unique<Strip>(bool_field(json, "strip_left", true), bool_field(json, "strip_right", true));
  if (type == "Replace")
    return std::make_unique<Replace>(Pattern::from_json(need_field(json, "pattern")),
                                     string_value(need_field(json, "content"), "content"));
  if (type == "Prepend") return std::make_unique<Prepend>(string_value(need_field(json, "prepend"), "prepend"));
  if (type == "ByteLevel") return std::make_unique<ByteLevelSpelling>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "BertNormalizer") return std::make_unique<Bert>(json);
  if (type == "Precompiled") {
    const Json* table = find_field(json, "precompiled_charsmap");
    // Read from a SentencePiece file, the table comes as it is.
    if (table && table->is_binary()) {
      const auto& bytes = table->get_binary();
      return make_precompiled_table({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    return make_precompiled(string_field(json, "precompiled_charsmap", ""));
  }
  fail(ErrorCode::failure, "tokenizer: normalizer '{}' is not known; it needs a newer mynah", shown(type));
}

std::unique_ptr<Normalizer> make_chain(std::unique_ptr<Normalizer> first, std::unique_ptr<Normalizer> second) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (auto* step : {&first, &second})
    if (*step) steps.push_back(std::move(*step));
  return std::make_unique<NormalizerSequence>(std::move(steps));
}

std::unique_ptr<Normalizer> make_space_escape(bool space_prefix) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  if (space_prefix) steps.push_back(std::make_unique<Prepend>(std::string(kSpaceMark)));
  steps.push_back(std::make_unique<Replace>(Pattern::literal(" "), std::string(kSpaceMark)));
  return std::make_unique<NormalizerSequence>(std::move(steps));
}

}  // namespace mynah::text
