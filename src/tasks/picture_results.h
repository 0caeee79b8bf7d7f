// What tasks say about a picture that is in memory: frames of videos, say. `options` as of the task.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "media/image.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

struct FoundObject {
  float score;
  int64_t label;
  std::array<double, 4> box;  // left, top, right, bottom in pixels of the picture
};
// object-detection, boxes uncut.
std::vector<FoundObject> found_objects(const OpenTask& task, const media::Image& picture, const Json& options);
// object-detection: [{"score", "label", "box": {"xmin", ...}}, ...].
Json objects_in(const OpenTask& task, const media::Image& picture, const Json& options);
// image-classification: [{"label", "score"}, ...], best first.
Json labels_of(const OpenTask& task, const media::Image& picture, const Json& options);
// zero-shot-image-classification: [{"score", "label"}, ...], best first. `texts`: of zero_shot_texts().
Json own_labels_of(const OpenTask& task, const media::Image& picture, const std::vector<std::string>& labels, const nn::NamedTensors& texts);
// The texts of the caller's labels as the model reads them, "candidate_labels" and "hypothesis_template" being among the options.
nn::NamedTensors zero_shot_texts(const OpenTask& task, const std::vector<std::string>& labels, const Json& options);

// Of a model that sees pictures and texts in one space (CLIP, SigLIP): vectors of length 1. Throw failure for another model, and
// where it gives a vector without direction.
std::vector<float> picture_vector(const OpenTask& task, const media::Image& picture);
std::vector<float> text_vector(const OpenTask& task, const std::string& text);

}  // namespace mynah::tasks
