#include "train/sft.h"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

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
};

struct PackedBatch : MicroBatch {
  PackedRows rows;
};

Example encode(const RowEncoder& encoder, const SftOptions& o, const Json& row, const std::string& where) {
  RowEncoder::Row r;
  bool has_prompt = false;
  if (row.contains("prompt")) {
    has_prompt = true;
    r = encoder.prompt_completion(row, data::field(row, "prompt", where), data::field(row, "completion", where), o.assistant_only_loss, where);
  } else if (row.contains("messages")) {
    r = encoder.messages(row["messages"], row.contains("tools") ? row["tools"] : Json(), false, o.assistant_only_loss, where);
  } else {
    const std::string text = data::text_field(row, "text", where);
    require(!text.empty(), "{}: the text is empty", where);
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

// Rows of training: each a list of sequences that do not see each other.
using Rows = std::vector<std::vector<Example>>;

std::vector<Example> split(const std::vector<Example>& all, int64_t length) {
  std::vector<Example> parts;
  for (const Example& e : all)
    for (size_t at = 0; at < e.ids.size(); at += static_cast<size_t>(length)) {
      const auto end = static_cast<long>(std::min(e.ids.size(), at + static_cast<size_t>(length))), begin = static_cast<long>(at);
      parts.push_back({{e.ids.begin() + begin, e.ids.begin() + end}, {e.labels.begin() + begin, e.labels.begin() + end}, e.where});
    }
  return parts;
}

// One stream cut into blocks; a document's pieces in different blocks do not see each other, nor do documents in one block.
Rows wrapped(const std::vector<Example>& all, int64_t length) {
  Rows rows;
  int64_t room = 0;
  for (const Example& e : all)
    for (size_t at = 0; at < e.ids.size();) {
      if (room == 0) {
        rows.emplace_back();
        room = length;
      }
      const auto take = std::min<int64_t>(room, static_cast<int64_t>(e.ids.size() - at));
      const auto begin = static_cast<long>(at), end = begin + static_cast<long>(take);
      rows.back().push_back({{e.ids.begin() + begin, e.ids.begin() + end}, {e.labels.begin() + begin, e.labels.begin() + end}, e.where});
      room -= take;
      at += static_cast<size_t>(take);
    }
  return rows;
}

Rows pack(std::vector<Example> all, const SftOptions& o) {
  if (o.packing_strategy == "wrapped") return wrapped(all, o.max_length);
  if (o.packing_strategy == "bfd_split") all = split(all, o.max_length);
  else for (Example& e : all) cut(&e, o.max_length, false);
  std::vector<int64_t> lengths;
  for (const Example& e : all) lengths.push_back(static_cast<int64_t>(e.ids.size()));
  Rows rows;
  for (const auto& group : best_fit(lengths, o.max_length)) {
    rows.emplace_back();
    for (const int64_t i : group) rows.back().push_back(std::move(all[static_cast<size_t>(i)]));
  }
  return rows;
}

Rows read_rows(const bundle::Bundle& b, const SftOptions& o, const fs::path& file) {
  const RowEncoder encoder(b);
  std::vector<Example> all;
  int64_t dropped = 0, masked = 0;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    Example e = encode(encoder, o, row, where);
    if (!counts(e)) {
      ++masked;
      return;
    }
    if (!o.packing) cut(&e, o.max_length, o.truncation_mode == "keep_end");
    if (counts(e)) all.push_back(std::move(e));
    else ++dropped;
  });
  if (dropped > 0) warn("{}: {} rows have no target within --max-length {} and are left out", file.string(), dropped, o.max_length);
  require(!all.empty(), "{}: no token counts in any row ({} fully masked, {} cut off); there is nothing to learn", file.string(), masked, dropped);
  // The first token of a row is predicted by nothing.
  const bool learns = std::any_of(all.begin(), all.end(), [](const Example& e) {
    return std::any_of(e.labels.begin() + 1, e.labels.end(), [](int32_t l) { return l != kIgnored; });
  });
  require(learns, "{}: no row has a token to predict from the ones before it (--max-length {}); there is nothing to learn", file.string(), o.max_length);
  if (masked > 0) warn("{}: {} rows have no target and are left out", file.string(), masked);
  Rows rows;
  if (o.packing) rows = pack(std::move(all), o);
  else
    for (Example& e : all) rows.push_back({std::move(e)});
  return rows;
}

class Sft : public RowObjective<std::vector<Example>> {
 public:
  Sft(const Arguments& a, const SftOptions& o, const nn::CausalLM& lm, Rows train, Rows held_out)
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
  std::unique_ptr<MicroBatch> collate(const Rows& all, const std::vector<int64_t>& some) const override {
    auto batch = std::make_unique<PackedBatch>();
    for (const int64_t row : some)
      for (const Example& e : all[static_cast<size_t>(row)]) {
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

std::vector<std::vector<int64_t>> best_fit(const std::vector<int64_t>& lengths, int64_t length) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[static_cast<size_t>(a)] > lengths[static_cast<size_t>(b)]; });
  std::vector<std::vector<int64_t>> blocks;
  std::map<int64_t, std::deque<size_t>> by_room;  // blocks with this much room, the oldest first
  for (const int64_t i : order) {
    const int64_t need = lengths[static_cast<size_t>(i)];
    const auto fit = by_room.lower_bound(need);
    size_t block = blocks.size();
    int64_t room = length;
    if (fit == by_room.end()) {
      blocks.emplace_back();
    } else {
      room = fit->first;
      block = fit->second.front();
      fit->second.pop_front();
      if (fit->second.empty()) by_room.erase(fit);
    }
    blocks[block].push_back(i);
    if (room > need) by_room[room - need].push_back(block);
  }
  return blocks;
}

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
  Rows train = read_rows(b, o, train_file);
  Rows held_out = validation_file.empty() ? Rows() : read_rows(b, o, validation_file);
  return std::make_unique<Sft>(a, o, lm, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
