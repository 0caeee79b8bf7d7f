#include "text/decoder.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "base/unicode.h"
#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/pattern.h"
#include "text/pieces.h"

namespace mynah::text {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; !from.empty() && (found = text.find(from, at)) != std::string_view::npos; at = found + from.size())
    out.append(text.substr(at, found - at)).append(to);
  return out.append(text.substr(at));
}

std::string joined(const std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  return all;
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) append_spelled_bytes(bytes, token);
    tokens.assign(1, unicode::to_valid(bytes));
  }
  bool is_byte_level() const override { return true; }
};

// Runs of "<0xNN>" tokens become text, or one U+FFFD for each if they are not valid UTF-8 together.
class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (unicode::is_valid(bytes))
        out.push_back(bytes);
      else
        for (size_t i = 0; i < bytes.size(); ++i) out.emplace_back("\xEF\xBF\xBD");
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes.push_back(static_cast<char>(byte));
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
    return error == std::errc() && end == token.data() + 5 ? static_cast<int>(value) : -1;
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override { tokens.assign(1, joined(tokens)); }
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(char32_t content, int64_t start, int64_t stop) : start_(start), stop_(stop) {
    unicode::append(content_, content);
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view left = token;
      for (int64_t n = 0; n < start_ && left.starts_with(content_); ++n) left.remove_prefix(content_.size());
      for (int64_t n = 0; n < stop_ && left.ends_with(content_); ++n) left.remove_suffix(content_.size());
      if (left.size() < token.size()) token = std::string(left);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    constexpr size_t kMostBytes = 64 << 20;  // a chain of replacements may not blow up a text without end
    size_t total = 0;
    for (std::string& token : tokens) {
      std::string out;
      size_t last = 0;
      pattern_.each_match(token, [&](size_t begin, size_t end) {
        out.append(token, last, begin - last).append(content_);
        last = end;
      });
      token = out.append(token, last);
      total += token.size();
      require(total <= kMostBytes, "tokenizer: decoding makes more than {} bytes; the tokenizer file is not sound",
              kMostBytes);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(char32_t mark, bool prepends) : mark_(mark), prepends_(prepends) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      each_character(tokens[i], 0, tokens[i].size(), [&](char32_t code, size_t, uint32_t) {
        if (code != mark_)
          unicode::append(out, code);
        else if (i > 0 || !prepends_)
          out.push_back(' ');
      });
      tokens[i] = std::move(out);
    }
  }

 private:
  char32_t mark_;
  bool prepends_;
};

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) {
        if (tokens[i].starts_with(prefix_))
          tokens[i].erase(0, prefix_.size());
        else
          tokens[i].insert(tokens[i].begin(), ' ');
      }
      if (cleanup_) tokens[i] = clean_up_spaces(std::move(tokens[i]));
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

class SuffixDecoder : public Decoder {
 public:
  explicit SuffixDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replace_all(tokens[i], suffix_, i + 1 < tokens.size() ? " " : "");
  }

 private:
  std::string suffix_;
};

// Connectionist temporal classification: repetitions are one, pads separate them.
class Ctc : public Decoder {
 public:
  Ctc(std::string pad, std::string delimiter, bool cleanup)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      token = replace_all(token, pad_, "");
      if (cleanup_) token = replace_all(clean_up_spaces(std::move(token)), delimiter_, " ");
    }
    std::erase(tokens, std::string());
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

class StrippedDecoder : public Decoder {
 public:
  StrippedDecoder(std::unique_ptr<Decoder> inner, std::string mark)
      : inner_(std::move(inner)), mark_(std::move(mark)) {}
  void apply(std::vector<std::string>& tokens) const override {
    if (inner_) inner_->apply(tokens);
    const std::string text = replace_all(joined(tokens), mark_, " ");
    tokens.assign(1, std::string(unicode::stripped(text)));
  }

 private:
  std::unique_ptr<Decoder> inner_;
  std::string mark_;
};

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }
  bool is_byte_level() const override { return steps_.size() == 1 && steps_[0]->is_byte_level(); }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::unique_ptr<Decoder> make_decoder_sequence(const Json& list) {
  std::vector<std::unique_ptr<Decoder>> steps;
  for (const Json& step : list)
    if (auto made = make_decoder(step)) steps.push_back(std::move(made));
  return std::make_unique<DecoderSequence>(std::move(steps));
}

std::unique_ptr<Decoder> make_metaspace_decoder(const Json& json) {
  const bool prepends =
      string_field(json, "prepend_scheme", "always") != "never" && bool_field(json, "add_prefix_space", true);
  return std::make_unique<MetaspaceDecoder>(character_field(json, "replacement", 0x2581), prepends);
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& json) {
  if (json.is_null()) return nullptr;
  const std::string type = string_value(need_field(json, "type"), "type");
  if (type == "Sequence") return make_decoder_sequence(array_field(json, "decoders"));
  if (type == "ByteLevel") return make_byte_level_decoder();
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip")
    return std::make_unique<StripDecoder>(character_field(json, "content", ' '),
                                          integer_field(json, "start", 0, 0, INT64_MAX),
                                          integer_field(json, "stop", 0, 0, INT64_MAX));
  if (type == "Replace")
    return std::make_unique<ReplaceDecoder>(Pattern::from_json(need_field(json, "pattern")),
                                            string_value(need_field(json, "content"), "content"));
  if (type == "Metaspace") return make_metaspace_decoder(json);
  if (type == "WordPiece")
    return std::make_unique<WordPieceDecoder>(string_field(json, "prefix", "##"), bool_field(json, "cleanup", true));
  if (type == "BPEDecoder") return std::make_unique<SuffixDecoder>(string_field(json, "suffix", "</w>"));
  if (type == "CTC")
    return std::make_unique<Ctc>(string_field(json, "pad_token", "<pad>"),
                                 string_field(json, "word_delimiter_token", "|"), bool_field(json, "cleanup", true));
  fail(ErrorCode::failure, "tokenizer: decoder '{}' is not known; it needs a newer mynah", shown(type));
}

std::unique_ptr<Decoder> make_byte_level_decoder() { return std::make_unique<ByteLevelDecoder>(); }

std::unique_ptr<Decoder> make_spm_decoder(bool strips_space) {
  std::vector<std::unique_ptr<Decoder>> steps;
  steps.push_back(std::make_unique<ReplaceDecoder>(Pattern::literal("\xE2\x96\x81"), " "));
  steps.push_back(std::make_unique<ByteFallback>());
  steps.push_back(std::make_unique<Fuse>());
  if (strips_space) steps.push_back(std::make_unique<StripDecoder>(U' ', 1, 0));
  return std::make_unique<DecoderSequence>(std::move(steps));
}

std::unique_ptr<Decoder> make_stripped_decoder(std::unique_ptr<Decoder> inner, std::string mark) {
  return std::make_unique<StrippedDecoder>(std::move(inner), std::move(mark));
}

std::string clean_up_spaces(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

}  // namespace mynah::text
