// mynah eval: metrics of predicted texts, how well a model predicts text, and how well one sees or hears.
#include <fmt/core.h>

#include <cmath>
#include <numbers>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "data/rows.h"
#include "eval_media.h"
#include "open_model.h"
#include "train/evaluate.h"
#include "train/text_metrics.h"

namespace mynah::app {
namespace {

struct EvalOptions {
  std::string model, file, predictions, metric;
  Precision precision = Precision::automatic;
  bool json = false;
};

std::string as_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::vector<train::Prediction> read_predictions(const std::string& path) {
  std::vector<train::Prediction> all;
  data::for_each_row(path, [&](const Json& row, const std::string& where) {
    train::Prediction p{as_text(data::field(row, "prediction", where)), {}};
    const Json& references = data::field(row, row.contains("references") ? "references" : "reference", where);
    if (references.is_array())
      for (const Json& r : references) p.references.push_back(as_text(r));
    else p.references.push_back(as_text(references));
    if (const auto c = row.find("confidence"); c != row.end()) {
      require(c->is_number(), "{}: \"confidence\" is {}, expected a number", where, c->dump());
      p.confidence = c->get<double>();
    }
    require(!p.references.empty(), "{}: references is empty, expected at least one", where);
    all.push_back(std::move(p));
  });
  return all;
}

int show(const EvalOptions& o, const Json& result) {
  if (o.json) {
    print_json(result);
    return 0;
  }
  for (const auto& [name, value] : result.items()) print_text(fmt::format("{}: {}\n", name, value.is_number_float() ? fmt::format("{:.6g}", value.get<double>()) : value.dump()));
  return 0;
}

int run_eval(const EvalOptions& o) {
  Json result;
  if (!o.predictions.empty()) {
    result = train::text_metric(o.metric.empty() ? "accuracy" : o.metric, read_predictions(o.predictions));
  } else {
    if (o.model.empty() || o.file.empty()) fail(ErrorCode::usage, "eval: MODEL and --file FILE, or --predictions FILE, are needed");
    const std::string metric = o.metric.empty() ? usual_metric(o.model) : o.metric;
    if (is_media_metric(metric)) return show(o, media_scores(o.model, o.file, metric, o.precision));
    if (metric != "perplexity" && metric != "bpb" && metric != "choices")
      fail(ErrorCode::usage, "--metric: \"{}\", of a model expected perplexity, bpb, choices, accuracy, map, wer or cer", metric);
    const Model model = open_model(o.model, o.precision);
    if (metric == "choices") {
      const train::ChoiceScores s = train::choice_scores(model.bundle(), o.file);
      return show(o, {{"acc", s.acc}, {"acc_norm", s.acc_norm}, {"acc_bytes", s.acc_bytes}, {"rows", s.rows}});
    }
    const train::TextLoss loss = train::text_loss(model.bundle(), o.file);
    const double mean = loss.nats / static_cast<double>(loss.tokens);
    if (metric == "perplexity") result = {{"perplexity", std::exp(mean)}, {"loss", mean}, {"tokens", loss.tokens}};
    else result = {{"bpb", loss.nats / std::numbers::ln2 / static_cast<double>(loss.bytes)}, {"bytes", loss.bytes}};
  }
  return show(o, result);
}

}  // namespace

void add_eval(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("eval", "Score predictions, or how well a model predicts text, sees or hears");
  auto o = std::make_shared<EvalOptions>();
  c->add_option("model", o->model, "folder, .gguf file or name")->type_name("MODEL");
  c->add_option("--file", o->file, "rows with text for MODEL, or with pictures or sounds; of pictures also a folder with one for each label")->type_name("FILE");
  c->add_option("--predictions", o->predictions, "rows {\"prediction\": .., \"references\": [..]}")->type_name("FILE");
  c->add_option("--metric", o->metric, "exact_match, f1, rouge, bleu, chrf, wer, cer, accuracy, classification, calibration; of MODEL: perplexity, bpb, choices; accuracy (labels of texts, pictures and sounds), map (boxes), wer and cer");
  add_dtype_option(*c, o->precision);
  c->add_flag("--json", o->json, "print one JSON object");
  c->callback([o, &action] { action = [o] { return run_eval(*o); }; });
}

}  // namespace mynah::app
