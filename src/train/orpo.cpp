// ORPO (arXiv:2403.07691) as TRL's experimental ORPOTrainer runs it.
#include <algorithm>

#include "base/require.h"
#include "data/rows.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "train/lm.h"
#include "train/preference.h"
#include "train/preference_rows.h"
#include "train/row_encoder.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

struct OddsBatch : MicroBatch {
  PackedRows rows;                        // all tokens are targets; all chosen sequences, then all rejected ones
  std::vector<int64_t> lengths, prompts;  // of each sequence
  size_t pairs = 0;
};

// Unlike the other trainers' rows, these begin with the tokenizer's begin token and end with its end token, whatever the
// tokenizer adds by itself.
Completion encode(const bundle::Bundle& b, const std::string& prompt, const std::string& answer, int64_t max_length) {
  const Tokenizer& t = *b.tokenizer;
  Completion c{t.encode_ids(prompt + answer, false), 0};
  const std::vector<int32_t> before = t.encode_ids(prompt, false);
  c.prompt = std::min<int64_t>(static_cast<int64_t>(before.size()), static_cast<int64_t>(c.ids.size()));
  if (!std::equal(before.begin(), before.begin() + c.prompt, c.ids.begin()) && c.prompt > 0) --c.prompt;
  if (const auto bos = t.bos_id(); bos && (c.prompt == 0 || c.ids[0] != *bos)) {
    c.ids.insert(c.ids.begin(), *bos);
    ++c.prompt;
  }
  if (const auto eos = t.eos_id(); eos && (c.tokens() == 0 || c.ids.back() != *eos)) c.ids.push_back(*eos);
  if (static_cast<int64_t>(c.ids.size()) > max_length) c.ids.resize(static_cast<size_t>(std::max(c.prompt, max_length)));
  return c;
}

void read_odds(const bundle::Bundle& b, const fs::path& file, int64_t max_length, RowSink<Pair>* pairs) {
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    Json chosen = data::field(row, "chosen", where), rejected = data::field(row, "rejected", where);
    Json prompt = row.contains("prompt") ? row["prompt"] : extract_prompt(&chosen, &rejected);
    if (is_conversation(chosen)) {
      const std::string start = bundle::render_chat(b, prompt, nullptr, true);
      for (Json* side : {&chosen, &rejected}) {
        const std::string whole = bundle::render_chat(b, joined(prompt, *side), nullptr, false);
        const auto at = static_cast<size_t>(std::mismatch(start.begin(), start.end(), whole.begin(), whole.end()).first - start.begin());
        *side = whole.substr(at);
      }
      prompt = start;
    }
    require(prompt.is_string() && chosen.is_string() && rejected.is_string(), "{}: expected prompt, chosen and rejected as strings or messages", where);
    require(!chosen.get_ref<const std::string&>().empty() && !rejected.get_ref<const std::string&>().empty(), "{}: chosen or rejected is empty", where);
    Pair pair{encode(b, prompt.get<std::string>(), chosen.get<std::string>(), max_length),
              encode(b, prompt.get<std::string>(), rejected.get<std::string>(), max_length), where};
    require(pair.chosen.tokens() > 0 && pair.rejected.tokens() > 0 && static_cast<int64_t>(pair.chosen.ids.size()) <= max_length,
            "{}: the prompt alone fills --max-length {}", where, max_length);
    pairs->add(std::move(pair));
  });
}

class Orpo : public RowObjective<Pair> {
 public:
  Orpo(const Arguments& a, const PreferenceOptions& o, const nn::CausalLM& lm, RowFile<Pair> train, RowFile<Pair> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), o_(o), lm_(lm) {}

