// Training on pictures and sounds: labels of both, boxes of objects, speech written down (CTC and Whisper), pictures beside their
// texts (CLIP, SigLIP). The loss is the network's own; inputs are made by the model's own processors when a batch needs them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "train/augment.h"
#include "train/objective.h"
#include "train/tasks.h"

namespace mynah::train {

enum class MediaTask { image_classification, audio_classification, object_detection, speech, contrastive };

// From a name or alias; empty: by the head of the model at `model`. Absent for tasks of text. "automatic-speech-recognition" may be
// called "ctc" too.
std::optional<MediaTask> find_media_task(const std::string& name, const std::filesystem::path& model);
// The end of the architecture's name that the task wants of this model, as SubjectOptions::head; empty: the model's own.
std::string media_head(MediaTask task, const std::filesystem::path& model);

struct MediaTaskOptions {
  Augmentation augmentation;
};

// What the labels of the rows ask of the head: as find_labels() of texts.
Labels find_media_labels(MediaTask task, const std::filesystem::path& model, const std::filesystem::path& train_rows);

// Rows: labels {"image" or "audio", "label"}, or a folder of pictures for each label; objects {"image", "objects": {"bbox": [[left, top,
// width, height] in pixels, ...], "category": [...]}}; speech {"audio", "text"}; contrastive {"image", "text"}. Paths are relative to the
// rows' file. `validation` may be empty.
std::unique_ptr<Objective> make_media_task(MediaTask task, const Arguments& arguments, const MediaTaskOptions& options, const bundle::Bundle& b,
                                           const std::filesystem::path& train, const std::filesystem::path& validation);

}  // namespace mynah::train
