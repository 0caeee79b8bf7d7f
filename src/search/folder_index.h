// An index over the text files of a folder: their passages, found by words (SQLite's FTS5) and by meaning (vectors of
// sentences).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "search/database.h"
#include "search/folder_files.h"
#include "search/passages.h"

namespace mynah::search {

// Texts to vectors of length 1, all of one size.
using Embed = std::function<std::vector<std::vector<float>>(const std::vector<std::string>&)>;

struct IndexChanges {
  // files (of text) and passages: in the index now; read, removed: by this update; no_text: files below the folder that are passed over
  int64_t files = 0, read = 0, removed = 0, passages = 0, no_text = 0;
  std::vector<std::string> skipped;  // files that cannot be read or are too long, with the reason
};

struct Hit {
  std::string path;  // relative to the folder
  Passage passage;
  double score = 0;        // of the two rankings joined; the first hit has the largest
  double similarity = 0;   // cosine with the question
  bool has_words = false;  // words of the question stand in it
};

class FolderIndex {
 public:
  // The index of `folder`, kept in `store` under a name made from the folder's path. `model`: whose vectors it holds;
  // an index of another model's vectors is made anew. Throws not_found if there is no such folder.
  FolderIndex(const std::filesystem::path& folder, const std::filesystem::path& store, const std::string& model);

  bool empty();
  // Reads what is new or changed since the last time and forgets what is gone. Hidden files and folders, files that are
  // no text and those above 4 MB are passed over. Each file is taken in whole or not at all. `progress(done, all)`
  // counts files.
  IndexChanges update(const PassageLimits& limits, const Embed& embed,
                      const std::function<void(int64_t, int64_t)>& progress);
  // At most `most` passages for a question, best first: those with its words and those near it in meaning, by the sum
  // of their reciprocal ranks (k = 60). Empty if no passage has one of its words and none has a cosine of at least
  // `least`.
  std::vector<Hit> search(const std::string& question, const std::vector<float>& vector, int64_t most, double least);

 private:
  bool take_in(const FolderFile& file, const PassageLimits& limits, const Embed& embed);  // false: it is no text
  void forget(int64_t file);

  std::filesystem::path folder_;
  Database database_;
};

}  // namespace mynah::search
