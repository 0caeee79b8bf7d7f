#include "train/preference_rows.h"

#include <algorithm>

#include "base/log.h"
#include "base/require.h"
#include "data/rows.h"
#include "train/row_encoder.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

void check_kinds(const Json& a, const Json& b, const std::string& where) {
  require(a.type() == b.type() && (a.is_string() || is_conversation(a)), "{}: chosen is {}, rejected {}; expected two strings or two lists of messages",
          where, a.type_name(), b.type_name());
}

void not_empty(const Json& completion, const char* what, const std::string& where) {
  require(!completion.empty() && !(completion.is_string() && completion.get_ref<const std::string&>().empty()), "{}: {} is empty", where, what);
}

Completion completion_of(const RowEncoder& encoder, const Json& row, const Json& prompt, const Json& completion, const std::string& where) {
  const RowEncoder::Row r = encoder.prompt_completion(row, prompt, completion, false, where);
  return {r.ids, r.prompt};
}

bool parse_label(const Json& value, const std::string& where) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  if (value.is_string() && (value == "true" || value == "True" || value == "1")) return true;
  if (value.is_string() && (value == "false" || value == "False" || value == "0")) return false;
  fail(ErrorCode::failure, "{}: \"label\" is {}, expected true or false", where, value.dump());
}

// The row's chosen, rejected and prompt; a missing prompt is what the two begin with.
struct Parts {
  Json prompt, chosen, rejected;
};
Parts pair_parts(const Json& row, const std::string& where) {
  Parts p{row.contains("prompt") ? row["prompt"] : Json(), data::field(row, "chosen", where), data::field(row, "rejected", where)};
  check_kinds(p.chosen, p.rejected, where);
  if (p.prompt.is_null()) p.prompt = extract_prompt(&p.chosen, &p.rejected);
  not_empty(p.chosen, "chosen", where);
  not_empty(p.rejected, "rejected", where);
  return p;
}

void say_left_out(int64_t count, const fs::path& file, int64_t max_length) {
  if (count > 0) warn("{}: {} rows do not fit --max-length {} and are left out", file.string(), count, max_length);
}

}  // namespace

Completion cut(const Completion& c, const CutOptions& o) {
  const auto size = static_cast<int64_t>(c.ids.size());
  if (size <= o.max_length) return c;
  if (!o.keep_end) return {{c.ids.begin(), c.ids.begin() + o.max_length}, c.prompt};
  return {{c.ids.end() - o.max_length, c.ids.end()}, std::max<int64_t>(0, c.prompt - (size - o.max_length))};
}

int64_t add_completion(const Completion& c, PackedRows* rows) {
  std::vector<int32_t> labels = c.ids;
  std::fill_n(labels.begin(), std::min(c.prompt, static_cast<int64_t>(labels.size())), kIgnored);
  const int64_t before = static_cast<int64_t>(rows->targets.size());
  rows->add(c.ids, labels);
  return static_cast<int64_t>(c.ids.size()) - std::count(rows->targets.begin() + before, rows->targets.end(), kIgnored);
}

std::vector<Pair> read_pairs(const bundle::Bundle& b, const fs::path& file, const CutOptions& o) {
  const RowEncoder encoder(b);
  std::vector<Pair> pairs;
  int64_t left_out = 0;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const Parts parts = pair_parts(row, where);
    Pair pair{completion_of(encoder, row, parts.prompt, parts.chosen, where), completion_of(encoder, row, parts.prompt, parts.rejected, where), where};
    // Both completions start where the first of them parts from the prompt.
    pair.chosen.prompt = pair.rejected.prompt = std::min(pair.chosen.prompt, pair.rejected.prompt);
    if (!o.keep_end && pair.chosen.prompt >= o.max_length) {
      ++left_out;
      return;
    }
    pair.chosen = cut(pair.chosen, o);
    pair.rejected = cut(pair.rejected, o);
    pairs.push_back(std::move(pair));
  });
  say_left_out(left_out, file, o.max_length);
  require(!pairs.empty(), "{}: no row fits --max-length {}", file.string(), o.max_length);
  return pairs;
}

std::vector<Judged> read_judged(const bundle::Bundle& b, const fs::path& file, const CutOptions& o) {
  const RowEncoder encoder(b);
  std::vector<Judged> desirable, undesirable, rows;
  int64_t left_out = 0;
  const auto add = [&](const Json& row, const Json& prompt, const Json& completion, bool good, const std::string& where, std::vector<Judged>* to) {
    not_empty(completion, "completion", where);
    Completion c = completion_of(encoder, row, prompt, completion, where);
    if (c.prompt >= o.max_length) ++left_out;
    else to->push_back({std::move(c), good, where});
  };
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    if (row.contains("chosen")) {
      const Parts parts = pair_parts(row, where);
      add(row, parts.prompt, parts.chosen, true, where, &desirable);
      add(row, parts.prompt, parts.rejected, false, where, &undesirable);
    } else {
      add(row, data::field(row, "prompt", where), data::field(row, "completion", where), parse_label(data::field(row, "label", where), where), where, &rows);
    }
  });
  // Pairs are taken apart as the reference does: all chosen ones, then all rejected ones.
  for (auto* list : {&desirable, &undesirable}) std::move(list->begin(), list->end(), std::back_inserter(rows));
  say_left_out(left_out, file, o.max_length);
  require(!rows.empty(), "{}: no row fits --max-length {}", file.string(), o.max_length);
  return rows;
}

std::vector<Pair> read_whole_pairs(const bundle::Bundle& b, const fs::path& file, int64_t max_length, std::vector<float>* margins) {
  const RowEncoder encoder(b);
  std::vector<Pair> pairs;
  int64_t left_out = 0;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const Json chosen = data::field(row, "chosen", where), rejected = data::field(row, "rejected", where);
    check_kinds(chosen, rejected, where);
    not_empty(chosen, "chosen", where);
    not_empty(rejected, "rejected", where);
    const auto whole = [&](const Json& completion) {
      const Json all = row.contains("prompt") && !row["prompt"].is_null() ? joined(row["prompt"], completion) : completion;
      return Completion{all.is_string() ? encoder.text(all.get<std::string>(), true)
                                        : encoder.messages(all, row.contains("tools") ? row["tools"] : Json(), false, false, where).ids,
                        0};
    };
    Pair pair{whole(chosen), whole(rejected), where};
    if (std::max(pair.chosen.tokens(), pair.rejected.tokens()) > max_length) {
      ++left_out;
      return;
    }
    if (row.contains("margin")) {
      require(row["margin"].is_number(), "{}: \"margin\" is {}, expected a number", where, row["margin"].dump());
      margins->push_back(row["margin"].get<float>());
    }
    pairs.push_back(std::move(pair));
  });
  say_left_out(left_out, file, max_length);
  require(!pairs.empty(), "{}: no row fits --max-length {}", file.string(), max_length);
  require(margins->empty() || margins->size() == pairs.size(), "{}: \"margin\" stands in some rows only", file.string());
  return pairs;
}

}  // namespace mynah::train
