#include "train/tasks.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/require.h"
#include "base/unicode.h"
#include "data/rows.h"
#include "nn/config.h"
#include "nn/head_kind.h"
#include "train/class_labels.h"
#include "train/features.h"
#include "train/sentence_pairs.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

const Json& labels_of(Task task, const Json& row, const std::string& where) {
  if (task == Task::sequence_classification) return data::field(row, row.contains("label") || !row.contains("labels") ? "label" : "labels", where);
  for (const char* name : {"ner_tags", "tags", "labels"})
    if (row.contains(name)) return row[name];
  return data::field(row, "ner_tags", where);
}

// Of a text that is a number with a fraction, as tables have them.
std::optional<double> as_number(const Json& v) {
  if (!v.is_string()) return std::nullopt;
  const Json number = Json::parse(v.get<std::string>(), nullptr, false);
  return number.is_number() ? std::optional(number.get<double>()) : std::nullopt;
}

struct Reader {
  const bundle::Bundle& b;
  TaskOptions o;
  std::vector<std::string> names;
  EncodeOptions encode;

  Reader(const bundle::Bundle& bundle, const TaskOptions& options) : b(bundle), o(options) {
    require(b.tokenizer != nullptr, "{}: no tokenizer; rows of text need one", b.name);
    const int64_t usable = most_tokens(b.config);
    if (usable > 0 && !b.network->seq2seq_lm()) o.max_length = std::min(o.max_length, usable);
    if (const auto limit = b.tokenizer->model_max_length()) o.max_length = std::min(o.max_length, *limit);
    names = class_names(b.config);
    encode.truncation = Truncation::longest_first;
    encode.max_length = o.max_length;
  }

  Feature base(const Encoding& e, const std::string& where) const {
    Feature f;
    f.ids = e.ids;
    f.type_ids = e.type_ids;
    f.where = where;
    require(!f.ids.empty(), "{}: the text has no tokens", where);
    return f;
  }
};

void read_sequences(const Reader& r, const fs::path& file, RowSink<Feature>* all) {
  const std::string type = nn::config_string(r.b.config, "problem_type", "");
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string text = data::text_field(row, row.contains("sentence") && !row.contains("text") ? "sentence" : "text", where);
    const Encoding e = row.contains("text_pair") ? r.b.tokenizer->encode_windows(text, data::text_field(row, "text_pair", where), r.encode)[0]
                                                 : r.b.tokenizer->encode_windows(text, r.encode)[0];
    Feature f = r.base(e, where);
    const Json& label = labels_of(Task::sequence_classification, row, where);
    if (type == "regression" || (type.empty() && r.names.size() == 1)) {
      all->note(0) = static_cast<int64_t>(LabelKind::numbers);
      const Json number = label.is_string() ? Json::parse(label.get<std::string>(), nullptr, false) : label;
      require(number.is_number(), "{}: label {}, expected a number", where, label.dump());
      f.numbers = {number.get<float>()};
    } else if (label.is_array()) {
      all->note(0) = static_cast<int64_t>(LabelKind::numbers);
      require(label.size() == r.names.size(), "{}: {} labels, expected {}", where, label.size(), r.names.size());
      for (const Json& v : label) {
        require(v.is_number() || v.is_boolean(), "{}: label {}, expected numbers", where, label.dump());
        f.numbers.push_back(v.is_boolean() ? static_cast<float>(v.get<bool>()) : v.get<float>());
      }
    } else {
      all->note(0) = static_cast<int64_t>(LabelKind::one);
      f.labels = {class_of(label, r.names, where)};
    }
    all->add(std::move(f));
  });
}

// The first token of a word carries its label, the others count nowhere.
void read_tokens(const Reader& r, const fs::path& file, RowSink<Feature>* all) {
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const Json &words = data::field(row, "tokens", where), &tags = labels_of(Task::token_classification, row, where);
    require(words.is_array() && tags.is_array(), "{}: expected lists of tokens and labels", where);
    require(words.size() == tags.size(), "{}: {} tokens, {} labels", where, words.size(), tags.size());
    std::vector<std::string> texts;
    for (const Json& w : words) {
      require(w.is_string(), "{}: a token is {}, expected a string", where, w.dump());
      texts.push_back(w.get<std::string>());
    }
    const Encoding e = r.b.tokenizer->encode_words(texts, r.encode)[0];
    Feature f = r.base(e, where);
    for (size_t i = 0; i < e.ids.size(); ++i) {
      const int32_t word = e.word_ids[i];
      const bool first = word >= 0 && (i == 0 || e.word_ids[i - 1] != word);
      f.labels.push_back(first ? class_of(tags[static_cast<size_t>(word)], r.names, where) : -100);
    }
    all->add(std::move(f));
  });
}