 protected:
  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* m) override {
    const OddsBatch& b = static_cast<const OddsBatch&>(micro);
    TokenStats stats;
    const Body body = lm_body(lm_, b.rows);
    tell_balance(body, m);
    const Tensor per_token = head_log_probs(lm_, body.hidden, b.rows.targets, 1, &stats);
    // The odds use the completions' tokens, the likelihood those of chosen prompt and completion.
    std::vector<Tensor> means;
    int64_t at = 0, chosen_targets = 0;
    for (size_t i = 0; i < b.lengths.size(); ++i) {
      const int64_t targets = b.lengths[i] - 1, skipped = std::max<int64_t>(0, b.prompts[i] - 1);
      means.push_back(reshape(mean(narrow(per_token, 0, at + skipped, targets - skipped)), {1}));
      at += targets;
      if (i < b.pairs) chosen_targets += targets;
    }
    const auto n = static_cast<int64_t>(b.pairs);
    const Tensor all = cat(means, 0), chosen = narrow(all, 0, 0, n), rejected = narrow(all, 0, n, n);
    const auto log_rest = [](const Tensor& x) { return log(add(neg(exp(x)), 1.0f)); };  // log(1 - p)
    const Tensor odds = (chosen - rejected) - (log_rest(chosen) - log_rest(rejected)), ratio = log_sigmoid(odds);
    const Tensor likelihood = neg(mean(narrow(per_token, 0, 0, chosen_targets)));
    const auto beta = static_cast<float>(o_.beta);
    Tensor total = (likelihood - mean(ratio) * beta) * (1.0f / static_cast<float>(share.micro_batches));
    total = with_balance(total, body, static_cast<double>(share.micro_batches));

    NoGrad no_grad;
    double wins = 0;
    for (int64_t i = 0; i < n; ++i) wins += contiguous(chosen).data<float>()[i] > contiguous(rejected).data<float>()[i];
    const double c = mean(chosen).item(), r = mean(rejected).item();
    m->add("rewards/chosen", o_.beta * c);
    m->add("rewards/rejected", o_.beta * r);
    m->add("rewards/accuracies", wins / static_cast<double>(n));
    m->add("rewards/margins", o_.beta * (c - r));
    m->add("logps/chosen", c);
    m->add("logps/rejected", r);
    m->add("logits/chosen", stats.mean_of_logits(0, static_cast<size_t>(chosen_targets)));
    m->add("logits/rejected", stats.mean_of_logits(static_cast<size_t>(chosen_targets), SIZE_MAX));
    m->add("nll_loss", likelihood.item());
    m->add("log_odds_ratio", mean(ratio).item());
    m->add("log_odds_chosen", mean(odds).item());
    return total;
  }

 private:
  std::unique_ptr<MicroBatch> collate(const RowFile<Pair>& pairs, const std::vector<int64_t>& rows) const override {
    auto batch = std::make_unique<OddsBatch>();
    batch->pairs = rows.size();
    for (const bool chosen : {true, false})
      for (const int64_t row : rows) {
        const Pair pair = pairs[row];
        const Completion& c = chosen ? pair.chosen : pair.rejected;
        batch->rows.add(c.ids, c.ids);
        batch->lengths.push_back(static_cast<int64_t>(c.ids.size()));
        batch->prompts.push_back(c.prompt);
        if (chosen) batch->places.push_back(pair.where);
      }
    batch->targets = static_cast<double>(rows.size());
    batch->tokens = batch->rows.tokens();
    return batch;
  }

  const PreferenceOptions o_;
  const nn::CausalLM& lm_;
};

}  // namespace

std::unique_ptr<Objective> make_orpo(const Arguments& a, const PreferenceOptions& o, const Subject& subject, const fs::path& train_file,
                                     const fs::path& validation_file) {
  const nn::CausalLM& lm = subject.lm();
  require(subject.bundle->tokenizer != nullptr, "{}: no tokenizer", subject.bundle->name);
  const int64_t most = lm.max_positions() > 0 ? std::min(o.max_length, lm.max_positions()) : o.max_length;
  const auto read = [&](const fs::path& file) {
    return keep_rows<Pair>(a, *subject.bundle, file, fmt::format("odds {}", most), [&](RowSink<Pair>& pairs) { read_odds(*subject.bundle, file, most, &pairs); });
  };
  RowFile<Pair> train = read(train_file), held_out = read(validation_file);
  return std::make_unique<Orpo>(a, o, lm, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
