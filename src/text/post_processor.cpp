#include "text/post_processor.h"

#include <algorithm>
#include <string>

#include "base/unicode.h"
#include "text/encodings.h"
#include "text/json_fields.h"
#include "text/pieces.h"

namespace mynah::text {
namespace {

Encoding one_token(const Edge& edge, int32_t type_id, bool ids_only) {
  Encoding e;
  e.ids.push_back(edge.id);
  if (ids_only) return e;
  e.tokens.push_back(edge.token);
  e.offsets.emplace_back(0, 0);
  e.type_ids.push_back(type_id);
  e.word_ids.push_back(-1);
  e.sequence_ids.push_back(-1);
  e.special_tokens_mask.push_back(1);
  e.attention_mask.push_back(1);
  return e;
}

void put_front(Encoding& e, Encoding first) {
  append(first, std::move(e));
  e = std::move(first);
}

void set_types(Encoding& e, int32_t type_id) { std::fill(e.type_ids.begin(), e.type_ids.end(), type_id); }

// Windows over what truncation cut off mostly keep the types 0 and 1: so does the reference.
bool is_overflow(const Parts& parts, size_t i) { return i < parts.overflow.size() && parts.overflow[i]; }

// Takes the white space that byte-level tokens carry out of their offsets, but for the one space that add_prefix_space
// put in front of the first (several were there before).
void trim_offsets(Encoding& e, bool add_prefix_space) {
  constexpr char32_t kSpelledSpace = 0x120;
  for (size_t i = 0; i < e.offsets.size(); ++i) {
    int64_t leading = 0, trailing = 0;
    bool inside = false;
    each_character(e.tokens[i], 0, e.tokens[i].size(), [&](char32_t code, size_t, uint32_t) {
      const bool space = code == kSpelledSpace || unicode::is_space(code);
      inside |= !space;
      if (!space)
        trailing = 0;
      else
        ++trailing;
      if (!inside) ++leading;
    });
    auto& [begin, end] = e.offsets[i];
    if (leading == 1 && (i == 0 || begin == 0) && add_prefix_space) leading = 0;
    begin = std::min(begin + leading, end);
    if (trailing > 0 && end >= trailing) end = std::max(end - trailing, begin);
  }
}

class ByteLevelOffsets : public PostProcessor {
 public:
  ByteLevelOffsets(bool trim, bool add_prefix_space) : trim_(trim), add_prefix_space_(add_prefix_space) {}
  void apply(Parts& parts, bool) const override {
    if (!trim_ || parts.ids_only) return;
    for (Encoding& e : parts.list) trim_offsets(e, add_prefix_space_);
  }

 private:
  bool trim_, add_prefix_space_;
};

// BERT: [CLS] A [SEP] B [SEP], types 0 and 1. RoBERTa: <s> A </s> </s> B </s>, all of type 0.
class ClsSep : public PostProcessor {
 public:
  ClsSep(const Json& json, bool roberta)
      : cls_(edge(json, "cls")),
        sep_(edge(json, "sep")),
        roberta_(roberta),
        trim_(roberta && bool_field(json, "trim_offsets", true)),
        add_prefix_space_(bool_field(json, "add_prefix_space", true)) {}

  void apply(Parts& parts, bool add_special_tokens) const override {
    for (size_t i = 0; i < parts.list.size(); ++i) {
      const int32_t type = roberta_ || i == 0 ? 0 : 1;
      Encoding& e = parts.list[i];
      if (trim_ && !parts.ids_only) trim_offsets(e, add_prefix_space_);
      if (roberta_ && (add_special_tokens || !is_overflow(parts, i))) set_types(e, type);
      if (!add_special_tokens) continue;
      if (i == 0 || roberta_) put_front(e, one_token(i == 0 ? cls_ : sep_, type, parts.ids_only));
      append(e, one_token(sep_, type, parts.ids_only));
    }
  }

 private:
  static Edge edge(const Json& json, const char* name) {
    const Json& pair = array_field(json, name);
    if (pair.size() != 2) fail(ErrorCode::integrity, "tokenizer: the field '{}' is not a token and an id", name);
    return {static_cast<int32_t>(integer_value(pair[1], name, 0, INT32_MAX)), string_value(pair[0], name)};
  }

  Edge cls_, sep_;
  bool roberta_, trim_, add_prefix_space_;
};

class Template : public PostProcessor {
 public:
  explicit Template(const Json& json) {
    const Json* specials = find_field(json, "special_tokens");
    single_ = read_pieces(array_field(json, "single"), specials);
    if (find_field(json, "pair"))
      pair_ = read_pieces(array_field(json, "pair"), specials);
    else
      pair_ = {{0, 0, {}}, {1, 1, {}}};
  }
  Template(const Edge& begin, const Edge& end) {
    for (int32_t sequence : {0, 1})
      for (std::vector<PieceOf>* pieces : {&single_, &pair_}) {
        if (sequence == 1 && pieces == &single_) continue;
        if (begin.id >= 0) pieces->push_back({-1, sequence, {begin}});
        pieces->push_back({sequence, sequence, {}});
        if (end.id >= 0) pieces->push_back({-1, sequence, {end}});
      }
  }

