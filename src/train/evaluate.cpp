#include "train/evaluate.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"
#include "data/rows.h"
#include "mynah/autograd.h"
#include "train/lm.h"

namespace mynah::train {

TextLoss text_loss(const bundle::Bundle& b, const std::filesystem::path& file) {
  const NoGrad no_grad;
  const nn::CausalLM& lm = b.causal_lm();
  require(b.tokenizer != nullptr && !b.network->seq2seq_lm(), "eval: {} does not predict the next token of a text", b.name);
  const int64_t window = lm.max_positions() > 0 ? lm.max_positions() : 2048;
  TextLoss total;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string text = data::text_field(row, "text", where);
    const Encoding e = b.tokenizer->encode(text);
    const auto n = static_cast<int64_t>(e.ids.size());
    if (n == 0) return;
    const auto is_added = [&](int64_t i) { return !e.special_tokens_mask.empty() && e.special_tokens_mask[static_cast<size_t>(i)] != 0; };
    const auto bytes = static_cast<int64_t>(text.size());
    // A first token that is the text's own is known, not predicted.
    total.bytes += is_added(0) ? bytes : bytes - static_cast<int64_t>(b.tokenizer->decode(std::span(e.ids).first(1), false).size());
    for (int64_t begin = 0; begin + 1 < n; begin += window - 1) {
      const int64_t end = std::min(n, begin + window);
      const std::vector<int32_t> ids(e.ids.begin() + begin, e.ids.begin() + end);
      std::vector<int32_t> labels = ids;
      for (int64_t i = begin; i < end; ++i)
        if (is_added(i)) labels[static_cast<size_t>(i - begin)] = kIgnored;
      PackedRows rows;
      rows.add(ids, labels);
      total.nats += lm_loss(lm, rows, 1).item();
      total.tokens += rows.counted();
    }
  });
  require(total.tokens > 0, "{}: no token is scored; rows need two tokens or more", file.string());
  return total;
}

namespace {

// log p(continuation | context), where the two are cut into tokens together.
double log_likelihood(const bundle::Bundle& b, std::string context, std::string continuation, const std::string& where) {
  const size_t end = context.find_last_not_of(" \t\n\r");
  const size_t kept = end == std::string::npos ? 0 : end + 1;
  continuation = context.substr(kept) + continuation;
  context.resize(kept);
  std::vector<int32_t> ids = b.tokenizer->encode_ids(context + continuation);
  size_t first = b.tokenizer->encode_ids(context).size();
  if (context.empty()) {  // an end or begin token stands for the missing context
    ids = b.tokenizer->encode_ids(continuation, false);
    const auto start = b.tokenizer->bos_id() ? b.tokenizer->bos_id() : b.tokenizer->eos_id();
    require(start.has_value(), "{}: the prompt is empty and the tokenizer has no begin or end token", where);
    ids.insert(ids.begin(), *start);
    first = 1;
  }
  require(first < ids.size(), "{}: a choice has no tokens of its own", where);
  const nn::CausalLM& lm = b.causal_lm();
  const auto most = static_cast<size_t>(lm.max_positions() > 0 ? lm.max_positions() : 2048) + 1;
  if (ids.size() > most) {
    const size_t cut = ids.size() - most;
    ids.erase(ids.begin(), ids.begin() + static_cast<long>(cut));
    first = first > cut ? first - cut : 1;
  }
  std::vector<int32_t> labels = ids;
  std::fill_n(labels.begin(), first, kIgnored);
  // The last token is only predicted.
  PackedRows rows;
  rows.add(ids, labels);
  rows.batch.ids.pop_back();
  rows.batch.positions.pop_back();
  --rows.batch.lengths.back();
  rows.targets.pop_back();
  return -lm_loss(lm, rows, 1).item();
}

}  // namespace

ChoiceScores choice_scores(const bundle::Bundle& b, const std::filesystem::path& file) {
  const NoGrad no_grad;
  require(b.tokenizer != nullptr && !b.network->seq2seq_lm(), "eval: {} does not predict the next token of a text", b.name);
  ChoiceScores s;
  double right = 0, right_norm = 0, right_bytes = 0;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string prompt = data::text_field(row, "prompt", where);
    const Json &choices = data::field(row, "choices", where), &label = data::field(row, "label", where);
    require(choices.is_array() && choices.size() >= 2, "{}: \"choices\" is {}, expected two texts or more", where, choices.dump().substr(0, 80));
    require(label.is_number_integer() && label.get<int64_t>() >= 0 && label.get<uint64_t>() < choices.size(), "{}: \"label\" is {}, expected 0..{}", where, label.dump(), choices.size() - 1);
    size_t best = 0, best_norm = 0, best_bytes = 0;
    std::vector<double> by_sum, by_character, by_byte;
    for (const Json& choice : choices) {
      require(choice.is_string() && !choice.get_ref<const std::string&>().empty(), "{}: a choice is {}, expected a text", where, choice.dump());
      const auto text = choice.get<std::string>();
      by_sum.push_back(log_likelihood(b, prompt, " " + text, where));
      by_character.push_back(by_sum.back() / static_cast<double>(unicode::count_characters(text)));
      by_byte.push_back(by_sum.back() / static_cast<double>(text.size()));
    }
    for (const auto& [values, at] : {std::pair{&by_sum, &best}, {&by_character, &best_norm}, {&by_byte, &best_bytes}})
      *at = static_cast<size_t>(std::max_element(values->begin(), values->end()) - values->begin());
    const auto wanted = label.get<size_t>();
    ++s.rows;
    right += best == wanted;
    right_norm += best_norm == wanted;
    right_bytes += best_bytes == wanted;
  });
  const auto n = static_cast<double>(s.rows);
  s.acc = right / n;
  s.acc_norm = right_norm / n;
  s.acc_bytes = right_bytes / n;
  return s;
}

}  // namespace mynah::train
