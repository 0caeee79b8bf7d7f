#include "train/media_rows.h"

#include <algorithm>

#include "base/require.h"
#include "data/rows.h"
#include "media/animation.h"
#include "mynah/json.h"

namespace mynah::train {

namespace fs = std::filesystem;

std::vector<MediaRow> read_media_rows(const fs::path& source, const char* key, bool folders) {
  std::vector<MediaRow> rows;
  std::error_code error;
  if (!fs::is_directory(source, error)) {
    data::for_each_row(source, [&](const Json& row, const std::string& where) {
      const fs::path named = data::text_field(row, key, where), file = named.is_absolute() ? named : source.parent_path() / named;
      if (!fs::is_regular_file(file, error)) fail(ErrorCode::not_found, "{}: {}: no such file", where, file.string());
      rows.push_back({file, row, where});
    });
    return rows;
  }
  if (!folders) fail(ErrorCode::usage, "{}: a folder, expected a .jsonl or .csv file whose rows name their files under \"{}\"", source.string(), key);
  std::vector<fs::path> labels;
  for (const auto& entry : fs::directory_iterator(source))
    if (entry.is_directory(error) && !entry.path().filename().string().starts_with('.')) labels.push_back(entry.path());
  std::sort(labels.begin(), labels.end());
  for (const fs::path& label : labels)
    for (const fs::path& file : media::pictures_in(label)) rows.push_back({file, {{"label", label.filename().string()}}, file.string()});
  require(!rows.empty(), "{}: expected a folder of pictures for each label", source.string());
  return rows;
}

std::vector<RowObject> objects_of(const MediaRow& row) {
  const Json& objects = data::field(row.fields, "objects", row.where);
  require(objects.is_object() && objects.contains("bbox") && objects["bbox"].is_array() && objects.contains("category") && objects["category"].is_array() &&
              objects["bbox"].size() == objects["category"].size(),
          "{}: expected \"objects\": {{\"bbox\": [...], \"category\": [...]}} with as many of both", row.where);
  std::vector<RowObject> all;
  for (size_t i = 0; i < objects["bbox"].size(); ++i) {
    const Json& b = objects["bbox"][i];
    require(b.is_array() && b.size() == 4 && std::all_of(b.begin(), b.end(), [](const Json& v) { return v.is_number(); }), "{}: box {}, expected [left, top, width, height]", row.where, b.dump());
    const double left = b[0].get<double>(), top = b[1].get<double>(), width = b[2].get<double>(), height = b[3].get<double>();
    require(width > 0 && height > 0, "{}: box {} has no area", row.where, b.dump());
    all.push_back({&objects["category"][i], {left, top, left + width, top + height}});
  }
  return all;
}

}  // namespace mynah::train
