// mynah plot RUN...: curves of log.jsonl files as a picture.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "data/rows.h"
#include "plot_canvas.h"
#include "subject_options.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct PlotOptions {
  std::vector<std::string> runs;
  std::string output = "plot.svg", metrics;
};

struct Curve {
  std::string run;
  size_t number = 0;  // of the run, which has one color in every panel
  std::vector<std::pair<double, double>> points;  // step, value
};
using Panels = std::vector<std::pair<std::string, std::vector<Curve>>>;  // by metric

constexpr double kWidth = 720, kHeight = 300, kLeft = 70, kRight = 20, kTop = 34, kBottom = 40;
constexpr media::Color kColors[] = {{11, 98, 164}, {196, 65, 45}, {47, 143, 78}, {138, 91, 181}, {181, 133, 43}, {60, 141, 153}}, kInk{0, 0, 0}, kGrid{221, 221, 221};

// A run's name: that of its folder.
std::string run_name(const std::string& run) {
  fs::path path = fs::path(run).lexically_normal();
  if (path.filename() == "log.jsonl" && path.has_parent_path()) path = path.parent_path();
  if (!path.has_filename()) path = path.parent_path();  // OUT/
  return path.filename().string();
}

// Round numbers that divide [low, high] in about five parts.
std::vector<double> ticks(double low, double high) {
  const double rough = (high - low) / 5, power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double m : {2.0, 5.0, 10.0})
    if (step < rough) step = m * power;
  std::vector<double> all;
  for (double t = std::ceil(low / step) * step; t <= high + step * 1e-6; t += step) all.push_back(std::abs(t) < step * 1e-9 ? 0 : t);
  return all;
}

Panels read(const PlotOptions& o) {
  std::vector<std::string> wanted = comma_list(o.metrics);
  if (wanted.empty()) wanted = {"loss", "eval_loss", "reward", "objective/scores", "kl", "objective/kl", "rewards/margins", "rewards/accuracies"};
  std::map<std::string, std::vector<Curve>> found;
  size_t number = 0;
  for (const std::string& run : o.runs) {
    const fs::path path = fs::is_directory(run) ? fs::path(run) / "log.jsonl" : fs::path(run);
    std::map<std::string, Curve> curves;
    data::for_each_row(path, [&](const Json& row, const std::string& where) {
      require(row.contains("step") && row["step"].is_number(), "{}: no \"step\"; expected a log of a training run", where);
      for (const std::string& name : wanted)
        if (row.contains(name) && row[name].is_number()) curves[name].points.emplace_back(row["step"].get<double>(), row[name].get<double>());
    });
    for (auto& [name, curve] : curves) {
      curve.run = run_name(run);
      curve.number = number;
      found[name].push_back(std::move(curve));
    }
    ++number;
  }
  Panels panels;
  for (const std::string& name : wanted)
    if (found.count(name)) panels.emplace_back(name, found[name]);
  require(!panels.empty(), "plot: no row has one of the metrics; name some with --metrics");
  return panels;
}

void panel(Canvas& canvas, const std::string& name, const std::vector<Curve>& curves, double top) {
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
  for (const Curve& c : curves)
    for (const auto& [x, y] : c.points) {
      x0 = std::min(x0, x), x1 = std::max(x1, x);
      y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
  if (x1 <= x0) x0 -= 1, x1 = x0 + 2;
  if (y1 <= y0) y0 -= 0.5, y1 = y0 + 1;
  const auto px = [&](double x) { return kLeft + (x - x0) / (x1 - x0) * (kWidth - kLeft - kRight); };
  const auto py = [&](double y) { return top + kHeight - kBottom - (y - y0) / (y1 - y0) * (kHeight - kTop - kBottom); };
  canvas.text(kLeft, top + 20, Anchor::start, name, kInk, true);
  for (const double t : ticks(y0, y1)) {
    canvas.line({{kLeft, py(t)}, {kWidth - kRight, py(t)}}, 1, kGrid);
    canvas.text(kLeft - 6, py(t) + 4, Anchor::end, fmt::format("{:.4g}", t), kInk);
  }
  for (const double t : ticks(x0, x1)) canvas.text(px(t), top + kHeight - kBottom + 18, Anchor::middle, fmt::format("{:.6g}", t), kInk);
  for (size_t i = 0; i < curves.size(); ++i) {
    const media::Color& color = kColors[curves[i].number % std::size(kColors)];
    std::vector<std::pair<double, double>> points;
    for (const auto& [x, y] : curves[i].points) points.emplace_back(px(x), py(y));
    const bool alone = points.size() == 1;  // one row is a mark
    if (alone) points = {{points[0].first - 3, points[0].second}, {points[0].first + 3, points[0].second}};
    canvas.line(points, alone ? 6 : 1.5, color);
    canvas.text(kWidth - kRight - 4, top + 20 + 15 * static_cast<double>(i), Anchor::end, curves[i].run, color);
  }
}

int run_plot(const PlotOptions& o) {
  const Panels panels = read(o);
  const auto canvas = make_canvas(o.output, kWidth, kHeight * static_cast<double>(panels.size()));
  for (size_t i = 0; i < panels.size(); ++i) panel(*canvas, panels[i].first, panels[i].second, kHeight * static_cast<double>(i));
  canvas->write(o.output);
  size_t curves = 0;
  for (const auto& [name, of_metric] : panels) curves += of_metric.size();
  fmt::print(stderr, "{}: {} {}\n", o.output, curves, curves == 1 ? "curve" : "curves");
  return 0;
}

}  // namespace

void add_plot(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("plot", "Draw the curves of training runs");
  auto o = std::make_shared<PlotOptions>();
  c->add_option("runs", o->runs, "output folders of runs, or log.jsonl files")->required()->type_name("RUN...");
  c->add_option("--output", o->output, "picture to write: .svg, .png or .jpg")->capture_default_str();
  c->add_option("--metrics", o->metrics, "comma list of names in log.jsonl (default: loss, reward, KL ... as they occur)");
  c->callback([o, &action] { action = [o] { return run_plot(*o); }; });
}

}  // namespace mynah::app
