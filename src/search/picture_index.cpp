#include "search/picture_index.h"

#include <algorithm>

#include "base/require.h"
#include "search/index_parts.h"

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
  keep_model(database_, model, "DELETE FROM picture; DELETE FROM about;");
}

IndexChanges PictureIndex::update(const std::function<bool(const fs::path&)>& wanted, const EmbedPicture& embed, const std::function<void(int64_t, int64_t)>& progress) {
  IndexChanges changes;
  const auto [due, gone] = changes_since(database_, "SELECT id, path, size, time FROM picture", files_below(folder_, kMostPictureBytes, wanted, &changes.skipped));
  Statement forget(database_, "DELETE FROM picture WHERE id = ?");
  for (const int64_t picture : gone) forget.bind(0, picture).run();
  changes.removed = static_cast<int64_t>(gone.size());
  Statement put(database_, "INSERT OR REPLACE INTO picture(path, size, time, vector) VALUES(?, ?, ?, ?)");
  for (size_t i = 0; i < due.size(); ++i) {
    progress(static_cast<int64_t>(i), static_cast<int64_t>(due.size()));
    // One that cannot be read stands in the index without a vector.
    std::vector<float> vector;
    try {
      vector = embed(due[i].path);
      ++changes.read;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::not_found && e.code() != ErrorCode::failure && e.code() != ErrorCode::integrity) throw;
      changes.skipped.push_back(e.what());
    }
    put.bind(0, std::string_view(due[i].name)).bind(1, due[i].size).bind(2, due[i].time).bind(3, std::span<const float>(vector)).run();
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
    hits.push_back({all.text(0), dot(vector, other)});
  }
  std::stable_sort(hits.begin(), hits.end(), [](const PictureHit& a, const PictureHit& b) { return a.similarity > b.similarity; });
  if (static_cast<int64_t>(hits.size()) > most) hits.resize(static_cast<size_t>(most));
  return hits;
}

}  // namespace mynah::search
