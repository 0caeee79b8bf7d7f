// Metrics of texts and classes beside those of sacrebleu, rouge-score, jiwer and scikit-learn (tools/golden/metrics.py).
#include "train/text_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "mynah/error.h"
#include "train/class_metrics.h"

namespace mynah::train {
namespace {

std::vector<Prediction> predictions(const Json& rows) {
  std::vector<Prediction> all;
  for (const Json& row : rows) {
    Prediction p{row.at("prediction").get<std::string>(), {}};
    for (const Json& r : row.at("references")) p.references.push_back(r.get<std::string>());
    if (row.contains("confidence")) p.confidence = row["confidence"].get<double>();
    all.push_back(std::move(p));
  }
  return all;
}

void expect_same(const Json& ours, const Json& expected, const std::string& where) {
  for (const auto& [name, value] : ours.items()) {
    if (!value.is_number()) continue;
    const double e = expected.at(name).get<double>();
    EXPECT_NEAR(value.get<double>(), e, 1e-9 * std::max(1.0, std::abs(e))) << where << ": " << name;
  }
}

TEST(TextMetrics, AreThoseOfThePackages) {
  const Json cases = read_json_file(std::filesystem::path(MYNAH_TEST_DATA) / "golden" / "metrics.json");
  int of_texts = 0, of_classes = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const Json& c = cases[i];
    const auto rows = predictions(c.at("rows"));
    const std::string where = "case " + std::to_string(i);
    if (c.contains("texts")) {
      ++of_texts;
      for (const char* metric : {"bleu", "chrf", "rouge", "accuracy"}) expect_same(text_metric(metric, rows), c["texts"], where);
      if (c["texts"].contains("wer"))
        for (const char* metric : {"wer", "cer"}) expect_same(text_metric(metric, rows), c["texts"], where);
      continue;
    }
    ++of_classes;
    expect_same(text_metric("classification", rows), c["classes"], where);
    const Json calibration = text_metric("calibration", rows);
    expect_same(calibration, c["classes"], where);
    ASSERT_EQ(calibration["bins"].size(), c["classes"]["bins"].size()) << where;
    for (size_t b = 0; b < calibration["bins"].size(); ++b) expect_same(calibration["bins"][b], c["classes"]["bins"][b], where + ", bin " + std::to_string(b));
  }
  EXPECT_GE(of_texts, 50);
  EXPECT_GE(of_classes, 10);
}

TEST(TextMetrics, CalibrationNeedsConfidences) {
  EXPECT_THROW(text_metric("calibration", {{"yes", {"yes"}}}), Error);
  EXPECT_THROW(text_metric("calibration", {{"yes", {"yes"}, 1.5}}), Error);
}

}  // namespace
}  // namespace mynah::train
