// What the indexes of folders share: whose vectors they hold, which files changed, how near two vectors are.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "search/database.h"
#include "search/folder_files.h"

namespace mynah::search {

// Writes down whose vectors the index holds, in its table about(key, value). If they were another model's, the index is
// emptied by the statements `forget_all` before.
void keep_model(Database& database, const std::string& model, const char* forget_all);

struct FileChanges {
  std::vector<FolderFile> due;  // new, or of another size or time than the index knows
  std::vector<int64_t> gone;    // ids, by path
};
// What became of the files since the last time. `known`: a statement that gives id, path, size and time of each.
FileChanges changes_since(Database& database, const char* known, std::vector<FolderFile> found);

double dot(std::span<const float> a, std::span<const float> b);  // of one size

}  // namespace mynah::search
