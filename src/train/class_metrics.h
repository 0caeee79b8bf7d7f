// Metrics of predicted classes, equal to scikit-learn 1.9.
#pragma once
#include <vector>

#include "base/json.h"
#include "train/text_metrics.h"

namespace mynah::train {

// {"accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted", "matthews_correlation"} of labels, each row's being its first
// reference. A class that is never predicted has precision 0.
Json classification_metrics(const std::vector<Prediction>& predictions);

// How far confidences are from shares of right answers, in ten bins of equal width: {"ece", "mce"} (arXiv:1706.04599), {"brier"} and the
// bins that hold rows, each {"confidence", "accuracy", "rows"}. Throws failure for a row without confidence.
Json calibration_metrics(const std::vector<Prediction>& predictions);

}  // namespace mynah::train
