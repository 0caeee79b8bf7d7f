// The files of a folder that an index reads, and where the index lies.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace mynah::search {

struct FolderFile {
  std::filesystem::path path;
  std::string name;  // relative to the folder
  int64_t size, time;
};

// The folder's real path. Throws not_found if there is no such folder.
std::filesystem::path existing_folder(const std::filesystem::path& folder);
// In `store`, which is made: a name of the folder's own, with `ending` for indexes of another kind.
std::filesystem::path index_path(const std::filesystem::path& folder, const std::filesystem::path& store, const std::string& ending);
// All files below it by name, but hidden ones, empty ones and those that `wanted` (if any) refuses; of those above `most_bytes`
// `skipped` says so.
std::vector<FolderFile> files_below(const std::filesystem::path& folder, uintmax_t most_bytes, const std::function<bool(const std::filesystem::path&)>& wanted,
                                    std::vector<std::string>* skipped);

}  // namespace mynah::search
