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

}  // namespace mynah::train
