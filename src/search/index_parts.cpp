#include "search/index_parts.h"

#include <array>
#include <map>
#include <utility>

namespace mynah::search {

void keep_model(Database& database, const std::string& model, const char* forget_all) {
  Statement known(database, "SELECT value FROM about WHERE key = 'model'");
  if (known.step() && known.text(0) == model) return;
  Transaction all(database);
  database.execute(forget_all);
  Statement(database, "INSERT INTO about VALUES('model', ?)").bind(0, std::string_view(model)).run();
  all.commit();
}

FileChanges changes_since(Database& database, const char* known, std::vector<FolderFile> found) {
  std::map<std::string, std::array<int64_t, 3>> rows;  // id, size, time
  for (Statement all(database, known); all.step();)
    rows[all.text(1)] = {all.integer(0), all.integer(2), all.integer(3)};
  FileChanges changes;
  for (FolderFile& file : found) {
    const auto it = rows.find(file.name);
    const bool same = it != rows.end() && it->second[1] == file.size && it->second[2] == file.time;
    if (it != rows.end()) rows.erase(it);
    if (!same) changes.due.push_back(std::move(file));
  }
  for (const auto& [name, row] : rows) changes.gone.push_back(row[0]);
  return changes;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace mynah::search
