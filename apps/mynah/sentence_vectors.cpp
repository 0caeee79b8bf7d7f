#include "sentence_vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "nn/config.h"
#include "open_model.h"
#include "store/store.h"
#include "tasks/registry.h"

namespace mynah::app {

SentenceVectors::SentenceVectors(const std::string& model) {
  const TaskEntry& entry = tasks::find_task("sentence-embedding");
  task_ = tasks::open_task(entry, "sentence-embedding", model_path(model), LoadOptions{});
  encoder_ = std::make_unique<tasks::SentenceEncoder>(*task_);
}

search::Embed SentenceVectors::embed() const {
  return [this](const std::vector<std::string>& texts) {
    auto vectors = encoder_->encode(texts);
    for (auto& vector : vectors) {
      double sum = 0;
      for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
      const float scale = sum > 0 ? static_cast<float>(1 / std::sqrt(sum)) : 0.0f;
      for (float& v : vector) v *= scale;
    }
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
  ProgressOptions options;
  options.bytes = false;
  options.noun = "files";
  std::unique_ptr<Progress> bar;
  auto changes = index.update(vectors.limits(), vectors.embed(), [&](int64_t done, int64_t all) {
    if (all == 0) return;
    if (!bar) bar = std::make_unique<Progress>("reading", all, options);
    bar->set(done);
    if (done == all) bar->finish();
  });
  for (const auto& line : changes.skipped) fmt::print(stderr, "skipped {}\n", line);
  return changes;
}

search::FolderIndex open_index(const std::string& folder, const std::string& model) {
  return search::FolderIndex(folder, store::Settings::from_environment().home / "indexes", model);
}

}  // namespace mynah::app
