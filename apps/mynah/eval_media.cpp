#include "eval_media.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/require.h"
#include "bundle/bundle.h"
#include "data/rows.h"
#include "media/image.h"
#include "mynah/pipeline.h"
#include "open_model.h"
#include "tasks/picture_results.h"
#include "tasks/registry.h"
#include "tasks/scores.h"
#include "train/detection_metric.h"
#include "train/media_rows.h"
#include "train/tasks.h"
#include "train/text_metrics.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

// Boxes below this score change no score.
constexpr double kLeastScore = 0.001;

nn::HeadKind head_of(const fs::path& model, const LoadOptions& options) { return nn::head_kind(bundle::open(model, options, {.network = false, .tokenizer = false})->config); }

// A label as the model's answers name it.
std::string label_text(const Json& label, const bundle::Bundle& b) { return label.is_number_integer() ? tasks::label_name(b, label.get<int64_t>()) : label.is_string() ? label.get<std::string>() : label.dump(); }

const Json& label_of(const train::MediaRow& row) { return data::field(row.fields, row.fields.contains("label") || !row.fields.contains("labels") ? "label" : "labels", row.where); }

// Rows that were answered right.
struct Hits {
  int64_t rows = 0, right = 0;
  void count(bool hit) {
    ++rows;
    right += hit;
  }
  Json json() const { return {{"accuracy", static_cast<double>(right) / static_cast<double>(rows)}, {"rows", rows}}; }
};

Json accuracy(const train::MediaSource& source, const Pipeline& classify, const bundle::Bundle& b) {
  Hits hits;
  train::for_each_media_row(source, [&](const train::MediaRow& row) {
    const Json best = classify(row.file.string(), {{"top_k", 1}});
    hits.count(best[0]["label"].get<std::string>() == label_text(label_of(row), b));
  });
  return hits.json();
}

// The row's own text among those of all rows.
Json accuracy_of_texts(const train::MediaSource& source, const fs::path& model, const LoadOptions& options) {
  std::set<std::string> all;
  train::for_each_media_row(source, [&](const train::MediaRow& row) { all.insert(data::text_field(row.fields, "text", row.where)); });
  const std::vector<std::string> texts(all.begin(), all.end());
  const auto task = tasks::open_task(tasks::find_task("zero-shot-image-classification"), "zero-shot-image-classification", model, options);
  const nn::NamedTensors read = tasks::zero_shot_texts(*task, texts, {{"hypothesis_template", "{}"}});
  Hits hits;
  train::for_each_media_row(source, [&](const train::MediaRow& row) {
    hits.count(tasks::own_labels_of(*task, media::read_image(row.file), texts, read)[0]["label"] == row.fields["text"]);
  });
  return hits.json();
}

// Whether the rows, as the first of them says, are texts and not sounds.
bool are_texts(const fs::path& file) {
  if (fs::is_directory(file)) return false;
  const Json row = data::first_row(file);
  return !row.contains("audio") && (row.contains("text") || row.contains("sentence"));
}

Json accuracy_of_labels(const fs::path& file, const fs::path& model, const LoadOptions& options) {
  const Pipeline classify = pipeline("text-classification", model.string(), options);
  const auto b = bundle::open(model, {}, {.network = false, .tokenizer = false});
  Json options_of_rows = {{"top_k", 1}, {"truncation", true}};  // as training cuts them
  if (const int64_t most = train::most_tokens(b->config); most > 0) options_of_rows["max_length"] = most;
  Hits hits;
  data::for_each_row(file, [&](const Json& row, const std::string& where) {
    Json input = data::text_field(row, row.contains("sentence") && !row.contains("text") ? "sentence" : "text", where);
    if (row.contains("text_pair")) input = {{"text", input}, {"text_pair", row["text_pair"]}};
    const Json best = classify(input, options_of_rows);
    hits.count(best[0]["label"].get<std::string>() == label_text(data::field(row, "label", where), *b));
  });
  return hits.json();
}

Json map(const train::MediaSource& source, const fs::path& model, const LoadOptions& options) {
  const auto task = tasks::open_task(tasks::find_task("object-detection"), "object-detection", model, options);
  std::map<std::string, int64_t> numbers;
  const auto number = [&](const std::string& label) { return numbers.try_emplace(label, static_cast<int64_t>(numbers.size())).first->second; };
  train::DetectionMetric metric;
  int64_t pictures = 0, objects = 0;
  train::for_each_media_row(source, [&](const train::MediaRow& row) {
    ++pictures;
    std::vector<train::TrueBox> truth;
    for (const train::RowObject& o : train::objects_of(row)) truth.push_back({number(label_text(*o.category, task->bundle())), o.box});
    objects += static_cast<int64_t>(truth.size());
    std::vector<train::FoundBox> found;
    for (const tasks::FoundObject& f : tasks::found_objects(*task, media::read_image(row.file), {{"threshold", kLeastScore}}))
      found.push_back({number(tasks::label_name(task->bundle(), f.label)), static_cast<double>(f.score), f.box});
    metric.add(truth, std::move(found));
  });
  const train::DetectionScores s = metric.scores();
  return {{"map", s.map}, {"map_50", s.map_50}, {"map_75", s.map_75}, {"mar_100", s.mar_100}, {"pictures", pictures}, {"objects", objects}};
}

Json errors_of_transcripts(const train::MediaSource& source, const fs::path& model, const std::string& metric, const LoadOptions& options) {
  const Pipeline hear = pipeline("automatic-speech-recognition", model.string(), options);
  std::vector<train::Prediction> all;
  train::for_each_media_row(source, [&](const train::MediaRow& row) {
    all.push_back({hear(row.file.string())["text"].get<std::string>(), {data::text_field(row.fields, "text", row.where)}});
  });
  Json result = train::text_metric(metric, all);
  result["rows"] = all.size();
  return result;
}

}  // namespace

bool is_media_metric(const std::string& metric) { return metric == "accuracy" || metric == "map" || metric == "wer" || metric == "cer"; }

std::string usual_metric(const std::string& model) {
  const LoadOptions named{.name = model};
  const std::string path = model_path(model);
  return head_of(path, named) == nn::HeadKind::sequence_classification ? "accuracy" : "perplexity";
}

Json media_scores(const std::string& name, const fs::path& file, const std::string& metric, Precision precision) {
  LoadOptions options;
  options.precision = precision;
  options.name = name;
  const fs::path model = model_path(name);
  const nn::HeadKind head = head_of(model, options);
  if (metric == "accuracy" && head == nn::HeadKind::sequence_classification && are_texts(file)) return accuracy_of_labels(file, model, options);
  const bool hears = metric == "wer" || metric == "cer" || (metric == "accuracy" && head == nn::HeadKind::sequence_classification);
  const train::MediaSource rows{file, hears ? "audio" : "image", metric == "accuracy" && !hears};
  train::for_each_media_row(rows, [](const train::MediaRow&) {});  // a row that cannot be used is named before the work begins
  if (metric == "map") return map(rows, model, options);
  if (hears && metric != "accuracy") return errors_of_transcripts(rows, model, metric, options);
  if (!hears && head == nn::HeadKind::bare) return accuracy_of_texts(rows, model, options);
  const Pipeline classify = pipeline(hears ? "audio-classification" : "image-classification", model.string(), options);
  return accuracy(rows, classify, *bundle::open(model, {}, {.network = false, .tokenizer = false}));
}

}  // namespace mynah::app
