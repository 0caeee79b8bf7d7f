// Rows of pictures and sounds: what they say and the paths of their files, which are read when a batch needs them.
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/row_file.h"

namespace mynah::train {

struct MediaRow {
  std::filesystem::path file;  // of the picture or sound
  Json fields;                 // the row as the file has it; of a folder of labels {"label": name of the inner folder}
  std::string where;
};

// Where rows of pictures or sounds stand: a JSONL or CSV file whose rows name a file each under `key` ("image", "audio"), beside the rows' file
// unless absolute; or, where `folders` allows it, a folder with a folder of pictures for each label.
struct MediaSource {
  std::filesystem::path path;
  std::string key;
  bool folders = false;
};

// In the order of the file, or of names. Throws not_found for a source or a row's file that is not there, failure for a folder without pictures.
void for_each_media_row(const MediaSource& source, const std::function<void(const MediaRow&)>& visit);

// The same rows, kept in a token file. None of an empty path.
class MediaRows {
 public:
  MediaRows(const Arguments& arguments, const MediaSource& source);

  int64_t size() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }
  MediaRow operator[](int64_t i) const;

 private:
  struct Kept {
    RowText fields;  // as JSON
    std::string where;

    template <class Parts>
    void each_part(Parts& part) {
      part(fields);
      part(where);
    }
  };

  MediaSource source_;
  RowFile<Kept> rows_;
};

struct RowObject {
  const Json* category;
  std::array<double, 4> box;  // left, top, right, bottom in pixels
};
// What "objects" of a row says: {"bbox": [[left, top, width, height], ...], "category": [...]}. Throws failure for anything else, and
// for boxes without area. The row must stay.
std::vector<RowObject> objects_of(const MediaRow& row);

}  // namespace mynah::train
