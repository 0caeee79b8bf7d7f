// token-classification: named entities, parts of speech. Tokens with their labels, or groups of them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/require.h"
#include "base/unicode.h"
#include "nn/config.h"
#include "tasks/characters.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// How tokens become entities: not at all; runs of one tag; the same after each word got one label: of its first token, of the mean
// of its tokens' scores, or of its surest token.
enum class Strategy { none, simple, first, average, max };

Strategy strategy_of(const Json& options) {
  if (options.contains("grouped_entities") || options.contains("ignore_subwords")) {
    if (!t::boolean(options, "grouped_entities", false)) return Strategy::none;
    return t::boolean(options, "ignore_subwords", false) ? Strategy::first : Strategy::simple;
  }
  std::string name = t::text(options, "aggregation_strategy").value_or("none");
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::string_view kNames[] = {"none", "simple", "first", "average", "max"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Strategy>(i);
  fail(ErrorCode::usage, "token-classification: aggregation_strategy is \"{}\", expected none, simple, first, average or max", name);
}

std::vector<std::string> ignored_labels(const Json& options) {
  const auto it = options.find("ignore_labels");
  if (it == options.end() || it->is_null()) return {"O"};
  if (!it->is_array() || std::any_of(it->begin(), it->end(), [](const Json& v) { return !v.is_string(); }))
    fail(ErrorCode::usage, "token-classification: ignore_labels is {}, expected a JSON list of texts", it->dump());
  return it->get<std::vector<std::string>>();
}

struct TokenScores {
  std::string word;
  std::vector<float> scores;
  int64_t begin, end, index;
  bool continues;  // its word began with an earlier token
};

struct Entity {
  std::string label, word;
  float score;
  int64_t begin, end, index = 0;
};

class Grouping {
 public:
  Grouping(const t::OpenTask& task, Strategy strategy) : task_(task), strategy_(strategy) {}

  // The tokens of a window that belong to the text.
  std::vector<TokenScores> tokens(const Encoding& e, const std::vector<float>& logits, size_t labels, const t::Characters& text, const std::vector<int64_t>& word_starts) const {
    std::vector<TokenScores> out;
    const bool marked = task_.tokenizer().marks_continuations();
    for (size_t i = 0; i < e.ids.size(); ++i) {
      if (e.special_tokens_mask[i]) continue;
      TokenScores token{task_.tokenizer().token_text(e.ids[i]), t::softmax(std::span(logits).subspan(i * labels, labels)), e.offsets[i].first, e.offsets[i].second,
                        static_cast<int64_t>(i), false};
      if (!word_starts.empty() && e.word_ids[i] >= 0) {
        token.begin += word_starts[static_cast<size_t>(e.word_ids[i])];
        token.end += word_starts[static_cast<size_t>(e.word_ids[i])];
      }
      const std::string surface = text.slice(token.begin, token.end);
      if (e.ids[i] == task_.tokenizer().unk_id()) {
        token.word = surface;
      } else if (marked) {
        token.continues = unicode::count_characters(token.word) != unicode::count_characters(surface);
      } else {
        // Other tokenizers do not say where words begin: a space before or at the start does.
        token.continues = token.begin > 0 && text.slice(token.begin - 1, token.begin + 1).find(' ') == std::string::npos;
      }
      out.push_back(std::move(token));
    }
    return out;
  }

  std::vector<Entity> entities(const std::vector<TokenScores>& tokens) const {
    std::vector<Entity> out;
    if (strategy_ == Strategy::none || strategy_ == Strategy::simple) {
      for (const TokenScores& token : tokens) {
        const size_t best = t::argmax(token.scores);
        out.push_back({label(best), token.word, token.scores[best], token.begin, token.end, token.index});
      }
    } else {
      for (size_t begin = 0, end; begin < tokens.size(); begin = end) {
        for (end = begin + 1; end < tokens.size() && tokens[end].continues;) ++end;
        out.push_back(word(std::span(tokens).subspan(begin, end - begin)));
      }
    }
    return strategy_ == Strategy::none ? out : grouped(out);
  }

 private:
  std::string label(size_t index) const { return t::label_name(task_.bundle(), static_cast<int64_t>(index)); }

  Entity word(std::span<const TokenScores> tokens) const {
    std::vector<std::string> words;
    for (const TokenScores& token : tokens) words.push_back(token.word);
    std::vector<float> scores = tokens[0].scores;
    if (strategy_ == Strategy::average) {
      for (size_t k = 0; k < scores.size(); ++k) {
        float sum = 0;
        for (const TokenScores& token : tokens) sum += token.scores[k];
        scores[k] = sum / static_cast<float>(tokens.size());
      }
    } else if (strategy_ == Strategy::max) {
      for (const TokenScores& token : tokens)
        if (token.scores[t::argmax(token.scores)] > scores[t::argmax(scores)]) scores = token.scores;
    }
    const size_t best = t::argmax(scores);
    return {label(best), task_.tokenizer().join_tokens(std::move(words)), scores[best], tokens.front().begin, tokens.back().end};
  }

  static std::string tag(const std::string& label) { return label.starts_with("B-") || label.starts_with("I-") ? label.substr(2) : label; }

  std::vector<Entity> grouped(const std::vector<Entity>& entities) const {
    std::vector<Entity> out;
    for (size_t begin = 0, end; begin < entities.size(); begin = end) {
      std::vector<std::string> words{entities[begin].word};
      float sum = entities[begin].score;
      for (end = begin + 1; end < entities.size(); ++end) {
        const Entity& next = entities[end];
        if (tag(next.label) != tag(entities[end - 1].label) || next.label.starts_with("B-")) break;
        words.push_back(next.word);
        sum += next.score;
      }
      const std::string& first = entities[begin].label;
      const size_t dash = first.find('-');
      out.push_back({dash == std::string::npos ? first : first.substr(dash + 1), task_.tokenizer().join_tokens(std::move(words)), sum / static_cast<float>(end - begin),
                     entities[begin].begin, entities[end - 1].end});
    }
    return out;
  }

  const t::OpenTask& task_;
  Strategy strategy_;
};

// Of entities that overlap because windows do, the longest stays, of equals the surest.
std::vector<Entity> without_overlaps(std::vector<Entity> entities) {
  if (entities.empty()) return entities;
  std::stable_sort(entities.begin(), entities.end(), [](const Entity& a, const Entity& b) { return a.begin < b.begin; });
  std::vector<Entity> out;
  Entity previous = entities[0];
  for (const Entity& entity : entities) {
    if (previous.begin <= entity.begin && entity.begin < previous.end) {
      const int64_t now = entity.end - entity.begin, before = previous.end - previous.begin;
      if (now > before || (now == before && entity.score > previous.score)) previous = entity;
    } else {
      out.push_back(std::move(previous));
      previous = entity;
    }
  }
  out.push_back(std::move(previous));
  return out;
}

Json as_json(const std::vector<Entity>& entities, bool groups) {
  Json out = Json::array();
  for (const Entity& e : entities) {
    if (groups) out.push_back({{"entity_group", e.label}, {"score", e.score}, {"word", e.word}, {"start", e.begin}, {"end", e.end}});
    else out.push_back({{"entity", e.label}, {"score", e.score}, {"index", e.index}, {"word", e.word}, {"start", e.begin}, {"end", e.end}});
  }
  return out;
}

// One input: a text, or words that are joined for display.
struct Source {
  std::string text;
  std::vector<std::string> words;
  std::vector<int64_t> word_starts;  // in characters of `text`
};

Source source_of(const t::OpenTask& task, const Json& input, const Json& options) {
  if (!t::boolean(options, "is_split_into_words", false)) return {t::one_text(task, input), {}, {}};
  if (!input.is_array() || std::any_of(input.begin(), input.end(), [](const Json& v) { return !v.is_string(); }))
    fail(ErrorCode::failure, "token-classification: with is_split_into_words an input is a list of words, got {}", input.dump());
  const std::string delimiter = t::text(options, "delimiter").value_or(" ");
  Source s;
  int64_t at = 0;
  for (const Json& word : input) {
    s.words.push_back(word.get<std::string>());
    s.text += (s.words.size() > 1 ? delimiter : "") + s.words.back();
    s.word_starts.push_back(at);
    at += static_cast<int64_t>(unicode::count_characters(s.words.back()) + unicode::count_characters(delimiter));
  }
  return s;
}

// Tokens of a window: what the tokenizer says, else all that the model has positions for, beyond which the reference fails.
std::optional<int64_t> window_length(const t::OpenTask& task) {
  if (const auto most = task.tokenizer().model_max_length()) return most;
  if (!task.bundle().entry->text.positions_from_zero) return std::nullopt;
  return nn::config_int(task.bundle().config, "max_position_embeddings", 512, 1);
}

EncodeOptions window_options(const t::OpenTask& task, const Json& options, Strategy strategy) {
  EncodeOptions out;
  if (const auto most = window_length(task)) {
    out.truncation = Truncation::longest_first;
    out.max_length = most;
  }
  if (t::has(options, "stride")) {
    out.stride = t::integer(options, "stride", 0, 0);
    if (out.stride >= out.max_length.value_or(INT64_MAX))
      fail(ErrorCode::usage, "token-classification: stride is {}, expected less than the {} tokens of a window", out.stride, *out.max_length);
    if (strategy == Strategy::none)
      fail(ErrorCode::usage, "token-classification: stride goes with an aggregation_strategy other than none");
  }
  return out;
}

std::vector<Json> run_token_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const Strategy strategy = strategy_of(options);
  const std::vector<std::string> ignored = ignored_labels(options);
  EncodeOptions cut = window_options(task, options, strategy);
  const bool all_windows = t::has(options, "stride");
  std::vector<Source> sources;
  std::vector<Encoding> windows;
  std::vector<size_t> first_window;  // of each input
  for (const Json& input : inputs) {
    sources.push_back(source_of(task, input, options));
    const Source& s = sources.back();
    cut.overflow = all_windows;
    std::vector<Encoding> all = s.word_starts.empty() ? task.tokenizer().encode_windows(s.text, cut) : task.tokenizer().encode_words(s.words, cut);
    if (!all_windows && s.word_starts.empty()) t::warn_if_cut(task, all[0], {s.text, std::nullopt}, cut.max_length, "; a stride with an aggregation strategy reads all of it");
    first_window.push_back(windows.size());
    std::move(all.begin(), all.end(), std::back_inserter(windows));
  }
  first_window.push_back(windows.size());
  std::vector<std::vector<float>> logits(windows.size());
  size_t labels = 0;
  t::forward_encodings(task, windows, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    labels = static_cast<size_t>(outputs.at("logits").size(2));
    logits[row] = t::row_values(outputs.at("logits"), place, static_cast<int64_t>(windows[row].ids.size()));
  });
  const Grouping grouping(task, strategy);
  std::vector<Json> results;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const t::Characters text(sources[i].text);
    std::vector<Entity> entities;
    for (size_t w = first_window[i]; w < first_window[i + 1]; ++w)
      for (Entity& entity : grouping.entities(grouping.tokens(windows[w], logits[w], labels, text, sources[i].word_starts)))
        if (std::find(ignored.begin(), ignored.end(), entity.label) == ignored.end()) entities.push_back(std::move(entity));
    if (first_window[i + 1] - first_window[i] > 1) entities = without_overlaps(std::move(entities));
    results.push_back(as_json(entities, strategy != Strategy::none));
  }
  return results;
}

