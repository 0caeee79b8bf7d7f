// The encoder that folder search uses, opened once.
#pragma once
#include <memory>
#include <string>

#include "search/folder_index.h"
#include "tasks/sentence_encoder.h"

namespace mynah::app {

// A passage counts as near a question from this cosine on; unrelated sentences stay below it with the usual encoders.
inline constexpr double kNear = 0.3;

class SentenceVectors {
 public:
  // `model`: a name, folder or .gguf file of an encoder; pulled if it is not there.
  explicit SentenceVectors(const std::string& model);

  search::Embed embed() const;  // texts of passages; they are computed together
  std::vector<float> question(const std::string& text) const;
  search::PassageLimits limits() const;  // in the encoder's tokens

 private:
  std::shared_ptr<const tasks::OpenTask> task_;
  std::unique_ptr<tasks::SentenceEncoder> encoder_;
};

// Opens the index of a folder and brings it up to date, with a progress line; what was skipped is said on standard
// error.
search::IndexChanges update_index(search::FolderIndex& index, const SentenceVectors& vectors);
// The index of a folder among those of this user.
search::FolderIndex open_index(const std::string& folder, const std::string& model);

}  // namespace mynah::app
