#include "store/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/require.h"
#include "store/json_field.h"
#include "store/names.h"

namespace mynah::store {
namespace fs = std::filesystem;
namespace {

constexpr size_t kManifestLimit = 16u << 20;
constexpr size_t kFilesLimit = 10000;

// A name as one path component: what is not a letter, digit, '-', '_' or inner '.' becomes %XX.
std::string encode(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '_' || (c == '.' && !out.empty());
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Json to_json(const Model& model) {
  Json files = Json::array();
  for (const auto& file : model.files) {
    Json row{{"name", file.name}, {"digest", file.digest.with_prefix()}, {"size", file.size_bytes}};
    if (!file.role.empty()) row["role"] = file.role;
    if (!file.etag.empty()) row["etag"] = file.etag;
    files.push_back(std::move(row));
  }
  return Json{{"version", 1},
              {"name", model.name},
              {"source", model.source},
              {"revision", model.revision},
              {"licence", model.licence},
              {"pulled_at", model.pulled_at},
              {"files", std::move(files)}};
}

Model from_json(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("files") || !json["files"].is_array() || json["files"].size() > kFilesLimit)
    fail(ErrorCode::integrity, "{}: not a manifest of the model store", where);
  Model model;
  model.name = text_field(json, "name");
  model.source = text_field(json, "source");
  model.revision = text_field(json, "revision");
  model.licence = text_field(json, "licence");
  model.pulled_at = text_field(json, "pulled_at");
  for (const auto& row : json["files"]) {
    if (!row.is_object() || !row.contains("size") || !row["size"].is_number_unsigned())
      fail(ErrorCode::integrity, "{}: a file without size", where);
    ModelFile file{text_field(row, "name"), Digest::parse(text_field(row, "digest"), where), row["size"].get<uint64_t>(),
                   text_field(row, "role"), text_field(row, "etag")};
    if (!valid_file_name(file.name))
      fail(ErrorCode::integrity, "{}: a file name that leaves the model's folder", where);
    model.files.push_back(std::move(file));
  }
  set_digest(model);
  return model;
}

}  // namespace

fs::path Folder::partial(std::string_view key) const { return home_ / "blobs" / "partial" / encode(key); }
fs::path Folder::manifest(std::string_view name) const { return home_ / "manifests" / (encode(name) + ".json"); }

void Folder::create() const {
  std::error_code error;
  const bool made = fs::create_directories(home_, error);
  if (made) fs::permissions(home_, fs::perms::owner_all, error);
  for (const char* part : {"blobs/partial", "manifests", "snapshots"}) {
    fs::create_directories(home_ / part, error);
    if (error)
      fail(ErrorCode::failure, "store: cannot create {}: {}; check its owner or set MYNAH_HOME",
           (home_ / part).string(), error.message());
  }
}

bool Folder::has_blob(const Digest& digest, uint64_t size_bytes) const {
  struct stat info;
  return ::stat(blob(digest).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<uint64_t>(info.st_size) == size_bytes;
}

std::vector<Model> Folder::read_manifests(bool* complete) const {
  std::vector<Model> models;
  if (complete) *complete = true;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(home_ / "manifests", error)) {
    if (entry.path().extension() != ".json") continue;
    try {
      const std::string where = "manifest " + entry.path().filename().string();
      models.push_back(from_json(parse_json(read_text_file(entry.path(), kManifestLimit), where), where));
    } catch (const Error& e) {
      if (e.code() == ErrorCode::not_found) continue;  // removed while we read
      warn("{}", e.what());
      if (complete) *complete = false;
    }
  }
  std::sort(models.begin(), models.end(), [](const Model& a, const Model& b) {
    return a.pulled_at != b.pulled_at ? a.pulled_at > b.pulled_at : a.name < b.name;
  });
  return models;
}

bool Folder::intact(const Model& model) const {
  return std::all_of(model.files.begin(), model.files.end(),
                     [&](const ModelFile& f) { return has_blob(f.digest, f.size_bytes); });
}

void Folder::replace(const Model* previous, const Model& model) const {
  AtomicFile file(manifest(model.name));
  file.write(to_json(model).dump(1) + "\n");
  file.commit();
  if (!previous) return;
  std::error_code error;
  if (previous->name != model.name) fs::remove(manifest(previous->name), error);
  if (previous->digest != model.digest) remove_unused(*previous);
}

uint64_t Folder::remove_unused(const Model& gone) const {
  std::set<Digest> used;
  bool snapshot_used = false;
  bool complete = false;
  const auto models = read_manifests(&complete);
  if (!complete) return 0;  // what the unreadable one uses is not known
  for (const auto& model : models) {
    for (const auto& file : model.files) used.insert(file.digest);
    snapshot_used |= model.digest == gone.digest;
  }
  std::error_code error;
  if (!snapshot_used) fs::remove_all(snapshots() / gone.digest, error);
  uint64_t freed = 0;
  for (const auto& file : gone.files)
    if (used.insert(file.digest).second && fs::remove(blob(file.digest), error) && !error) freed += file.size_bytes;
  return freed;
}

namespace {

int open_lock(const Folder& folder, const char* name) {
  folder.create();
  const auto path = folder.home() / name;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) fail(ErrorCode::failure, "store: cannot open {}: {}", path.string(), std::strerror(errno));
  return descriptor;
}

// False if it would have to wait and may not.
bool take_lock(int descriptor, int operation) {
  while (::flock(descriptor, operation) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) fail(ErrorCode::failure, "store: cannot lock its folder: {}", std::strerror(errno));
  }
  return true;
}

}  // namespace