bool is_words(const Json& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); });
}

// With is_split_into_words one list of words is one input; the reference answers with a list of one.
std::vector<Json> token_classification_listed(const Json& given, const Json& options, bool* one) {
  const bool words = t::boolean(options, "is_split_into_words", false) && is_words(given);
  *one = !given.is_array();
  return given.is_array() && !words ? given.get<std::vector<Json>>() : std::vector<Json>{given};
}

std::string show_token_classification(const Json& input, const Json& result, const t::Style& style) {
  std::string text;
  if (input.is_string()) text = input.get<std::string>();
  else
    for (const Json& word : input) text += (text.empty() ? "" : " ") + word.get<std::string>();
  std::vector<t::Span> spans;
  for (const Json& e : result) spans.push_back({e["start"].get<int64_t>(), e["end"].get<int64_t>(), e.contains("entity") ? e["entity"] : e["entity_group"]});
  std::string out = t::marked_text(text, spans, style) + "\n";
  for (const Json& e : result)
    out += fmt::format("{:>9.4f}  {:<12} {}\n", e["score"].get<double>(), (e.contains("entity") ? e["entity"] : e["entity_group"]).get<std::string>(), e["word"].get<std::string>());
  return out;
}

}  // namespace

extern const TaskEntry task_token_classification{
    .name = "token-classification",
    .aliases = {"ner"},
    .help = "names, places and other things in a text",
    .input = "TEXT",
    .reads_json = is_words,
    .heads = {nn::HeadKind::token_classification},
    .options = {{"aggregation_strategy", t::OptionType::text, "none, simple, first, average or max: how tokens are joined (none)"},
                {"ignore_labels", t::OptionType::json, "JSON list of labels that are left out ([\"O\"])"},
                {"stride", t::OptionType::integer, "read all of a long text, in windows that share so many tokens"},
                {"is_split_into_words", t::OptionType::boolean, "an input is a JSON list of words"},
                {"delimiter", t::OptionType::text, "stands between such words (a space)"},
                {"grouped_entities", t::OptionType::boolean, "old name of --aggregation-strategy simple"},
                {"ignore_subwords", t::OptionType::boolean, "old: with --grouped-entities, --aggregation-strategy first"}},
    .default_model = "rampart",
    .suggestion = "good ones to pull: dslim/bert-base-NER, dbmdz/bert-large-cased-finetuned-conll03-english",
    .run = run_token_classification,
    .inputs = token_classification_listed,
    .show = show_token_classification};

}  // namespace mynah
