// Rows of pictures and sounds to train on, kept as the paths of their files until a batch needs them.
#pragma once
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::train {

struct MediaRow {
  std::filesystem::path file;  // of the picture or sound
  Json fields;                 // the row as the file has it; of a folder of labels {"label": name of the inner folder}
  std::string where;
};

// `source`: a JSONL or CSV file whose rows name a file each under `key` ("image", "audio"), beside the rows' file unless absolute;
// or, where `folders` allows it, a folder with a folder of pictures for each label. In the order of the file, or of names. Throws
// not_found for a source or a row's file that is not there, failure for a folder without pictures.
std::vector<MediaRow> read_media_rows(const std::filesystem::path& source, const char* key, bool folders);

struct RowObject {
  const Json* category;
  std::array<double, 4> box;  // left, top, right, bottom in pixels
};
// What "objects" of a row says: {"bbox": [[left, top, width, height], ...], "category": [...]}. Throws failure for anything else, and
// for boxes without area. The row must stay.
std::vector<RowObject> objects_of(const MediaRow& row);

}  // namespace mynah::train
