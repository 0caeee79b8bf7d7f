// fill-mask: the likeliest tokens at the mask tokens of a text.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/require.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// The ids that are asked for, ascending; a target that is no token stands for its first one.
std::vector<int32_t> target_ids(const t::OpenTask& task, const Json& options) {
  std::set<int32_t> ids;
  const std::vector<std::string> targets = t::texts(options, "targets");
  for (const std::string& target : targets) {
    std::optional<int32_t> id = task.tokenizer().token_id(target);
    if (!id) {
      const std::vector<int32_t> tokens = task.tokenizer().encode_ids(target, false);
      if (tokens.empty()) {
        warn("fill-mask: \"{}\" has no tokens and is left out", target);
        continue;
      }
      id = tokens[0];
      warn("fill-mask: \"{}\" is not a token of the vocabulary; \"{}\" is taken for it", target, task.tokenizer().token_text(*id));
    }
    ids.insert(*id);
  }
  if (t::has(options, "targets") && ids.empty()) fail(ErrorCode::usage, "fill-mask: targets names no token");
  return {ids.begin(), ids.end()};
}

class Filling {
 public:
  Filling(const t::OpenTask& task, const Json& options)
      : tokenizer_(task.tokenizer()), targets_(target_ids(task, options)), top_k_(static_cast<size_t>(t::integer(options, "top_k", 5, 1))) {}

  // The proposals for the mask at `place`, whose logits are given; `alone`: it is the text's only mask.
  Json proposals(const std::vector<int32_t>& ids, size_t place, std::span<const float> logits, bool alone) const {
    std::vector<float> scores = t::softmax(logits);
    if (!targets_.empty()) {
      std::vector<float> some;
      for (const int32_t id : targets_) some.push_back(scores[static_cast<size_t>(id)]);
      scores = std::move(some);
    }
    Json rows = Json::array();
    for (const size_t i : t::largest(scores, top_k_)) {
      const int32_t id = targets_.empty() ? static_cast<int32_t>(i) : targets_[i];
      std::vector<int32_t> tokens = ids;
      tokens[place] = id;
      std::erase_if(tokens, [&](int32_t token) { return token == tokenizer_.pad_id(); });
      // With several masks the others stay in the text.
      rows.push_back({{"score", scores[i]}, {"token", id}, {"token_str", tokenizer_.decode(std::vector<int32_t>{id}, false)}, {"sequence", tokenizer_.decode(tokens, alone)}});
    }
    return rows;
  }

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> targets_;
  size_t top_k_;
};

std::vector<size_t> masks(const Encoding& e, int32_t mask) {
  std::vector<size_t> places;
  for (size_t i = 0; i < e.ids.size(); ++i)
    if (e.ids[i] == mask) places.push_back(i);
  return places;
}

std::vector<Json> run_fill_mask(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const auto mask = task.tokenizer().mask_id();
  require(mask.has_value(), "fill-mask: the tokenizer of {} has no mask token", task.bundle().name);
  const Filling filling(task, options);
  const auto kwargs = options.find("tokenizer_kwargs");
  const EncodeOptions cut = t::encode_options(kwargs != options.end() && kwargs->is_object() ? *kwargs : Json::object());
  std::vector<Encoding> encodings;
  for (const Json& input : inputs) {
    encodings.push_back(t::encode(task, {t::one_text(task, input), std::nullopt}, cut));
    require(!masks(encodings.back(), *mask).empty(), "fill-mask: an input has no {}; put it where a word is missing", task.tokenizer().token_text(*mask));
  }
  std::vector<Json> results(inputs.size());
  constexpr int64_t kTokens = 1024;  // every one of them has a score for each word of the vocabulary
  const auto take = [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    const Tensor& logits = outputs.at("logits");
    const std::vector<int32_t>& ids = encodings[row].ids;
    const std::vector<size_t> places = masks(encodings[row], *mask);
    results[row] = Json::array();
    for (const size_t at : places) {
      const std::vector<float> scores = logits.as_strided({logits.size(2)}, {logits.stride(2)}, place * logits.stride(0) + static_cast<int64_t>(at) * logits.stride(1)).to_vector();
      Json rows = filling.proposals(ids, at, scores, places.size() == 1);
      if (places.size() == 1) results[row] = std::move(rows);
      else results[row].push_back(std::move(rows));
    }
  };
  t::forward_encodings(task, encodings, take, kTokens);
  return results;
}

// A list of one text is answered as that text, as the reference does.
Json fill_mask_answer(std::vector<Json> results, const Json&, bool, const Json&) { return results.size() == 1 ? std::move(results[0]) : Json(std::move(results)); }

std::string show_fill_mask(const Json& input, const Json& result, const t::Style& style) {
  std::string out = t::emphasised(input.get<std::string>(), style) + "\n";
  const bool several = result[0].is_array();
  for (const Json& rows : several ? result : Json::array({result})) {
    std::vector<t::ScoreRow> table;
    for (const Json& row : rows) table.push_back({row["score"].get<double>(), several ? row["token_str"] : row["sequence"]});
    out += t::score_table(table, style) + (several ? "\n" : "");
  }
  return out;
}

}  // namespace

extern const TaskEntry task_fill_mask{
    .name = "fill-mask",
    .help = "what a masked word may be",
    .input = "TEXT",
    .heads = {nn::HeadKind::masked_lm},
    .options = {{"top_k", t::OptionType::integer, "so many proposals for each mask (5)"},
                {"targets", t::OptionType::names, "only these words"},
                {"tokenizer_kwargs", t::OptionType::json, "arguments of the tokenizer: {\"truncation\": true}"}},
    .suggestion = "good ones to pull: distilbert/distilroberta-base, google-bert/bert-base-uncased",
    .run = run_fill_mask,
    .answer = fill_mask_answer,
    .show = show_fill_mask};

}  // namespace mynah
