#include "search/folder_files.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::search {
namespace fs = std::filesystem;
namespace {

// A folder's index has a name of its own: FNV-1a of its path.
std::string file_name(const fs::path& folder, const std::string& ending) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : folder.string()) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return fmt::format("{}-{:016x}{}.sqlite", folder.filename().string().substr(0, 40), hash, ending);
}

}  // namespace

fs::path existing_folder(const fs::path& folder) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  if (error || !fs::is_directory(real))
    fail(ErrorCode::not_found, "{}: expected a folder; give one that exists", folder.string());
  return real;
}

fs::path index_path(const fs::path& folder, const fs::path& store, const std::string& ending) {
  std::error_code error;
  fs::create_directories(store, error);
  if (error) fail(ErrorCode::failure, "{}: cannot be made: {}", store.string(), error.message());
  return store / file_name(folder, ending);
}

std::vector<FolderFile> files_below(const fs::path& folder, uintmax_t most_bytes, const std::function<bool(const fs::path&)>& wanted,
                                    std::vector<std::string>* skipped) {
  std::vector<FolderFile> found;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error), end;
       at != end; at.increment(error)) {
    if (error) break;
    const auto& entry = *at;
    if (entry.path().filename().string().starts_with('.')) {
      if (entry.is_directory(error)) at.disable_recursion_pending();
      continue;
    }
    if (!entry.is_regular_file(error) || (wanted && !wanted(entry.path()))) continue;
    const std::string name = entry.path().lexically_relative(folder).string();
    const uintmax_t size = entry.file_size(error);
    if (error || size == 0) continue;
    if (size > most_bytes) {
      skipped->push_back(fmt::format("{}: {} bytes, at most {} are read", name, size, most_bytes));
      continue;
    }
    found.push_back(
        {entry.path(), name, static_cast<int64_t>(size), entry.last_write_time(error).time_since_epoch().count()});
  }
  std::sort(found.begin(), found.end(), [](const FolderFile& a, const FolderFile& b) { return a.name < b.name; });
  return found;
}

}  // namespace mynah::search