// Those from character `from` to character `to`.
std::string characters(std::string_view text, int64_t from, int64_t to) {
  int64_t at = -1;
  std::string part;
  for (const char c : text) {
    at += !unicode::is_continuation(c);
    if (at >= from && at < to) part += c;
  }
  return part;
}

// Long contexts give several windows; one without the answer points at its classifier's token. Models that pad on the left read the context first.
void read_questions(Reader r, const fs::path& file, RowSink<Feature>* all) {
  const bool question_first = r.b.tokenizer->padding_side() != "left";
  const int32_t of_context = question_first ? 1 : 0;
  r.encode.truncation = question_first ? Truncation::only_second : Truncation::only_first;
  r.encode.stride = std::min(r.o.doc_stride, r.o.max_length / 2);
  bool said = false;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string question = data::text_field(row, "question", where), context = data::text_field(row, "context", where);
    const Json& answers = data::field(row, "answers", where);
    require(answers.is_object() && answers.contains("text") && answers.contains("answer_start") && answers["text"].is_array() &&
                answers["answer_start"].is_array() && answers["text"].size() == answers["answer_start"].size(),
            "{}: answers, expected {{\"text\": [..], \"answer_start\": [..]}}", where);
    int64_t from = -1, to = -1;
    if (!answers["text"].empty()) {
      require(answers["text"][0].is_string() && answers["answer_start"][0].is_number_integer(), "{}: an answer needs a text and a whole number", where);
      from = answers["answer_start"][0].get<int64_t>();
      to = from + static_cast<int64_t>(unicode::count_characters(answers["text"][0].get<std::string>()));
      const std::string answer = answers["text"][0].get<std::string>();
      require(from >= 0 && to <= static_cast<int64_t>(unicode::count_characters(context)), "{}: the answer stands at {}..{}, outside the context", where, from, to);
      if (const std::string there = characters(context, from, to); there != answer && !std::exchange(said, true))
        warn("{}: the context has \"{}\" at {}, and the answer is \"{}\"; what stands in the context is learnt, there and in other such rows", where, there, from, answer);
    }
    for (const Encoding& e : r.b.tokenizer->encode_windows(question_first ? question : context, question_first ? context : question, r.encode)) {
      Feature f = r.base(e, where);
      const auto cls = std::find(e.ids.begin(), e.ids.end(), r.b.tokenizer->cls_id().value_or(-1));
      f.start = f.end = f.cls = cls == e.ids.end() ? 0 : static_cast<int32_t>(cls - e.ids.begin());
      for (const int32_t sequence : e.sequence_ids) f.context.push_back(sequence == of_context);
      const auto size = static_cast<int32_t>(e.ids.size());
      int32_t first = 0, last = size - 1;
      while (first < size && !f.context[static_cast<size_t>(first)]) ++first;
      while (last >= 0 && !f.context[static_cast<size_t>(last)]) --last;
      if (from >= 0 && first <= last && e.offsets[static_cast<size_t>(first)].first <= from && e.offsets[static_cast<size_t>(last)].second >= to) {
        const int32_t end = last;
        while (first <= end && e.offsets[static_cast<size_t>(first)].first <= from) ++first;
        f.start = first - 1;
        while (last >= 0 && e.offsets[static_cast<size_t>(last)].second >= to) --last;
        f.end = last + 1;
      }
      all->add(std::move(f));
    }
  });
}

