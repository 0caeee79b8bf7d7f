// Store::collect: what processes that were killed have left behind.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "store/folder.h"
#include "store/store.h"

namespace mynah::store {
namespace fs = std::filesystem;
namespace {

constexpr std::time_t kResumable = 14 * 24 * 3600;  // how long the rest of a broken download is kept, in seconds

// Seconds since the entry itself, not what a link leads to, was changed or renamed; 0 where that is not known.
std::time_t age_of(const fs::path& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0 ? std::time(nullptr) - info.st_ctim.tv_sec : 0;
}

// What is in a folder, named first: entries are removed while they are looked at.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) all.push_back(entry.path());
  return all;
}

bool is_temporary(const std::string& name) { return name.find(".tmp-") != std::string::npos; }

// Downloads go on where they broke; all else begins anew.
bool is_download(const std::string& name) {
  for (const char* begin : {"import-", "upload-", "quantize-"})
    if (name.starts_with(begin)) return false;
  return !is_temporary(name);
}

}  // namespace

uint64_t Store::collect(std::chrono::seconds age) const {
  const Folder folder(settings_.home);
  std::error_code error;
  if (!fs::exists(folder.home() / "manifests", error)) return 0;
  const auto alone = FolderUse::alone(folder);
  if (!alone) return 0;
  const FolderLock lock(folder);
  bool complete = false;
  const auto models = folder.read_manifests(&complete);
  if (!complete) return 0;  // what the unreadable one uses is not known
  std::set<std::string> blobs, snapshots;
  for (const auto& model : models) {
    snapshots.insert(model.digest);
    for (const auto& file : model.files) blobs.insert(folder.blob(file.digest).filename().string());
  }
  uint64_t freed = 0;
  const auto drop = [&](const fs::path& path, std::time_t least) {
    if (age_of(path) < least) return;
    std::error_code none;
    const uint64_t bytes = fs::is_regular_file(fs::symlink_status(path, none)) ? fs::file_size(path, none) : 0;
    if (fs::remove_all(path, none) > 0 && !none) freed += bytes;
  };
  for (const auto& path : entries_of(folder.home() / "blobs"))
    if (const std::string name = path.filename().string(); name.starts_with("sha256-") && !blobs.contains(name))
      drop(path, age.count());
  for (const auto& path : entries_of(folder.home() / "blobs" / "partial"))
    drop(path, is_download(path.filename().string()) ? std::max<std::time_t>(age.count(), kResumable) : age.count());
  for (const auto& path : entries_of(folder.home() / "manifests"))
    if (is_temporary(path.filename().string())) drop(path, age.count());
  for (const auto& path : entries_of(folder.snapshots())) {
    const std::string name = path.filename().string();
    if (is_temporary(name) || (Digest::try_parse(name) && !snapshots.contains(name))) drop(path, age.count());
  }
  return freed;
}

}  // namespace mynah::store
