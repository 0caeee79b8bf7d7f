#include "train/sft.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "base/require.h"
#include "data/rows.h"
#include "mynah/ops.h"
#include "train/lm.h"
#include "train/row_encoder.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

struct Example {
  std::vector<int32_t> ids, labels;
  std::string where;

  template <class Parts>
  void each_part(Parts& part) {
    part(ids);
    part(labels);
    part(where);
  }
};

// A row of training: sequences that do not see each other.
using Group = std::vector<Example>;

struct PackedBatch : MicroBatch {
  PackedRows rows;
};

Example encode(const RowEncoder& encoder, const SftOptions& o, const Json& row, const std::string& where) {
  RowEncoder::Row r;
  bool has_prompt = false;
  if (row.contains("prompt")) {
    has_prompt = true;
    r = encoder.prompt_completion(row, data::field(row, "prompt", where), data::field(row, "completion", where), o.assistant_only_loss, where);
  } else if (row.contains("messages") || row.contains("conversations")) {
    const Json messages = row.contains("messages") ? row["messages"] : messages_of_turns(row["conversations"]);
    r = encoder.messages(messages, row.contains("tools") ? row["tools"] : Json(), false, o.assistant_only_loss, where);
  } else {
    if (!row.contains("text")) {
      std::vector<std::string> names;
      for (const auto& [key, value] : row.items()) names.push_back(key);
      fail(ErrorCode::failure, "{}: expected \"text\", \"messages\", or \"prompt\" and \"completion\"; the row has {}", where, names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", ")));
    }
    const std::string text = data::text_field(row, "text", where);
    require(!text.empty(), "{}: the text is empty", where);
    require(!o.assistant_only_loss && !o.completion_only_loss.value_or(false), "{}: --{}-only-loss needs rows of {}, the row has a text", where, o.assistant_only_loss ? "assistant" : "completion",
            o.assistant_only_loss ? "messages" : "prompt and completion");
    r.ids = encoder.text(text, true);
  }
  Example e{r.ids, r.ids, where};
  const bool only_completion = has_prompt && o.completion_only_loss.value_or(true);
  for (size_t i = 0; i < e.labels.size(); ++i)
    if ((only_completion && static_cast<int64_t>(i) < r.prompt) || (!r.assistant.empty() && !r.assistant[i])) e.labels[i] = kIgnored;
  return e;
}

bool counts(const Example& e) {
  return !e.ids.empty() && std::any_of(e.labels.begin(), e.labels.end(), [](int32_t l) { return l != kIgnored; });
}

void cut(Example* e, int64_t length, bool keep_end) {
  if (static_cast<int64_t>(e->ids.size()) <= length) return;
  for (std::vector<int32_t>* part : {&e->ids, &e->labels})
    if (keep_end) part->erase(part->begin(), part->end() - length);
    else part->resize(static_cast<size_t>(length));
}

// Rows that share blocks: those of block b are rows[begins[b]] to rows[begins[b + 1] - 1].
struct Packing {
  std::vector<uint32_t> rows, begins;
};

// Best fit into blocks of `length` tokens, the longest first (TRL's packing "bfd"). Lengths are at most `length`.
Packing best_fit(const std::vector<int32_t>& lengths, int64_t length) {
  const std::vector<uint32_t> order = [&] {
    std::vector<uint32_t> all = row_order(static_cast<int64_t>(lengths.size()), false, 0, 0);
    std::stable_sort(all.begin(), all.end(), [&](uint32_t a, uint32_t b) { return lengths[a] > lengths[b]; });
    return all;
  }();
  std::vector<uint32_t> block_of(lengths.size());
  std::map<int64_t, std::deque<uint32_t>> by_room;  // blocks with this much room, the oldest first
  Packing blocks{std::vector<uint32_t>(lengths.size()), {0}};
  for (const uint32_t i : order) {
    const auto fit = by_room.lower_bound(lengths[i]);
    auto block = static_cast<uint32_t>(blocks.begins.size() - 1);
    int64_t room = length;
    if (fit == by_room.end()) {
      blocks.begins.push_back(0);
    } else {
      room = fit->first;
      block = fit->second.front();
      fit->second.pop_front();
      if (fit->second.empty()) by_room.erase(fit);
    }
    block_of[i] = block;
    ++blocks.begins[block + 1];  // as yet how many rows it has
    if (room > lengths[i]) by_room[room - lengths[i]].push_back(block);
  }
  std::partial_sum(blocks.begins.begin(), blocks.begins.end(), blocks.begins.begin());
  std::vector<uint32_t> at(blocks.begins.begin(), blocks.begins.end() - 1);
  for (const uint32_t i : order) blocks.rows[at[block_of[i]]++] = i;
  return blocks;
}