void read_transforms(const Reader& r, const fs::path& file, RowSink<Feature>* all) {
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    const std::string prompt = data::text_field(row, "prompt", where), completion = data::text_field(row, "completion", where);
    require(!completion.empty(), "{}: the completion is empty", where);
    Feature f = r.base(r.b.tokenizer->encode_windows(prompt, r.encode)[0], where);
    f.type_ids.clear();
    f.labels = r.b.tokenizer->encode_windows(completion, r.encode)[0].ids;
    // Without an end nobody learns to stop; most tokenizers of such models write it themselves.
    if (const auto eos = r.b.tokenizer->eos_id(); eos && (f.labels.empty() || f.labels.back() != *eos)) {
      if (static_cast<int64_t>(f.labels.size()) >= r.o.max_length) f.labels.pop_back();
      f.labels.push_back(*eos);
    }
    all->add(std::move(f));
  });
}

}  // namespace

int64_t most_tokens(const Json& config) {
  const int64_t positions = nn::config_int(config, "max_position_embeddings", nn::config_int(config, "n_positions", 0, 0), 0);
  // RoBERTa and its relatives begin to count after the padding id.
  return positions > 0 && nn::config_string(config, "model_type", "").find("roberta") != std::string::npos ? positions - 2 : positions;
}

Task find_task(const std::string& name, const fs::path& model) {
  static const std::map<std::string, Task> names = {{"text-generation", Task::language_model},
                                                    {"sft", Task::language_model},
                                                    {"causal-lm", Task::language_model},
                                                    {"sequence-classification", Task::sequence_classification},
                                                    {"text-classification", Task::sequence_classification},
                                                    {"sentiment-analysis", Task::sequence_classification},
                                                    {"token-classification", Task::token_classification},
                                                    {"ner", Task::token_classification},
                                                    {"question-answering", Task::question_answering},
                                                    {"seq2seq", Task::seq2seq},
                                                    {"text2text-generation", Task::seq2seq},
                                                    {"summarization", Task::seq2seq},
                                                    {"translation", Task::seq2seq},
                                                    {"sentence-similarity", Task::sentence_similarity},
                                                    {"sentence-embedding", Task::sentence_similarity},
                                                    {"feature-extraction", Task::sentence_similarity}};
  if (!name.empty()) {
    const auto it = names.find(name);
    if (it != names.end()) return it->second;
    std::vector<std::string> known;
    for (const auto& [key, task] : names) known.push_back(key);
    for (const char* media : {"image-classification", "object-detection", "audio-classification", "automatic-speech-recognition", "contrastive"}) known.push_back(media);
    fail(ErrorCode::usage, "--task: \"{}\", expected one of {}", name, fmt::join(known, ", "));
  }
  const auto b = bundle::open(model, {}, {.network = false, .tokenizer = false});
  Json config = b->config;
  if (!config.contains("architectures")) config["architectures"] = {b->architecture()};
  switch (nn::head_kind(config)) {
    case nn::HeadKind::sequence_classification: return Task::sequence_classification;
    case nn::HeadKind::token_classification: return Task::token_classification;
    case nn::HeadKind::question_answering:
    case nn::HeadKind::question_answering_beams: return Task::question_answering;
    case nn::HeadKind::seq2seq_lm: return Task::seq2seq;
    case nn::HeadKind::causal_lm: return Task::language_model;
    case nn::HeadKind::bare:
      if (fs::is_directory(model) && fs::exists(model / "modules.json")) return Task::sentence_similarity;
      [[fallthrough]];
    default: fail(ErrorCode::usage, "finetune: {} has no head for a task; say which with --task", b->architecture());
  }
}

