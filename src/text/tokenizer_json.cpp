// Reading tokenizer.json.
#include <algorithm>

#include "base/require.h"
#include "mynah/json.h"
#include "text/bpe.h"
#include "text/bpe_files.h"
#include "text/description.h"
#include "text/json_cursor.h"
#include "text/json_fields.h"
#include "text/tokenizer_impl.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace mynah::text {
namespace {

// The source texts of an object's members, by name.
class Members {
 public:
  Members(std::string_view object, std::string_view where, TextArena& arena) : where_(where) {
    JsonCursor cursor(object, where);
    cursor.each_member(arena, [&](std::string_view key) { members_.emplace_back(key, cursor.skip_value()); });
  }
  // Empty when it is missing or null; the last of several counts.
  std::string_view find(std::string_view name) const {
    std::string_view found;
    for (const auto& [key, value] : members_)
      if (key == name) found = value;
    return found == "null" ? std::string_view() : found;
  }
  std::string_view need(std::string_view name) const {
    const std::string_view found = find(name);
    if (found.empty()) fail(ErrorCode::integrity, "{}: the field '{}' is missing", where_, name);
    return found;
  }
  Json json(std::string_view name) const {
    const std::string_view found = find(name);
    return found.empty() ? Json() : parse_json(found, where_);
  }
  std::string text(const char* name, const char* fallback = "") const {
    const Json value = json(name);
    return value.is_null() ? fallback : string_value(value, name);
  }
  bool flag(const char* name) const {
    const Json value = json(name);
    if (!value.is_null() && !value.is_boolean())
      fail(ErrorCode::integrity, "{}: the field '{}' is not true or false", where_, name);
    return !value.is_null() && value.get<bool>();
  }

 private:
  std::string_view where_;
  std::vector<std::pair<std::string_view, std::string_view>> members_;
};

MergeList read_merges(std::string_view source, std::string_view where, TextArena& arena) {
  MergeList merges;
  JsonCursor cursor(source, where);
  cursor.each_element([&] {
    if (cursor.peek() != '[') {
      const std::string_view line = cursor.string(arena);
      if (!line.starts_with("#version")) merges.push_back(split_merge(line));
      return;
    }
    std::vector<std::string_view> pair;
    cursor.each_element([&] { pair.push_back(cursor.string(arena)); });
    if (pair.size() != 2) fail(ErrorCode::integrity, "{}: a merge has {} tokens instead of two", where, pair.size());
    merges.emplace_back(pair[0], pair[1]);
  });
  return merges;
}

std::unique_ptr<Model> read_bpe(const Members& model, std::string_view where, TextArena& arena) {
  BpeOptions options;
  options.unk_token = model.text("unk_token");
  options.continuing_subword_prefix = model.text("continuing_subword_prefix");
  options.end_of_word_suffix = model.text("end_of_word_suffix");
  options.fuse_unk = model.flag("fuse_unk");
  options.byte_fallback = model.flag("byte_fallback");
  options.ignore_merges = model.flag("ignore_merges");
  return make_bpe(read_vocabulary(model.need("vocab"), where, arena), read_merges(model.need("merges"), where, arena),
                  std::move(options));
}

std::unique_ptr<Model> read_word_piece(const Members& model, std::string_view where, TextArena& arena) {
  constexpr int64_t kMostCharacters = 4096;  // bounds the work on one word
  WordPieceOptions options;
  options.unk_token = model.text("unk_token", "[UNK]");
  options.continuing_prefix = model.text("continuing_subword_prefix", "##");
  if (const Json most = model.json("max_input_chars_per_word"); !most.is_null())
    options.max_word_characters =
        static_cast<size_t>(std::min(integer_value(most, "max_input_chars_per_word", 0, INT64_MAX), kMostCharacters));
  return std::make_unique<WordPiece>(read_vocabulary(model.need("vocab"), where, arena), std::move(options));
}

std::unique_ptr<Model> read_unigram(const Members& model, std::string_view where, TextArena& arena) {
  constexpr size_t kBytesPerEntry = 20;
  const std::string_view source = model.need("vocab");
  Vocabulary vocabulary(source.size() / kBytesPerEntry);
  std::vector<double> scores;
  JsonCursor cursor(source, where);
  cursor.each_element([&] {
    cursor.expect('[');
    vocabulary.insert(cursor.string(arena), static_cast<int64_t>(scores.size()));
    cursor.expect(',');
    scores.push_back(cursor.number());
    cursor.expect(']');
  });
  std::optional<int32_t> unk_id;
  if (const Json id = model.json("unk_id"); !id.is_null())
    unk_id = static_cast<int32_t>(integer_value(id, "unk_id", 0, INT32_MAX));
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), unk_id, model.flag("byte_fallback"));
}

std::unique_ptr<Model> read_model(std::string_view source, std::string_view where, TextArena& arena) {
  const Members members(source, where, arena);
  std::string type = members.text("type");
  if (type.empty() && !members.find("merges").empty()) type = "BPE";  // old files do not name it
  if (type == "BPE") return read_bpe(members, where, arena);
  if (type == "WordPiece") return read_word_piece(members, where, arena);
  if (type == "Unigram") return read_unigram(members, where, arena);
  if (type == "WordLevel")
    return std::make_unique<WordLevel>(read_vocabulary(members.need("vocab"), where, arena), members.text("unk_token"));
  fail(ErrorCode::failure, "{}: model '{}' is not known; it needs a newer mynah", where, shown(type));
}

void read_added_tokens(const Json& list, TokenizerImpl& out) {
  if (list.is_null()) return;
  if (!list.is_array()) fail(ErrorCode::integrity, "tokenizer: added_tokens is not a list");
  std::vector<AddedToken> tokens;
  for (const Json& entry : list) {
    AddedToken token;
    token.content = string_value(need_field(entry, "content"), "content");
    token.id = static_cast<int32_t>(integer_value(need_field(entry, "id"), "id", 0, INT32_MAX));
    token.special = bool_field(entry, "special", false);
    token.single_word = bool_field(entry, "single_word", false);
    token.lstrip = bool_field(entry, "lstrip", false);
    token.rstrip = bool_field(entry, "rstrip", false);
    token.normalized = bool_field(entry, "normalized", !token.special);
    tokens.push_back(std::move(token));
  }
  for (AddedToken& token : tokens) out.added.add(std::move(token), out.model->vocabulary());
}

}  // namespace

Description describe_tokenizer_json(std::string_view json, std::string_view where) {
  Description out;
  const Members members(json, where, out.impl->arena);
  out.impl->model = read_model(members.need("model"), where, out.impl->arena);
  out.normalizer = members.json("normalizer");
  out.pre_tokenizer = members.json("pre_tokenizer");
  out.post_processor = members.json("post_processor");
  out.decoder = members.json("decoder");
  read_added_tokens(members.json("added_tokens"), *out.impl);
  return out;
}

std::unique_ptr<TokenizerImpl> make_tokenizer(Description description) {
  auto out = std::move(description.impl);
  if (!out->normalizer) out->normalizer = make_normalizer(description.normalizer);
  if (!out->pre_tokenizer) out->pre_tokenizer = make_pre_tokenizer(description.pre_tokenizer);
  if (!out->post_processor) out->post_processor = make_post_processor(description.post_processor);
  if (!out->decoder) out->decoder = make_decoder(description.decoder);
  return out;
}

}  // namespace mynah::text
