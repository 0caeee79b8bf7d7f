#include "tasks/registry.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/require.h"
#include "base/suggest.h"
#include "bundle/processor.h"
#include "nn/speech.h"
#include "tasks/languages.h"

namespace mynah::tasks {
namespace {

namespace fs = std::filesystem;

// The head that the model is opened with. A checkpoint that names none, one that holds more than the task needs, and
// any where only the encoder is asked for will do; others would compute with weights that nobody trained.
nn::HeadKind head_for(const TaskEntry& entry, const bundle::Bundle& b) {
  if (!b.config.contains("architectures") || b.config["architectures"].is_null()) return entry.heads[0];
  const nn::HeadKind own = nn::head_kind(b.config);
  if (std::find(entry.heads.begin(), entry.heads.end(), own) != entry.heads.end()) return own;
  const bool has_more = entry.heads[0] == nn::HeadKind::bare ||
                        (entry.heads[0] == nn::HeadKind::masked_lm && own == nn::HeadKind::pretraining);
  if (!has_more) refuse_model(entry, b);
  return entry.heads[0];
}

// A config that was read off the weights has them itself.
Json image_settings(const bundle::Bundle& b) {
  const auto own = b.config.find("image_processor");
  return own != b.config.end() && own->is_object() ? *own : bundle::processor_settings(b.path, "image_processor", "pictures", b.name);
}

std::shared_ptr<const OpenTask> with_model(const TaskEntry& entry, const std::string& asked, Model model) {
  const fs::path& path = model.bundle().path;
  const bool speaks = dynamic_cast<const nn::SpeechModel*>(model.bundle().network.get()) != nullptr;
  if (speaks && !entry.speaks) refuse_model(entry, model.bundle());
  // What speaks may read phonemes, what hears or sees may answer with labels alone.
  require(speaks || entry.medium != Medium::text || model.bundle().tokenizer != nullptr, "{}: {} comes without a tokenizer", entry.name, model.bundle().name);
  Json tokenizer_config = Json::object();
  if (const fs::path file = path / "tokenizer_config.json"; fs::is_directory(path) && fs::exists(file))
    tokenizer_config = read_json_file(file);
  std::shared_ptr<const bundle::ImageProcessor> image_processor;
  if (entry.medium == Medium::picture) image_processor = std::make_shared<const bundle::ImageProcessor>(image_settings(model.bundle()));
  return std::make_shared<const OpenTask>(
      OpenTask{&entry, asked, std::move(model), std::move(tokenizer_config), std::move(image_processor)});
}

}  // namespace

void refuse_model(const TaskEntry& entry, const bundle::Bundle& b) {
  fail(ErrorCode::failure, "{}: {} holds a {}, which is not a model for this task; {}", entry.name, b.name, b.architecture(), entry.suggestion);
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskEntry* entry : tasks_entries()) names.emplace_back(entry->name);
  std::sort(names.begin(), names.end());
  return names;
}

const TaskEntry& find_task(const std::string& name) {
  std::vector<std::string> known;
  for (const TaskEntry* entry : tasks_entries()) {
    if (name == entry->name || (languages_of(name) && std::string_view(entry->name) == "translation")) return *entry;
    known.emplace_back(entry->name);
    for (const std::string_view alias : entry->aliases) {
      if (name == alias) return *entry;
      known.emplace_back(alias);
    }
  }
  const std::string nearest = did_you_mean(name, known);
  fail(ErrorCode::usage, "pipeline: \"{}\" is not a task{}", name,
       nearest.empty() ? fmt::format("; there are {}", fmt::join(task_names(), ", ")) : nearest);
}

std::shared_ptr<const OpenTask> open_task(const TaskEntry& entry, const std::string& asked, const fs::path& path,
                                          const LoadOptions& options) {
  bundle::Parts parts;
  parts.head = [&](const bundle::Bundle& b) { return head_for(entry, b); };
  return with_model(entry, asked, Model(bundle::open(path, options, parts)));
}

std::shared_ptr<const OpenTask> open_task(const TaskEntry& entry, const std::string& asked, const Model& model,
                                          const LoadOptions& options) {
  const bundle::Bundle& b = model.bundle();
  if (!b.network || head_for(entry, b) != b.network->kind()) {
    LoadOptions named = options;
    named.name = b.name;
    return open_task(entry, asked, b.path, named);
  }
  return with_model(entry, asked, model);
}

}  // namespace mynah::tasks
