// An index over the pictures of a folder: a vector of each, found by the nearness of another vector.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "search/database.h"
#include "search/folder_index.h"

namespace mynah::search {

// The picture of a file as a vector of length 1. Throws failure or integrity for what is no picture.
using EmbedPicture = std::function<std::vector<float>(const std::filesystem::path& file)>;

struct PictureHit {
  std::string path;  // relative to the folder
  double similarity = 0;
};

class PictureIndex {
 public:
  // The index of `folder`, kept in `store`; `model`: whose vectors it holds, an index of another model's is made anew. Throws
  // not_found if there is no such folder.
  PictureIndex(const std::filesystem::path& folder, const std::filesystem::path& store, const std::string& model);

  // Reads the pictures that `wanted` names and that are new or changed since the last time and forgets those
  // that are gone. What cannot be read is passed over, and tried again when it changes.
  IndexChanges update(const std::function<bool(const std::filesystem::path&)>& wanted, const EmbedPicture& embed, const std::function<void(int64_t, int64_t)>& progress);
  // The nearest first, at most `most`. Every vector is compared.
  std::vector<PictureHit> search(const std::vector<float>& vector, int64_t most);

 private:
  std::filesystem::path folder_;
  Database database_;
};

}  // namespace mynah::search