// At most `length` tokens of `e` from token `begin` on.
Example part_of(const Example& e, size_t begin, size_t length) {
  const auto first = static_cast<long>(begin), last = static_cast<long>(std::min(e.ids.size(), begin + length));
  return {{e.ids.begin() + first, e.ids.begin() + last}, {e.labels.begin() + first, e.labels.begin() + last}, e.where};
}

// One stream cut into blocks; a document's pieces in different blocks do not see each other, nor do documents in one block.
void wrap(const RowFile<Example>& all, int64_t length, RowSink<Group>* rows) {
  Group block;
  int64_t room = length;
  for (int64_t i = 0; i < all.size(); ++i) {
    const Example e = all[i];
    for (size_t at = 0; at < e.ids.size();) {
      block.push_back(part_of(e, at, static_cast<size_t>(room)));
      at += block.back().ids.size();
      room -= static_cast<int64_t>(block.back().ids.size());
      if (room > 0) continue;
      rows->add(std::exchange(block, {}));
      room = length;
    }
  }
  if (!block.empty()) rows->add(std::move(block));
}

void pack_best_fit(const RowFile<Example>& all, int64_t length, RowSink<Group>* rows) {
  std::vector<int32_t> lengths(static_cast<size_t>(all.size()));
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<int32_t>(all[static_cast<int64_t>(i)].ids.size());
  const Packing blocks = best_fit(lengths, length);
  for (size_t b = 0; b + 1 < blocks.begins.size(); ++b) {
    Group group;
    for (uint32_t i = blocks.begins[b]; i < blocks.begins[b + 1]; ++i) group.push_back(all[blocks.rows[i]]);
    rows->add(std::move(group));
  }
}

enum Note : size_t { kCutOff, kMasked, kShortened };

// The file's sequences, as the way of packing takes them.
template <class Add, class Row>
void encode_file(const bundle::Bundle& b, const SftOptions& o, const fs::path& file, RowSink<Row>* sink, const Add& add) {
  const RowEncoder encoder(b);
  bool learns = false;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    Example e = encode(encoder, o, row, where);
    if (!counts(e)) {
      ++sink->note(kMasked);
      return;
    }
    const bool whole = o.packing && o.packing_strategy != "bfd";  // cut into pieces that are all learnt
    if (!whole && static_cast<int64_t>(e.ids.size()) > o.max_length) ++sink->note(kShortened);
    if (!o.packing) cut(&e, o.max_length, o.truncation_mode == "keep_end");
    if (!counts(e)) {
      ++sink->note(kCutOff);
      return;
    }
    // The first token of a row is predicted by nothing.
    learns = learns || std::any_of(e.labels.begin() + 1, e.labels.end(), [](int32_t l) { return l != kIgnored; });
    add(std::move(e));
  });
  require(sink->size() > 0, "{}: no token counts in any row ({} fully masked, {} cut off); there is nothing to learn", file.string(), sink->note(kMasked), sink->note(kCutOff));
  require(learns, "{}: no row has a token to predict from the ones before it (--max-length {}); there is nothing to learn", file.string(), o.max_length);
}

RowFile<Group> read_packed(const Arguments& a, const bundle::Bundle& b, const SftOptions& o, const fs::path& file, const std::string& how) {
  return keep_rows<Group>(a, b, file, how + " packed", [&](RowSink<Group>& rows) {
    const auto all = keep_rows<Example>(a, b, file, how, [&](RowSink<Example>& sink) {
      encode_file(b, o, file, &sink, [&](Example e) {
        if (o.packing_strategy == "wrapped") sink.add(std::move(e));
        else if (o.packing_strategy == "bfd") sink.add(part_of(e, 0, static_cast<size_t>(o.max_length)));
        else
          for (size_t at = 0; at < e.ids.size(); at += static_cast<size_t>(o.max_length)) sink.add(part_of(e, at, static_cast<size_t>(o.max_length)));
      });
    });
    for (const size_t i : {kCutOff, kMasked, kShortened}) rows.note(i) = all.note(i);
    if (o.packing_strategy == "wrapped") wrap(all, o.max_length, &rows);
    else pack_best_fit(all, o.max_length, &rows);
  });
}

