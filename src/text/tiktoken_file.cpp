#include "text/tiktoken_file.h"

#include <algorithm>
#include <charconv>

#include "base/require.h"
#include "text/base64.h"
#include "text/bpe_files.h"
#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/split_patterns.h"

namespace mynah::text {
namespace {

constexpr const char* kLlama3Split = MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}{1,3}");
constexpr const char* kQwenSplit = MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}");
constexpr const char* kGpt4oSplit = MYNAH_GPT4O(MYNAH_ANY_CASE "?", "\\p{N}{1,3}");

struct TiktokenEncoding {
  std::string_view name;  // the file's name begins so
  const char* words;
  std::vector<std::pair<const char*, int64_t>> special;  // under ids that leave holes
};

const std::vector<TiktokenEncoding>& encodings() {
  static const std::vector<TiktokenEncoding> all = {
      {"cl100k_base",
       kLlama3Split,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base", kGpt4oSplit, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
      {"r50k_base", kGpt2Split, {{"<|endoftext|>", 50256}}},
      {"p50k_base", kGpt2Split, {{"<|endoftext|>", 50256}}},
      {"gpt2", kGpt2Split, {}},
      {"multilingual", kGpt2Split, {}},
      {"qwen", kQwenSplit, {}},
      {"", kLlama3Split, {}},
  };
  return all;
}

struct Ranked {
  std::string_view spelled, bytes;
};

// One line; false at the end.
bool next_line(std::string_view text, size_t& at, std::string_view& line) {
  if (at >= text.size()) return false;
  const size_t end = std::min(text.find('\n', at), text.size());
  line = text.substr(at, end - at);
  if (line.ends_with('\r')) line.remove_suffix(1);
  at = end + 1;
  return true;
}

std::pair<std::string, int64_t> read_line(std::string_view line, std::string_view where) {
  const size_t space = line.find(' ');
  int64_t rank = -1;
  if (space != std::string_view::npos) {
    const char* end = line.data() + line.size();
    const auto parsed = std::from_chars(line.data() + space + 1, end, rank);
    if (parsed.ec != std::errc() || parsed.ptr != end) rank = -1;
  }
  std::optional<std::string> bytes = decode_base64(line.substr(0, std::min(space, line.size())));
  if (rank < 0 || !bytes || bytes->empty())
    fail(ErrorCode::integrity, "{}: the line '{}' is not a token in base64 and its rank", where, shown(line));
  return {std::move(*bytes), rank};
}

// Every way to make a token out of two, in the order of ranks.
MergeList make_merges(const std::vector<Ranked>& tokens, const StringTable& ranks, const Vocabulary& vocabulary) {
  MergeList merges;
  struct Way {
    int32_t left, right;
  };
  std::vector<Way> ways;
  for (const Ranked& token : tokens) {
    if (token.bytes.size() < 2) continue;
    ways.clear();
    for (size_t cut = 1; cut < token.bytes.size(); ++cut) {
      const Way way = {ranks.find(token.bytes.substr(0, cut)), ranks.find(token.bytes.substr(cut))};
      if (way.left >= 0 && way.right >= 0) ways.push_back(way);
    }
    std::sort(ways.begin(), ways.end(),
              [](const Way& a, const Way& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
    for (const Way& way : ways) merges.emplace_back(vocabulary.text(way.left), vocabulary.text(way.right));
  }
  return merges;
}

}  // namespace

bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, std::min(bytes.find('\n'), bytes.size()));
  const size_t space = line.find(' ');
  return space != std::string_view::npos && space > 0 && space < 1024 && decode_base64(line.substr(0, space)) &&
         line.size() > space + 1 && line[space + 1] >= '0' && line[space + 1] <= '9';
}

Description describe_tiktoken(TokenizerFolder& folder, const char* name) {
  Description out;
  TextArena& arena = out.impl->arena;
  const std::string where = folder.where(name);
  const std::string_view source = folder.map(name);
  Vocabulary vocabulary(source.size() / 16);
  StringTable ranks(source.size() / 16);
  std::vector<Ranked> tokens;
  std::string_view line;
  for (size_t at = 0; next_line(source, at, line);) {
    if (line.empty()) continue;
    auto [bytes, rank] = read_line(line, where);
    std::string spelled;
    append_byte_spelling(spelled, bytes);
    const Ranked token{arena.keep(std::move(spelled)), arena.keep(std::move(bytes))};
    vocabulary.insert(token.spelled, rank);
    ranks.insert(token.bytes, static_cast<int32_t>(rank));
    tokens.push_back(token);
  }
  std::stable_sort(tokens.begin(), tokens.end(), [&](const Ranked& a, const Ranked& b) {
    return vocabulary.find(a.spelled) < vocabulary.find(b.spelled);
  });
  if (tokens.empty()) fail(ErrorCode::integrity, "{}: no token is there", where);
  const auto& known = encodings();
  const TiktokenEncoding& encoding = *std::find_if(
      known.begin(), known.end(), [&](const TiktokenEncoding& e) { return std::string_view(name).starts_with(e.name); });
  for (const auto& [content, id] : encoding.special)
    if (!vocabulary.has(static_cast<int32_t>(id))) vocabulary.insert(content, id);
  const MergeList merges = make_merges(tokens, ranks, vocabulary);
  BpeOptions options;
  options.ignore_merges = true;
  out.impl->model = make_bpe(std::move(vocabulary), merges, std::move(options));
  for (const auto& special : encoding.special) {
    AddedToken token;
    token.content = special.first;
    token.special = true;
    out.impl->added.add(std::move(token), out.impl->model->vocabulary());
  }
  out.pre_tokenizer = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", encoding.words}}}, {"behavior", "Isolated"}, {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  out.decoder = {{"type", "ByteLevel"}};
  out.post_processor = {{"type", "ByteLevel"}, {"trim_offsets", false}};
  return out;
}

}  // namespace mynah::text
