// Store::pull and Store::plan: from a name to its source, and from what the source delivers to a stored model.
#include <algorithm>

#include "base/file.h"
#include "base/require.h"
#include "store/shipped.h"
#include "store/sources.h"

namespace mynah::store {
namespace {

// A licence text's first line stands for it.
std::string licence_of_layers(const Folder& folder, const Model& model) {
  const auto* file = model.find_role("license");
  if (!file) return {};
  try {
    const std::string text = read_text_file(folder.blob(file->digest), 4u << 20);
    const size_t begin = text.find_first_not_of(" \t\r\n");
    return begin == std::string::npos
               ? std::string()
               : text.substr(begin, std::min<size_t>(100, text.find_first_of("\r\n", begin) - begin));
  } catch (const Error&) {
    return {};
  }
}

Model pull_from(Job& job, const Name& name, const CatalogueSource* wanted, const Model* previous) {
  switch (name.kind) {
    case Name::Kind::package:
      return pull_package(job, name, wanted);
    case Name::Kind::ollama:
      return download(job, offer_of_ollama(job, name), previous);
    case Name::Kind::hub:
      return download(job, offer_of_hub(job, name), previous);
    case Name::Kind::catalogue:
      break;
  }
  fail(ErrorCode::internal, "store: a catalogue entry that names another");
}

// Tries the sources of a catalogue entry in turn.
Model pull_catalogue(Job& job, const CatalogueEntry& entry, const Model* previous) {
  if (job.settings.offline)
    fail(ErrorCode::network,
         "{}: not stored, and not fetched because MYNAH_OFFLINE is set; unset it to use the network", entry.name);
  std::string reasons;
  ErrorCode code = ErrorCode::failure;
  for (const auto& source : entry.sources) {
    try {
      Model model = pull_from(job, name_of_source(source), &source, previous);
      model.licence = entry.licence;  // of the weights; a package that carries them may name its own
      return model;
    } catch (const Error& e) {
      if (e.code() == ErrorCode::interrupted || e.code() == ErrorCode::does_not_fit || e.code() == ErrorCode::internal)
        throw;
      if (reasons.empty() || e.code() == ErrorCode::network) code = e.code();
      reasons += (reasons.empty() ? "" : " | ") + std::string(e.what());
      if (&source != &entry.sources.back())
        job.note(fmt::format("{}; trying the next source, {}", e.what(), (&source)[1].name));
    }
  }
  fail(code, "{}: no source delivers it: {}", entry.name, reasons);
}

std::filesystem::path required_file(const CatalogueEntry& entry) {
  std::filesystem::path path = shipped_file(entry);
  if (path.empty())
    fail(ErrorCode::not_found, "{}: comes with mynah as models/{}, which is not where this program looks ({}); install mynah again", entry.name,
         entry.shipped, shipped_models().empty() ? "there is no such folder" : shipped_models().string());
  return path;
}

// A short name that leads nowhere may be one of the catalogue, misspelt.
bool may_be_misspelt(const Name& name, const Error& error) {
  return (error.code() == ErrorCode::not_found || error.code() == ErrorCode::network) && name.kind == Name::Kind::hub &&
         name.text.find('/') == std::string::npos;
}

}  // namespace

Name name_of_source(const CatalogueSource& source) {
  auto name = parse_name(source.name);
  MYNAH_CHECK(name.has_value());
  return *name;
}

Model Store::pull(std::string_view text, const PullOptions& options) const {
  const auto name = parse_name(text);
  if (!name) fail(ErrorCode::not_found, "{}: not a name that can be pulled{}", text, did_you_mean(text));
  const Folder folder(settings_.home);
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    const auto previous = find(name->text);
    const bool same = previous && name_key(previous->name) == name_key(name->text);
    if (same && name->kind == Name::Kind::catalogue && folder.intact(*previous)) {
      materialise(*previous);
      return *previous;
    }
    if (name->kind == Name::Kind::catalogue)
      if (const CatalogueEntry& entry = *find_in_catalogue(name->text); entry.shipped)
        return create(entry.name, entry.name, entry.licence, {{entry.shipped, "", required_file(entry), std::nullopt, std::nullopt}});
    const FolderUse use(folder);
    Job job(settings_, folder, options);
    Model model;
    try {
      model = name->kind == Name::Kind::catalogue
                  ? pull_catalogue(job, *find_in_catalogue(name->text), same ? &*previous : nullptr)
                  : pull_from(job, *name, nullptr, same ? &*previous : nullptr);
    } catch (const Error& e) {
      if (may_be_misspelt(*name, e)) throw Error(e.code(), e.what() + did_you_mean(text));
      throw;
    }
    model.name = name->text;
    if (model.licence.empty()) model.licence = licence_of_layers(folder, model);
    model.pulled_at = utc_now();
    set_digest(model);
    const FolderLock lock(folder);
    if (!folder.intact(model)) continue;  // someone removed a model that shares these files meanwhile
    materialise(model);
    folder.replace(same ? &*previous : nullptr, model);
    return model;
  }
  fail(ErrorCode::busy, "{}: its files were removed by another process while it was pulled; try again", text);
}

Plan Store::plan(std::string_view text, const PullOptions& options) const {
  const auto name = parse_name(text);
  if (!name) fail(ErrorCode::not_found, "{}: not a name that can be pulled{}", text, did_you_mean(text));
  const Folder folder(settings_.home);
  const auto previous = find(name->text);
  Plan plan;
  plan.name = name->text;
  if (name->kind == Name::Kind::catalogue) {
    const auto* entry = find_in_catalogue(name->text);
    if (entry->shipped) {
      plan.complete = previous && folder.intact(*previous);
      plan.source = entry->shipped;
      plan.licence = entry->licence;
      plan.size_bytes = std::filesystem::file_size(required_file(*entry));
      plan.files = {entry->shipped};
      return plan;
    }
    const auto& source = entry->sources.front();
    plan.complete = previous && folder.intact(*previous);
    plan.source = source.name;
    plan.licence = entry->licence;
    plan.size_bytes = source.size_bytes;
    plan.download_bytes = plan.complete ? 0 : source.download_bytes;
    if (source.file) plan.files = {source.file};
    return plan;
  }
  plan.source = name->text;
  if (name->kind == Name::Kind::package) return plan;  // pip tells no sizes beforehand
  Job job(settings_, folder, options);
  RemoteModel remote;
  try {
    remote = name->kind == Name::Kind::hub ? offer_of_hub(job, *name) : offer_of_ollama(job, *name);
  } catch (const Error& e) {
    if (may_be_misspelt(*name, e)) throw Error(e.code(), e.what() + did_you_mean(text));
    throw;
  }
  plan.revision = remote.revision;
  plan.licence = remote.licence;
  for (const auto& file : remote.files) {
    plan.files.push_back(file.name);
    plan.size_bytes += file.size_bytes.value_or(0);
  }
  plan.download_bytes = missing_bytes(folder, remote, previous ? &*previous : nullptr);
  plan.complete =
      previous && plan.download_bytes == 0 && previous->revision == remote.revision && folder.intact(*previous);
  return plan;
}

}  // namespace mynah::store
