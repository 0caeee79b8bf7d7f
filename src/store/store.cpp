#include "store/store.h"

#include <algorithm>
#include <set>

#include "base/edit_distance.h"
#include "base/file.h"
#include "base/require.h"
#include "store/catalogue.h"
#include "store/folder.h"
#include "store/names.h"
#include "store/partial.h"
#include "store/shipped.h"
#include "store/sources.h"

namespace mynah::store {
namespace fs = std::filesystem;

uint64_t Model::size_bytes() const {
  uint64_t bytes = 0;
  for (const auto& file : files) bytes += file.size_bytes;
  return bytes;
}

const ModelFile* Model::find_role(std::string_view role) const {
  const auto it = std::find_if(files.begin(), files.end(), [&](const ModelFile& f) { return f.role == role; });
  return it == files.end() ? nullptr : &*it;
}

Store::Store(Settings settings) : settings_(std::move(settings)) {}

std::vector<Model> Store::list() const { return Folder(settings_.home).read_manifests(); }

std::optional<Model> Store::find(std::string_view name) const {
  std::vector<std::string> keys{name_key(name)};
  if (const auto parsed = parse_name(name)) keys.push_back(name_key(parsed->text));
  keys.push_back("ollama:" + keys[0]);
  auto models = list();
  for (const auto& model : models)
    if (model.name == name) return model;
  for (const auto& key : keys)
    for (const auto& model : models)
      if (name_key(model.name) == key) return model;
  return std::nullopt;
}

std::optional<Model> Store::find_same(std::string_view name) const {
  for (auto& model : list())
    if (name_key(model.name) == name_key(name)) return std::move(model);
  return std::nullopt;
}

std::string Store::did_you_mean(std::string_view name) const {
  std::string text;
  for (const auto& candidate : suggestions(name)) text += (text.empty() ? "; did you mean " : " or ") + candidate;
  return text.empty() ? text : text + "?";
}

Model Store::show(std::string_view name) const {
  if (auto model = find(name)) return *model;
  fail(ErrorCode::not_found, "{}: no stored model of this name{}", name, did_you_mean(name));
}

fs::path Store::blob_path(const Digest& digest) const { return Folder(settings_.home).blob(digest); }

bool Store::has_blob(const Digest& digest) const {
  std::error_code error;
  return fs::is_regular_file(blob_path(digest), error);
}

fs::path Store::materialise(const Model& model) const {
  const Folder folder(settings_.home);
  for (const auto& file : model.files)
    if (!folder.has_blob(file.digest, file.size_bytes))
      fail(ErrorCode::integrity, "{}: {} is missing from the store or cut short; pull the model again", model.name,
           file.name);
  const fs::path snapshot = folder.snapshots() / model.digest;
  std::error_code error;
  const bool whole = std::all_of(model.files.begin(), model.files.end(),
                                 [&](const ModelFile& f) { return fs::exists(snapshot / f.name, error); });
  if (!whole)
    make_snapshot(snapshot, model.files, [](const ModelFile& file) {
      fs::path up = "../..";
      for (const char c : file.name)
        if (c == '/') up /= "..";
      return up / "blobs" / ("sha256-" + file.digest.hex());
    });
  return entry_point(snapshot, model.files);
}

std::optional<Resolved> Store::resolve(std::string_view name) const {
  std::error_code error;
  if (!name.empty() && fs::exists(fs::path(name), error))
    return Resolved{fs::path(name), Resolved::Place::path, std::nullopt};
  if (auto model = find(name)) {
    auto path = materialise(*model);
    return Resolved{std::move(path), Resolved::Place::store, std::move(model)};
  }
  if (looks_like_path(name)) fail(ErrorCode::not_found, "{}: no such file or folder", name);
  const auto parsed = parse_name(name);
  std::vector<Name> names;
  if (parsed && parsed->kind == Name::Kind::catalogue) {
    const CatalogueEntry& entry = *find_in_catalogue(parsed->text);
    if (auto path = shipped_file(entry); !path.empty()) return Resolved{std::move(path), Resolved::Place::path, std::nullopt};
    for (const auto& source : entry.sources) names.push_back(name_of_source(source));
  } else if (parsed) {
    names.push_back(*parsed);
  }
  // `llama2:7b` may be in Ollama's store, whatever it would mean elsewhere.
  if (!parsed || parsed->kind == Name::Kind::hub)
    if (const auto other = parse_name("ollama:" + std::string(name))) names.push_back(*other);
  for (const auto& candidate : names) {
    if (candidate.kind == Name::Kind::hub)
      if (auto path = find_in_hub_cache(settings_, candidate))
        return Resolved{*path, Resolved::Place::hub_cache, std::nullopt};
    if (candidate.kind != Name::Kind::ollama) continue;
    if (const auto found = find_in_ollama(settings_, candidate)) {
      const Folder folder(settings_.home);
      folder.create();
      const fs::path snapshot = folder.snapshots() / ("ollama-" + found->manifest.hex());
      if (!fs::exists(snapshot / found->files[0].name, error))
        make_snapshot(snapshot, found->files,
                      [&](const ModelFile& file) { return fs::absolute(ollama_blob(settings_, file.digest)); });
      return Resolved{entry_point(snapshot, found->files), Resolved::Place::ollama_cache, std::nullopt};
    }
  }
  if (parsed) return std::nullopt;
  fail(ErrorCode::not_found, "{}: neither a path, nor stored, nor a name that can be pulled{}", name,
       did_you_mean(name));
}

uint64_t Store::remove(std::string_view name) const {
  const Folder folder(settings_.home);
  const Model model = show(name);
  const FolderLock lock(folder);
  std::error_code error;
  if (!fs::remove(folder.manifest(model.name), error)) {
    if (error) fail(ErrorCode::failure, "{}: cannot remove it: {}", name, error.message());
    fail(ErrorCode::not_found, "{}: no stored model of this name", name);
  }
  return folder.remove_unused(model);
}

Model Store::copy(std::string_view from, std::string_view to) const {
  if (!valid_stored_name(to))
    fail(ErrorCode::usage,
         "{}: not a name for a model; letters, digits and ._-/:@ are, beginning with a letter or digit", to);
  const Folder folder(settings_.home);
  const FolderLock lock(folder);
  Model model = show(from);
  const auto previous = find_same(to);
  model.name = to;
  folder.replace(previous ? &*previous : nullptr, model);
  return model;
}

Model Store::create(std::string_view name, std::string_view source, std::string_view licence,
                    const std::vector<NewFile>& files) const {
  if (!valid_stored_name(name))
    fail(ErrorCode::usage,
         "{}: not a name for a model; letters, digits and ._-/:@ are, beginning with a letter or digit", name);
  if (files.empty()) fail(ErrorCode::usage, "{}: a model without files", name);
  const Folder folder(settings_.home);
  const FolderUse use(folder);
  Model model{std::string(name), std::string(source), "", std::string(licence), utc_now(), {}, ""};
  for (const auto& file : files) {
    if (!valid_file_name(file.name)) fail(ErrorCode::usage, "{}: {} is no name for a file of a model", name, file.name);
    if (file.digest) {
      std::error_code error;
      const auto size = fs::file_size(folder.blob(*file.digest), error);
      if (error) fail(ErrorCode::not_found, "{}: {} is not in the store", name, file.digest->with_prefix());
      model.files.push_back({file.name, *file.digest, size, file.role, ""});
      continue;
    }
    const std::string origin = file.text ? *file.text : fs::absolute(file.path).string();
    auto partial = Partial::open(folder, "import-" + digest_of_text(origin).hex(), [] { return false; }, nullptr);
    partial->clear();
    if (file.text) {
      partial->append(file.text->data(), file.text->size());
    } else {
      require_space(folder.home(), MappedFile::open(file.path)->bytes().size(), name);
      partial->append_file(file.path);
    }
    const Digest digest = digest_of_file(partial->path());
    model.files.push_back({file.name, digest, partial->size_bytes(), file.role, ""});
    partial->commit(folder, digest);
  }
  set_digest(model);
  const FolderLock lock(folder);
  const auto previous = find_same(name);
  materialise(model);
  folder.replace(previous ? &*previous : nullptr, model);
  return model;
}

void Store::put_blob(const Digest& expected, const std::function<size_t(char*, size_t)>& read) const {
  const Folder folder(settings_.home);
  const FolderUse use(folder);
  auto partial = Partial::open(folder, "upload-" + expected.hex(), [&] { return has_blob(expected); }, nullptr);
  if (!partial) return;
  partial->clear();
  Hasher hasher;
  std::vector<char> buffer(256u << 10);
  while (const size_t size = read(buffer.data(), buffer.size())) {
    hasher.add(buffer.data(), size);
    partial->append(buffer.data(), size);
  }
  if (hasher.finish() != expected) {
    partial->discard();
    fail(ErrorCode::integrity, "{}: the bytes have another digest; nothing was kept", expected.with_prefix());
  }
  partial->commit(folder, expected);
}

std::vector<std::string> Store::suggestions(std::string_view name) const {
  const std::string wanted = name_key(name);
  std::vector<std::pair<size_t, std::string>> near;
  std::set<std::string> known;
  for (const auto& model : list()) known.insert(model.name);
  for (const auto& entry : catalogue_entries()) known.insert(entry.name);
  for (const auto& candidate : known) {
    const std::string key = name_key(candidate);
    if (key == wanted) continue;
    const size_t distance = edit_distance(wanted, key);
    const bool part =
        wanted.size() > 2 && (key.find(wanted) != std::string::npos || wanted.find(key) != std::string::npos);
    if (distance <= std::max<size_t>(2, wanted.size() / 4) || part) near.emplace_back(part ? 0 : distance, candidate);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> names;
  for (const auto& [distance, candidate] : near)
    if (names.size() < 3) names.push_back(candidate);
  if (names.empty() && !parse_name(name) && parse_name("ollama:" + std::string(name)))
    names.push_back("ollama:" + std::string(name));
  return names;
}

std::vector<std::string> Store::catalogue() {
  std::vector<std::string> names;
  for (const auto& entry : catalogue_entries()) names.emplace_back(entry.name);
  return names;
}

uint64_t Store::disk_bytes() const {
  uint64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(settings_.home, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code gone;
    if (!it->is_symlink(gone) && it->is_regular_file(gone)) bytes += it->file_size(gone);
  }
  return bytes;
}

}  // namespace mynah::store
