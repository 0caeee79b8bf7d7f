#include "train/evaluate.h"

#include <algorithm>

#include "base/require.h"
#include "data/rows.h"
#include "mynah/autograd.h"
#include "train/lm.h"

namespace mynah::train {

TextLoss text_loss(const bundle::Bundle& b, const std::filesystem::path& file) {
  const NoGrad no_grad;
  const nn::CausalLM& lm = b.causal_lm();
  require(b.tokenizer != nullptr && !b.network->seq2seq_lm(), "eval: {} does not predict the next token of a text", b.path.string());
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

}  // namespace mynah::train