  void apply(Parts& parts, bool add_special_tokens) const override {
    std::vector<Encoding> out;
    const std::vector<PieceOf>& pieces = parts.list.size() > 1 ? pair_ : single_;
    for (auto piece_at = pieces.begin(); piece_at != pieces.end(); ++piece_at) {
      const PieceOf& piece = *piece_at;
      if (piece.sequence < 0) {
        for (const Edge& special : piece.specials)
          if (add_special_tokens) out.push_back(one_token(special, piece.type_id, parts.ids_only));
      } else if (const auto i = static_cast<size_t>(piece.sequence); i < parts.list.size()) {
        const bool again = std::any_of(piece_at + 1, pieces.end(), [&](const PieceOf& p) { return p.sequence == piece.sequence; });
        Encoding e = again ? parts.list[i] : std::move(parts.list[i]);
        if (!is_overflow(parts, i)) set_types(e, piece.type_id);
        out.push_back(std::move(e));
      }
    }
    parts.list = std::move(out);
  }

 private:
  struct PieceOf {
    int32_t sequence;  // 0 or 1, or -1 for special tokens
    int32_t type_id;
    std::vector<Edge> specials;
  };

  static std::vector<PieceOf> read_pieces(const Json& list, const Json* specials) {
    constexpr size_t kMost = 256;  // each repeats a text or a few tokens
    if (list.size() > kMost)
      fail(ErrorCode::integrity, "tokenizer: a template has {} parts; at most {} are allowed", list.size(), kMost);
    std::vector<PieceOf> pieces;
    for (const Json& entry : list) {
      const Json* sequence = find_field(entry, "Sequence");
      const Json& body = sequence ? *sequence : need_field(entry, "SpecialToken");
      const auto type_id = static_cast<int32_t>(integer_field(body, "type_id", 0, 0, INT32_MAX));
      const std::string id = string_value(need_field(body, "id"), "id");
      if (!sequence)
        pieces.push_back({-1, type_id, read_specials(id, specials)});
      else if (id == "A" || id == "B")
        pieces.push_back({id == "A" ? 0 : 1, type_id, {}});
      else
        fail(ErrorCode::integrity, "tokenizer: a template names the sequence '{}', which is neither A nor B",
             shown(id));
    }
    return pieces;
  }

  static std::vector<Edge> read_specials(const std::string& name, const Json* specials) {
    const Json* entry = specials ? find_field(*specials, name.c_str()) : nullptr;
    if (!entry)
      fail(ErrorCode::integrity, "tokenizer: a template uses '{}', which special_tokens does not list", shown(name));
    const Json &ids = array_field(*entry, "ids"), &tokens = array_field(*entry, "tokens");
    if (ids.size() != tokens.size())
      fail(ErrorCode::integrity, "tokenizer: special token '{}' has {} ids and {} tokens", shown(name), ids.size(),
           tokens.size());
    std::vector<Edge> edges;
    for (size_t i = 0; i < ids.size(); ++i)
      edges.push_back(
          {static_cast<int32_t>(integer_value(ids[i], "ids", 0, INT32_MAX)), string_value(tokens[i], "tokens")});
    return edges;
  }

  std::vector<PieceOf> single_, pair_;
};

class Closing : public PostProcessor {
 public:
  explicit Closing(Edge end) : end_(std::move(end)) {}
  void apply(Parts& parts, bool add_special_tokens) const override {
    for (Encoding& e : parts.list) {
      set_types(e, 0);
      if (add_special_tokens && (e.ids.empty() || e.ids.back() != end_.id))
        append(e, one_token(end_, 0, parts.ids_only));
    }
  }

 private:
  Edge end_;
};

class PostProcessorSequence : public PostProcessor {
 public:
  explicit PostProcessorSequence(const Json& list) {
    for (const Json& step : list)
      if (auto made = make_post_processor(step)) steps_.push_back(std::move(made));
  }
  void apply(Parts& parts, bool add_special_tokens) const override {
    for (const auto& step : steps_) step->apply(parts, add_special_tokens);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(const Json& json) {
  if (json.is_null()) return nullptr;
  const std::string type = string_value(need_field(json, "type"), "type");
  if (type == "TemplateProcessing") return std::make_unique<Template>(json);
  if (type == "BertProcessing") return std::make_unique<ClsSep>(json, false);
  if (type == "RobertaProcessing") return std::make_unique<ClsSep>(json, true);
  if (type == "ByteLevel")
    return std::make_unique<ByteLevelOffsets>(bool_field(json, "trim_offsets", true),
                                              bool_field(json, "add_prefix_space", true));
  if (type == "Sequence") return std::make_unique<PostProcessorSequence>(array_field(json, "processors"));
  fail(ErrorCode::failure, "tokenizer: post-processor '{}' is not known; it needs a newer mynah", shown(type));
}

Encoding joined(Parts parts) {
  if (parts.list.empty()) return {};
  Encoding all = std::move(parts.list[0]);
  for (size_t i = 1; i < parts.list.size(); ++i) append(all, std::move(parts.list[i]));
  return all;
}

std::unique_ptr<PostProcessor> make_closing(const Edge& end) { return std::make_unique<Closing>(end); }

std::unique_ptr<PostProcessor> make_edges(const Edge& begin, const Edge& end) {
  return std::make_unique<Template>(begin, end);
}

}  // namespace mynah::text