FolderLock::FolderLock(const Folder& folder) : descriptor_(open_lock(folder, "lock")) { take_lock(descriptor_, LOCK_EX); }

FolderLock::~FolderLock() { ::close(descriptor_); }

FolderUse::FolderUse(const Folder& folder) : descriptor_(open_lock(folder, "use.lock")) { take_lock(descriptor_, LOCK_SH); }

std::optional<FolderUse> FolderUse::alone(const Folder& folder) {
  FolderUse use;
  use.descriptor_ = open_lock(folder, "use.lock");
  if (!take_lock(use.descriptor_, LOCK_EX | LOCK_NB)) return std::nullopt;
  return use;
}

FolderUse::~FolderUse() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void set_digest(Model& model) {
  Hasher hasher;
  for (const auto& file : model.files) hasher.add(file.name + "\n" + file.role + "\n" + file.digest.hex() + "\n");
  model.digest = hasher.finish().hex();
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts;
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"kB", "MB", "GB", "TB"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, unit);
}

void require_space(const fs::path& folder, uint64_t bytes, std::string_view what) {
  struct statvfs info;
  if (::statvfs(folder.c_str(), &info) != 0) return;
  const uint64_t free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (bytes > free_bytes)
    fail(ErrorCode::does_not_fit,
         "{}: {} are needed, {} are free in {}; free some space or set MYNAH_HOME to another disk", what,
         human_bytes(bytes), human_bytes(free_bytes), folder.string());
}

void make_snapshot(const fs::path& folder, const std::vector<ModelFile>& files,
                   const std::function<fs::path(const ModelFile&)>& target) {
  static std::atomic<unsigned> counter{0};
  fs::path temporary = folder;
  temporary += fmt::format(".tmp-{}-{}", ::getpid(), counter.fetch_add(1));
  std::error_code error;
  for (const auto& file : files) {
    const fs::path link = temporary / file.name;
    fs::create_directories(link.parent_path(), error);
    if (!error) fs::create_symlink(target(file), link, error);
    if (error) break;
  }
  if (error) {
    const std::string reason = error.message();
    fs::remove_all(temporary, error);
    fail(ErrorCode::failure, "store: cannot make links in {}: {}", folder.parent_path().string(), reason);
  }
  fs::rename(temporary, folder, error);
  if (error) {  // another process was first, or an incomplete folder is in the way
    fs::path old = temporary;
    old += "-old";
    fs::rename(folder, old, error);
    fs::rename(temporary, folder, error);
    std::error_code ignored;
    fs::remove_all(old, ignored);
    fs::remove_all(temporary, ignored);
  }
}

fs::path entry_point(const fs::path& folder, const std::vector<ModelFile>& files) {
  std::string first;
  for (const auto& file : files) {
    if (file.name == "config.json") return folder;
    if (lower(file.name).ends_with(".gguf") && (file.role.empty() || file.role == "model") &&
        (first.empty() || file.name < first))
      first = file.name;
  }
  return first.empty() ? folder : folder / first;
}

}  // namespace mynah::store
