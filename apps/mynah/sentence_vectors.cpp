#include "sentence_vectors.h"

#include <algorithm>

#include "nn/config.h"
#include "open_model.h"
#include "reading_bar.h"
#include "store/store.h"
#include "tasks/registry.h"
#include "tasks/scores.h"

namespace mynah::app {

SentenceVectors::SentenceVectors(const std::string& model) {
  const TaskEntry& entry = tasks::find_task("sentence-embedding");
  task_ = tasks::open_task(entry, "sentence-embedding", model_path(model), LoadOptions{.name = model});
  encoder_ = std::make_unique<tasks::SentenceEncoder>(*task_);
}

search::Embed SentenceVectors::embed() const {
  return [this](const std::vector<std::string>& texts) {
    auto vectors = encoder_->encode(texts);
    for (auto& vector : vectors) tasks::to_unit_length(vector);
    return vectors;
  };
}

std::vector<float> SentenceVectors::question(const std::string& text) const { return embed()({text}).front(); }

search::PassageLimits SentenceVectors::limits() const {
  const Tokenizer& tokenizer = task_->tokenizer();
  // Sentence encoders read 256 tokens or more; smaller ones say so. A few are left for what the tokenizer puts around a
  // text.
  const int64_t context = nn::config_int(task_->bundle().config, "max_position_embeddings", 512, 1);
  const int64_t most = std::clamp<int64_t>(context - 8, 16, 200);
  return {most, [&tokenizer](std::string_view line) {
            return static_cast<int64_t>(tokenizer.encode_ids(line, false, false).size());
          }};
}

search::IndexChanges update_index(search::FolderIndex& index, const SentenceVectors& vectors) {
  ReadingBar bar("files");
  auto changes = index.update(vectors.limits(), vectors.embed(), [&](int64_t done, int64_t all) { bar.show(done, all); });
  say_skipped(changes.skipped);
  return changes;
}

search::FolderIndex open_index(const std::string& folder, const std::string& model) {
  return search::FolderIndex(folder, store::Settings::from_environment().home / "indexes", model);
}

}  // namespace mynah::app
