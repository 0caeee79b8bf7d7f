#include "train/class_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/require.h"

namespace mynah::train {
namespace {

struct ClassCounts {
  double predicted = 0, real = 0, right = 0;
  double precision() const { return predicted > 0 ? right / predicted : 0; }
  double recall() const { return real > 0 ? right / real : 0; }
  double f1() const { return predicted + real > 0 ? 2 * right / (predicted + real) : 0; }
};

struct CalibrationBin {
  double confidence = 0, right = 0, rows = 0;  // sums
};

}  // namespace

Json classification_metrics(const std::vector<Prediction>& all) {
  std::map<std::string, ClassCounts> classes;
  double right = 0;
  const auto rows = static_cast<double>(all.size());
  for (const Prediction& p : all) {
    const bool same = p.text == p.references[0];
    ++classes[p.text].predicted;
    ++classes[p.references[0]].real;
    classes[p.text].right += same;
    right += same;
  }
  double precision = 0, recall = 0, f1 = 0, weighted = 0, chance = 0, predicted_squares = 0, real_squares = 0;
  for (const auto& [name, c] : classes) {
    precision += c.precision();
    recall += c.recall();
    f1 += c.f1();
    weighted += c.f1() * c.real / rows;
    chance += c.predicted * c.real;
    predicted_squares += c.predicted * c.predicted;
    real_squares += c.real * c.real;
  }
  const auto count = static_cast<double>(classes.size());
  const double spread = (rows * rows - predicted_squares) * (rows * rows - real_squares);
  return {{"accuracy", right / rows},
          {"precision_macro", precision / count},
          {"recall_macro", recall / count},
          {"f1_macro", f1 / count},
          {"f1_weighted", weighted},
          {"matthews_correlation", spread > 0 ? (right * rows - chance) / std::sqrt(spread) : 0.0}};
}

Json calibration_metrics(const std::vector<Prediction>& all) {
  constexpr int kBins = 10;
  CalibrationBin bins[kBins];
  double brier = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Prediction& p = all[i];
    require(p.confidence.has_value(), "eval: row {} has no \"confidence\"; calibration needs one for each prediction", i + 1);
    require(*p.confidence >= 0 && *p.confidence <= 1, "eval: row {} has confidence {}, expected 0 to 1", i + 1, *p.confidence);
    int bin = 0;  // its upper edge belongs to a bin
    while (bin + 1 < kBins && *p.confidence > static_cast<double>(bin + 1) / kBins) ++bin;
    const double right = p.text == p.references[0] ? 1 : 0;
    bins[bin].confidence += *p.confidence;
    bins[bin].right += right;
    ++bins[bin].rows;
    brier += (*p.confidence - right) * (*p.confidence - right);
  }
  double ece = 0, mce = 0;
  Json table = Json::array();
  for (const CalibrationBin& b : bins) {
    if (b.rows == 0) continue;
    const double gap = std::abs(b.confidence - b.right) / b.rows;
    ece += gap * b.rows / static_cast<double>(all.size());
    mce = std::max(mce, gap);
    table.push_back({{"confidence", b.confidence / b.rows}, {"accuracy", b.right / b.rows}, {"rows", static_cast<int64_t>(b.rows)}});
  }
  return {{"ece", ece}, {"mce", mce}, {"brier", brier / static_cast<double>(all.size())}, {"bins", table}};
}

}  // namespace mynah::train