Labels find_labels(Task task, const fs::path& model, const fs::path& train_file) {
  Labels out;
  if (task != Task::sequence_classification && task != Task::token_classification) return out;
  std::set<std::string> texts, names_of_fractions;
  int64_t largest = -1;
  size_t several = 0;
  bool numbers = false, fractions = false;
  const auto see = [&](const Json& label, const std::string& where) {
    if (const auto number = as_integer(label)) {
      require(*number >= 0, "{}: label {}, expected 0 or more", where, *number);
      largest = std::max(largest, *number);
      numbers = true;
    } else if (label.is_number()) {
      fractions = true;
    } else if (as_number(label)) {  // of a table, whose fields are all texts
      fractions = true;
      names_of_fractions.insert(label.get<std::string>());
    } else {
      require(label.is_string(), "{}: label {}, expected a number or a name", where, label.dump());
      texts.insert(label.get<std::string>());
    }
  };
  data::for_each_row(train_file, [&](const Json& row, const std::string& where) {
    const Json& label = labels_of(task, row, where);
    if (task == Task::sequence_classification && label.is_array()) {
      require(std::all_of(label.begin(), label.end(), [](const Json& v) { return v.is_number() || v.is_boolean(); }),
              "{}: labels {}, expected a number for each label of the model: 1 where it holds, else 0", where, label.dump());
      require(several == 0 || several == label.size(), "{}: {} labels, the rows before have {}; expected a number for each label of the model", where, label.size(), several);
      several = label.size();
      return;
    }
    if (label.is_array())
      for (const Json& one : label) see(one, where);
    else see(label, where);
  });
  // Names among which some look like numbers are names.
  if (!texts.empty() && !names_of_fractions.empty()) {
    texts.merge(names_of_fractions);
    fractions = false;
  }
  require((several > 0) + (fractions && texts.empty()) + (!fractions && numbers) + !texts.empty() <= 1 || (numbers && fractions && texts.empty()),
          "{}: labels of several kinds; use numbers or names, not both", train_file.string());

  const auto b = bundle::open(model, {}, {.network = false, .tokenizer = false});
  Json config = b->config;
  if (!config.contains("architectures")) config["architectures"] = {b->architecture()};
  const nn::HeadKind wanted = task == Task::token_classification ? nn::HeadKind::token_classification : nn::HeadKind::sequence_classification;
  const bool has_head = nn::head_kind(config) == wanted;
  const std::vector<std::string> own = class_names(config);
  if (fractions) {
    out.problem_type = "regression";
    if (!has_head || own.size() != 1) out.names = {"LABEL_0"};
    return out;
  }
  if (several > 0) {
    out.problem_type = "multi_label_classification";
    if (has_head && own.size() == several) return out;
    for (size_t i = 0; i < several; ++i) out.names.push_back("LABEL_" + std::to_string(i));
    return out;
  }
  require(has_head || texts.size() != 1 || numbers, "{}: every row has the label \"{}\"; a classifier needs two or more", train_file.string(), texts.empty() ? "" : *texts.begin());
  require(has_head || !texts.empty() || largest > 0, "{}: every row has the label 0; a classifier needs two or more", train_file.string());
  if (has_head) return out;  // rows that do not fit it are refused when they are read
  if (!texts.empty()) out.names.assign(texts.begin(), texts.end());
  else
    for (int64_t i = 0; i <= largest; ++i) out.names.push_back("LABEL_" + std::to_string(i));
  return out;
}

std::unique_ptr<Objective> make_task(Task task, const Arguments& a, const TaskOptions& options, const bundle::Bundle& b, const fs::path& train_file,
                                     const fs::path& validation_file) {
  if (task == Task::seq2seq && !b.network->seq2seq_lm()) fail(ErrorCode::usage, "--task seq2seq: {} is not an encoder-decoder", b.architecture());
  const Reader reader(b, options);
  if (task == Task::sentence_similarity) return make_sentence_pairs(a, reader.o.max_length, b, train_file, validation_file);
  const std::string how = fmt::format("task {} {} {} {} {}", static_cast<int>(task), reader.o.max_length, options.doc_stride, nn::config_string(b.config, "problem_type", ""),
                                      Json(reader.names).dump());
  const auto read = [&](const fs::path& file) {
    return keep_rows<Feature>(a, b, file, how, [&](RowSink<Feature>& all) {
      switch (task) {
        case Task::sequence_classification: return read_sequences(reader, file, &all);
        case Task::token_classification: return read_tokens(reader, file, &all);
        case Task::question_answering: return read_questions(reader, file, &all);
        default: return read_transforms(reader, file, &all);
      }
    });
  };
  RowFile<Feature> train = read(train_file), held_out = read(validation_file);
  const LabelKind kind = [&] {
    switch (task) {
      case Task::sequence_classification: return static_cast<LabelKind>(train.note(0));
      case Task::token_classification: return LabelKind::per_token;
      case Task::question_answering: return LabelKind::span;
      default: return LabelKind::sequence;
    }
  }();
  return make_features(a, b, kind, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
