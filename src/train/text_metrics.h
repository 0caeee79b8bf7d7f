// Metrics of predicted texts, equal to sacrebleu 2.6 (bleu, chrf), rouge-score 0.1.2, jiwer 4 (wer, cer), SQuAD's script (exact_match, f1)
// and scikit-learn (accuracy).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::train {

struct Prediction {
  std::string text;
  std::vector<std::string> references;  // at least one
  std::optional<double> confidence = std::nullopt;  // 0 to 1, of a predicted class
};

// By metric: {"exact_match", "f1"} (0-100), {"rouge1", "rouge2", "rougeL"} (0-1), {"bleu"}, {"chrf"} (0-100), {"wer"}, {"cer"}, {"accuracy"};
// "classification" and "calibration" give those of class_metrics.h.
// Throws usage for an unknown one, failure for no predictions.
Json text_metric(const std::string& metric, const std::vector<Prediction>& predictions);

}  // namespace mynah::train
