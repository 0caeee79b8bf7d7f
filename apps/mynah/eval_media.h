// How well a model sees or hears: scores over rows of pictures and sounds (train/media_rows.h).
#pragma once
#include <filesystem>
#include <string>

#include "base/json.h"
#include "mynah/model.h"

namespace mynah::app {

// Of a model for which none is named: a classifier's accuracy, else perplexity.
std::string usual_metric(const std::string& model);
bool is_media_metric(const std::string& metric);

// accuracy: {"accuracy", "rows"}: the best label is the row's, of classifiers of pictures and sounds; of CLIP and SigLIP the best text of all
// that the rows have. map: {"map", "map_50", "map_75", "mar_100", "pictures", "objects"}, as pycocotools. wer, cer: that number and "rows".
Json media_scores(const std::string& model, const std::filesystem::path& file, const std::string& metric, Precision precision);

}  // namespace mynah::app