RowFile<Group> read_rows(const Arguments& a, const bundle::Bundle& b, const SftOptions& o, const fs::path& file) {
  const std::string how = fmt::format("sft {} {} {} {}", o.max_length, o.packing ? o.packing_strategy : o.truncation_mode,
                                      o.completion_only_loss ? static_cast<int>(*o.completion_only_loss) : 2, o.assistant_only_loss);
  RowFile<Group> rows = o.packing ? read_packed(a, b, o, file, how) : keep_rows<Group>(a, b, file, how, [&](RowSink<Group>& sink) {
    encode_file(b, o, file, &sink, [&](Example e) { sink.add({std::move(e)}); });
  });
  if (const int64_t n = rows.note(kCutOff); n > 0) warn("{}: {} rows have no target within --max-length {} and are left out", file.string(), n, o.max_length);
  if (const int64_t n = rows.note(kShortened); n > 0) warn("{}: {} rows are longer than {} tokens (--max-length, or the model's positions) and are cut", file.string(), n, o.max_length);
  if (const int64_t n = rows.note(kMasked); n > 0) warn("{}: {} rows have no target and are left out", file.string(), n);
  return rows;
}

class Sft : public RowObjective<Group> {
 public:
  Sft(const Arguments& a, const SftOptions& o, const nn::CausalLM& lm, RowFile<Group> train, RowFile<Group> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), o_(o), lm_(lm) {}

 protected:
  Tensor loss(const MicroBatch& batch, const Share& share, Metrics* metrics) override {
    const PackedRows& rows = static_cast<const PackedBatch&>(batch).rows;
    TokenStats stats;
    Tensor loss;
    const double denominator = std::max(1.0, share.targets);
    const Body body = lm_body(lm_, rows);
    if (o_.loss_type == "dft") {
      const Tensor logps = head_log_probs(lm_, body.hidden, rows.targets, 1, &stats);
      const Tensor p = exp(logps.detach());
      loss = sum(logps * p) * static_cast<float>(-1 / denominator);
    } else {
      loss = head_loss(lm_, body.hidden, rows.targets, denominator, &stats);
    }
    loss = with_balance(loss, body, static_cast<double>(share.micro_batches));
    tell_balance(body, metrics);
    metrics->add("entropy", stats.mean_entropy());
    metrics->add("mean_token_accuracy", stats.accuracy());
    return loss;
  }

 private:
  std::unique_ptr<MicroBatch> collate(const RowFile<Group>& all, const std::vector<int64_t>& some) const override {
    auto batch = std::make_unique<PackedBatch>();
    for (const int64_t row : some)
      for (const Example& e : all[row]) {
        batch->rows.add(e.ids, e.labels);
        batch->places.push_back(e.where);
      }
    batch->targets = static_cast<double>(batch->rows.counted());
    batch->tokens = batch->rows.tokens();
    return batch;
  }

  const SftOptions o_;
  const nn::CausalLM& lm_;
};

}  // namespace

std::unique_ptr<Objective> make_sft(const Arguments& a, const SftOptions& options, const bundle::Bundle& b, const fs::path& train_file,
                                    const fs::path& validation_file) {
  SftOptions o = options;
  if (o.loss_type != "nll" && o.loss_type != "chunked_nll" && o.loss_type != "dft") fail(ErrorCode::usage, "--loss-type: \"{}\", expected nll or dft", o.loss_type);
  if (o.truncation_mode != "keep_start" && o.truncation_mode != "keep_end") fail(ErrorCode::usage, "--truncation-mode: \"{}\", expected keep_start or keep_end", o.truncation_mode);
  if (o.packing_strategy != "bfd" && o.packing_strategy != "bfd_split" && o.packing_strategy != "wrapped")
    fail(ErrorCode::usage, "--packing-strategy: \"{}\", expected bfd, bfd_split or wrapped", o.packing_strategy);
  const nn::CausalLM& lm = b.causal_lm();
  if (o.max_length <= 0) fail(ErrorCode::usage, "--max-length: {}, expected more than 0", o.max_length);
  if (lm.max_positions() > 0) o.max_length = std::min(o.max_length, lm.max_positions());
  RowFile<Group> train = read_rows(a, b, o, train_file), held_out = read_rows(a, b, o, validation_file);
  return std::make_unique<Sft>(a, o, lm, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
