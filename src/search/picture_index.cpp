#include "search/picture_index.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/require.h"
#include "search/folder_files.h"

namespace mynah::search {
namespace fs = std::filesystem;
namespace {

constexpr uintmax_t kMostPictureBytes = 200u << 20;
constexpr const char* kPictureTables = R"(
CREATE TABLE IF NOT EXISTS about(key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS picture(id INTEGER PRIMARY KEY, path TEXT UNIQUE, size INTEGER, time INTEGER, vector BLOB);
)";

}  // namespace

PictureIndex::PictureIndex(const fs::path& folder, const fs::path& store, const std::string& model)
    : folder_(existing_folder(folder)), database_(index_path(folder_, store, "-pictures")) {
  database_.execute(kPictureTables);
  Statement known(database_, "SELECT value FROM about WHERE key = 'model'");
  if (known.step() && known.text(0) == model) return;
  Transaction all(database_);
  database_.execute("DELETE FROM picture; DELETE FROM about;");
  Statement(database_, "INSERT INTO about VALUES('model', ?)").bind(0, std::string_view(model)).run();
  all.commit();
}

IndexChanges PictureIndex::update(const std::function<bool(const fs::path&)>& wanted, const EmbedPicture& embed, const std::function<void(int64_t, int64_t)>& progress) {
  IndexChanges changes;
  const auto found = files_below(folder_, kMostPictureBytes, wanted, &changes.skipped);
  std::map<std::string, std::array<int64_t, 3>> known;  // id, size, time
  for (Statement all(database_, "SELECT id, path, size, time FROM picture"); all.step();) known[all.text(1)] = {all.integer(0), all.integer(2), all.integer(3)};
  std::vector<const FolderFile*> due;
  for (const auto& file : found) {
    const auto it = known.find(file.name);
    if (it == known.end() || it->second[1] != file.size || it->second[2] != file.time) due.push_back(&file);
    if (it != known.end()) known.erase(it);
  }
  Statement forget(database_, "DELETE FROM picture WHERE id = ?");
  for (const auto& [name, row] : known) forget.bind(0, row[0]).run();
  changes.removed = static_cast<int64_t>(known.size());
  Statement put(database_, "INSERT OR REPLACE INTO picture(path, size, time, vector) VALUES(?, ?, ?, ?)");
  for (size_t i = 0; i < due.size(); ++i) {
    progress(static_cast<int64_t>(i), static_cast<int64_t>(due.size()));
    // One that cannot be read stands in the index without a vector.
    std::vector<float> vector;
    try {
      vector = embed(due[i]->path);
      ++changes.read;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::not_found && e.code() != ErrorCode::failure && e.code() != ErrorCode::integrity) throw;
      changes.skipped.push_back(e.what());
    }
    put.bind(0, std::string_view(due[i]->name)).bind(1, due[i]->size).bind(2, due[i]->time).bind(3, std::span<const float>(vector)).run();
  }
  progress(static_cast<int64_t>(due.size()), static_cast<int64_t>(due.size()));
  Statement count(database_, "SELECT count(*) FROM picture WHERE length(vector) > 0");
  count.step();
  changes.files = count.integer(0);
  return changes;
}

std::vector<PictureHit> PictureIndex::search(const std::vector<float>& vector, int64_t most) {
  std::vector<PictureHit> hits;
  for (Statement all(database_, "SELECT path, vector FROM picture ORDER BY path"); all.step();) {
    const auto other = all.floats(1);
    if (other.size() != vector.size()) continue;
    double dot = 0;
    for (size_t i = 0; i < vector.size(); ++i) dot += static_cast<double>(vector[i]) * static_cast<double>(other[i]);
    hits.push_back({all.text(0), dot});
  }
  std::stable_sort(hits.begin(), hits.end(), [](const PictureHit& a, const PictureHit& b) { return a.similarity > b.similarity; });
  if (static_cast<int64_t>(hits.size()) > most) hits.resize(static_cast<size_t>(most));
  return hits;
}

}  // namespace mynah::search
