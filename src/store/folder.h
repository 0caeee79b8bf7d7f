// Where things lie in the store's folder, and the manifests: one JSON file per name.
//   blobs/sha256-<hex>         contents, read-only, complete and verified
//   blobs/partial/             downloads that are under way or were cut
//   manifests/<name>.json      what makes up a model; written last, so an unfinished pull is never listed
//   snapshots/<hex>/<files>    links into blobs under the files' own names, for loaders
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/store.h"

namespace mynah::store {

class Folder {
 public:
  explicit Folder(std::filesystem::path home) : home_(std::move(home)) {}
  const std::filesystem::path& home() const { return home_; }

  std::filesystem::path blob(const Digest& digest) const { return home_ / "blobs" / ("sha256-" + digest.hex()); }
  std::filesystem::path partial(std::string_view key) const;
  std::filesystem::path snapshots() const { return home_ / "snapshots"; }
  std::filesystem::path manifest(std::string_view name) const;
  // Makes the folders above; home only for the user. Throws failure.
  void create() const;

  bool has_blob(const Digest& digest, uint64_t size_bytes) const;
  // Newest first. A manifest that cannot be read is left out with a warning; `complete` (may be null) tells whether
  // that happened.
  std::vector<Model> read_manifests(bool* complete = nullptr) const;
  // Whether all files of the model are here with their sizes.
  bool intact(const Model& model) const;
  // Writes the manifest; `previous` (may be null) is the model it takes the place of. To be called under the lock.
  void replace(const Model* previous, const Model& model) const;
  // Deletes the files of `gone` that no listed model uses. Returns the bytes freed. To be called under the lock.
  uint64_t remove_unused(const Model& gone) const;

 private:
  std::filesystem::path home_;
};

// The store's lock, held for moments: writing a manifest and removing a model exclude each other. Waits for its turn.
class FolderLock {
 public:
  explicit FolderLock(const Folder& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

// Held while files come in that no manifest names yet; Store::collect wants to be alone, or does nothing. Waits while it is at work.
class FolderUse {
 public:
  explicit FolderUse(const Folder& folder);
  // Nothing while others hold it.
  static std::optional<FolderUse> alone(const Folder& folder);
  FolderUse(FolderUse&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderUse& operator=(FolderUse&&) = delete;
  ~FolderUse();

 private:
  FolderUse() = default;
  int descriptor_ = -1;
};

// Fills in Model::digest from the files.
void set_digest(Model& model);
std::string utc_now();
// Throws does_not_fit, naming both numbers, unless the file system of `folder` has this much room.
void require_space(const std::filesystem::path& folder, uint64_t bytes, std::string_view what);
std::string human_bytes(uint64_t bytes);

// Makes `folder` hold the links, whole or not at all. `target` says where each file's bytes lie.
void make_snapshot(const std::filesystem::path& folder, const std::vector<ModelFile>& files,
                   const std::function<std::filesystem::path(const ModelFile&)>& target);
// What of a snapshot the loader opens: the first .gguf when the model is one, else the folder.
std::filesystem::path entry_point(const std::filesystem::path& folder, const std::vector<ModelFile>& files);

}  // namespace mynah::store
