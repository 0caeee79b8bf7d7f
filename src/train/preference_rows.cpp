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

constexpr size_t kLeftOut = 0;

// The rows that `read` makes, of which there must be some.
template <class Row, class Read>
RowFile<Row> rows_that_fit(const Arguments& a, const bundle::Bundle& b, const fs::path& file, const std::string& how, int64_t max_length, const Read& read) {
  auto rows = keep_rows<Row>(a, b, file, fmt::format("{} {}", how, max_length), [&](RowSink<Row>& sink) {
    read(RowEncoder(b), sink);
    require(sink.size() > 0, "{}: no row fits --max-length {}", file.string(), max_length);
  });
  if (const int64_t n = rows.note(kLeftOut); n > 0) warn("{}: {} rows do not fit --max-length {} and are left out", file.string(), n, max_length);
  return rows;
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

RowFile<Pair> read_pairs(const Arguments& a, const bundle::Bundle& b, const fs::path& file, const CutOptions& o) {
  return rows_that_fit<Pair>(a, b, file, o.keep_end ? "pairs end" : "pairs", o.max_length, [&](const RowEncoder& encoder, RowSink<Pair>& pairs) {
    data::for_each_row(file, [&](const Json& row, const std::string& where) {
      const Parts parts = pair_parts(row, where);
      Pair pair{completion_of(encoder, row, parts.prompt, parts.chosen, where), completion_of(encoder, row, parts.prompt, parts.rejected, where), where};
      // Both completions start where the first of them parts from the prompt.
      pair.chosen.prompt = pair.rejected.prompt = std::min(pair.chosen.prompt, pair.rejected.prompt);
      if (!o.keep_end && pair.chosen.prompt >= o.max_length) {
        ++pairs.note(kLeftOut);
        return;
      }
      pair.chosen = cut(pair.chosen, o);
      pair.rejected = cut(pair.rejected, o);
      pairs.add(std::move(pair));
    });
  });
}

RowFile<Judged> read_judged(const Arguments& a, const bundle::Bundle& b, const fs::path& file, const CutOptions& o) {
  return rows_that_fit<Judged>(a, b, file, "judged", o.max_length, [&](const RowEncoder& encoder, RowSink<Judged>& rows) {
    const auto add = [&](const Json& row, const Json& prompt, const Json& completion, bool good, const std::string& where) {
      not_empty(completion, "completion", where);
      Completion c = completion_of(encoder, row, prompt, completion, where);
      if (c.prompt >= o.max_length) ++rows.note(kLeftOut);
      else rows.add({std::move(c), good, where});
    };
    bool has_pairs = false;
    data::for_each_row(file, [&](const Json& row, const std::string& where) {
      if (row.contains("chosen")) has_pairs = true;
      else add(row, data::field(row, "prompt", where), data::field(row, "completion", where), parse_label(data::field(row, "label", where), where), where);
    });
    if (!has_pairs) return;
    // Pairs are taken apart as the reference does: all chosen ones, then all rejected ones.
    for (const bool good : {true, false})
      data::for_each_row(file, [&](const Json& row, const std::string& where) {
        if (!row.contains("chosen")) return;
        const Parts parts = pair_parts(row, where);
        add(row, parts.prompt, good ? parts.chosen : parts.rejected, good, where);
      });
  });
}

RowFile<Pair> read_whole_pairs(const Arguments& a, const bundle::Bundle& b, const fs::path& file, int64_t max_length) {
  return rows_that_fit<Pair>(a, b, file, "whole pairs", max_length, [&](const RowEncoder& encoder, RowSink<Pair>& pairs) {
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
        ++pairs.note(kLeftOut);
        return;
      }
      if (row.contains("margin")) {
        require(row["margin"].is_number(), "{}: \"margin\" is {}, expected a number", where, row["margin"].dump());
        pair.margin = row["margin"].get<float>();
        ++pairs.note(kMargins);
      }
      pairs.add(std::move(pair));
    });
    require(pairs.note(kMargins) == 0 || pairs.note(kMargins) == pairs.size(), "{}: \"margin\" stands in some rows only", file.string());
  });
}

}  // namespace mynah::train
