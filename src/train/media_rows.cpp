#include "train/media_rows.h"

#include <algorithm>

#include "base/require.h"
#include "data/rows.h"
#include "media/animation.h"
#include "mynah/json.h"
#include "store/digest.h"

namespace mynah::train {

namespace fs = std::filesystem;

namespace {

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

MediaRow row_of(const MediaSource& source, Json fields, std::string where) {
  if (is_folder(source.path)) return {where, std::move(fields), where};
  const fs::path named = data::text_field(fields, source.key.c_str(), where);
  return {named.is_absolute() ? named : source.path.parent_path() / named, std::move(fields), std::move(where)};
}

void check_there(const MediaRow& row) {
  std::error_code error;
  if (!fs::is_regular_file(row.file, error)) fail(ErrorCode::not_found, "{}: {}: no such file", row.where, row.file.string());
}

void for_each_picture(const MediaSource& source, const std::function<void(const fs::path& label, const fs::path& picture)>& visit) {
  if (!source.folders) fail(ErrorCode::usage, "{}: a folder, expected a .jsonl or .csv file whose rows name their files under \"{}\"", source.path.string(), source.key);
  std::vector<fs::path> labels;
  for (const auto& entry : fs::directory_iterator(source.path))
    if (is_folder(entry.path()) && !entry.path().filename().string().starts_with('.')) labels.push_back(entry.path());
  std::sort(labels.begin(), labels.end());
  bool any = false;
  for (const fs::path& label : labels)
    for (const fs::path& picture : media::pictures_in(label)) {
      any = true;
      visit(label, picture);
    }
  require(any, "{}: expected a folder of pictures for each label", source.path.string());
}

// Decided by the contents of a file of rows, or by the names in a folder.
fs::path place_of(const Arguments& arguments, const MediaSource& source) {
  if (!is_folder(source.path)) return token_file_path(arguments, {source.path}, {}, "rows of " + source.key);
  store::Hasher names;
  for_each_picture(source, [&](const fs::path&, const fs::path& picture) { names.add(fs::relative(picture, source.path).string() + "\n"); });
  return token_file_path(arguments, {}, {}, "pictures " + names.finish().hex());
}

}  // namespace

void for_each_media_row(const MediaSource& source, const std::function<void(const MediaRow&)>& visit) {
  if (is_folder(source.path)) {
    for_each_picture(source, [&](const fs::path& label, const fs::path& picture) { visit(row_of(source, {{"label", label.filename().string()}}, picture.string())); });
    return;
  }
  data::for_each_row(source.path, [&](Json fields, const std::string& where) {
    const MediaRow row = row_of(source, std::move(fields), where);
    check_there(row);
    visit(row);
  });
}

MediaRows::MediaRows(const Arguments& arguments, const MediaSource& source) : source_(source) {
  if (source.path.empty()) return;
  bool read = false;
  rows_ = keep_rows<Kept>(place_of(arguments, source), source.path, [&](RowSink<Kept>& sink) {
    read = true;
    for_each_media_row(source, [&](const MediaRow& row) { sink.add({{to_text(row.fields)}, row.where}); });
  }, arguments.should_stop);
  // What an earlier run saw may be gone since.
  for (int64_t i = 0; !read && i < size(); ++i) check_there((*this)[i]);
}

MediaRow MediaRows::operator[](int64_t i) const {
  Kept kept = rows_[i];
  return row_of(source_, parse_json(kept.fields.text, kept.where), std::move(kept.where));
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
