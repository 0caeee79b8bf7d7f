#include "train/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "base/require.h"
#include "formats/safetensors.h"
#include "mynah/ops.h"
#include "store/digest.h"
#include "store/names.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr std::string_view kPrefix = "checkpoint-", kPartial = ".partial-checkpoint-";

void write_json(const fs::path& path, const Json& json) {
  AtomicFile file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

struct Found {
  int64_t step;
  fs::path path;
};

// Checkpoints by step, the oldest first.
std::vector<Found> checkpoints(const fs::path& output_dir) {
  std::vector<Found> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(output_dir, none)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    if (!entry.is_directory() || !name.starts_with(kPrefix)) continue;
    const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size();
    if (const auto [stop, error] = std::from_chars(begin, end, step); error == std::errc() && stop == end) all.push_back({step, entry.path()});
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.step < b.step; });
  return all;
}

bool is_of(const Found& f, const std::string& run) { return fs::exists(f.path / "trainer_state.json") && read_state(f.path).value("run", "") == run; }

// The manifest goes first, so that a kill in between leaves no folder that looks complete.
void remove_checkpoint(const fs::path& folder) {
  std::error_code ignored;
  fs::remove(folder / kManifest, ignored);
  fs::remove_all(folder, ignored);
}

}  // namespace

void write_checkpoint(const fs::path& output_dir, const CheckpointContent& content) {
  const auto step = content.state.at("global_step").get<int64_t>();
  const fs::path folder = output_dir / fmt::format("{}{}", kPrefix, step);
  const fs::path partial = output_dir / fmt::format("{}{}-{}", kPartial, step, ::getpid());
  try {
    fs::create_directories(partial);
    content.save_model(partial);
    std::vector<formats::OutputTensor> tensors;
    for (const auto& [name, tensor] : content.tensors) tensors.emplace_back(name, tensor.detach());
    formats::write_safetensors(partial / "optimizer.safetensors", tensors, {{"format", "pt"}});
    write_json(partial / "trainer_state.json", content.state);
    Json files = Json::object();
    std::vector<fs::path> names;
    for (const auto& entry : fs::recursive_directory_iterator(partial))
      if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(partial));
    std::sort(names.begin(), names.end());
    for (const fs::path& name : names) files[name.string()] = store::digest_of_file(partial / name).with_prefix();
    write_json(partial / kManifest, {{"step", step}, {"files", files}});
    if (fs::exists(folder)) {
      // The two change names at once: at no time is there no checkpoint of this name.
      if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) != 0) remove_checkpoint(folder);
      else remove_checkpoint(partial);
    }
    if (fs::exists(partial)) fs::rename(partial, folder);
    sync_folder(output_dir);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    fail(error.code() == std::errc::no_space_on_device ? ErrorCode::does_not_fit : ErrorCode::failure, "{}: cannot write: {}", folder.string(),
         error.code().message());
  } catch (const Error& error) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    fail(error.code(), "checkpoint-{} was not written: {}; earlier checkpoints are whole", step, error.what());
  }
}

void remove_leftovers(const fs::path& output_dir) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(output_dir, ignored))
    if (entry.path().filename().string().starts_with(kPartial)) fs::remove_all(entry.path(), ignored);
}

std::vector<std::string> checkpoints_of_others(const fs::path& output_dir, const std::string& run) {
  std::vector<std::string> names;
  for (const Found& f : checkpoints(output_dir)) {
    bool own = false;
    try {
      own = is_of(f, run);
    } catch (const Error&) {  // its state cannot be read
    }
    if (!own) names.push_back(f.path.filename().string());
  }
  return names;
}

void prune_checkpoints(const fs::path& output_dir, int64_t limit, const fs::path& keep, const std::string& run) {
  if (limit <= 0) return;
  std::vector<Found> all = checkpoints(output_dir);
  std::erase_if(all, [&](const Found& f) { return !is_of(f, run); });
  auto extra = static_cast<int64_t>(all.size()) - limit;
  for (size_t i = 0; i + 1 < all.size() && extra > 0; ++i) {
    if (all[i].path == keep) continue;
    remove_checkpoint(all[i].path);
    --extra;
  }
}

void verify_checkpoint(const fs::path& folder) {
  if (!fs::is_directory(folder)) fail(ErrorCode::not_found, "{}: no such checkpoint folder", folder.string());
  if (!fs::exists(folder / kManifest)) fail(ErrorCode::integrity, "{}: no {}; not a complete checkpoint of mynah", folder.string(), kManifest);
  const Json manifest = read_json_file(folder / kManifest);
  const auto files = manifest.is_object() ? manifest.find("files") : manifest.end();
  if (!manifest.is_object() || files == manifest.end() || !files->is_object() || !files->contains("trainer_state.json"))
    fail(ErrorCode::integrity, "{}: no list of files; not a complete checkpoint of mynah", (folder / kManifest).string());
  for (const auto& [name, digest] : files->items()) {
    if (!store::valid_file_name(name)) fail(ErrorCode::integrity, "{}: \"{}\" is no file of a checkpoint; the checkpoint is damaged, take another one", folder.string(), name);
    const fs::path path = folder / name;
    if (!fs::exists(path)) fail(ErrorCode::integrity, "{}: missing; the checkpoint is damaged, take another one", path.string());
    const std::string now = store::digest_of_file(path).with_prefix();
    if (!digest.is_string() || digest.get<std::string>() != now)
      fail(ErrorCode::integrity, "{}: got {}, the manifest says {}; the checkpoint is damaged, take another one", path.string(), now, digest.dump());
  }
}

std::optional<fs::path> newest_checkpoint(const fs::path& output_dir, const std::string& run) {
  std::vector<Found> all = checkpoints(output_dir);
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    try {
      verify_checkpoint(it->path);
      if (run.empty() || read_state(it->path).value("run", "") == run) return it->path;
    } catch (const Error& error) {
      warn("{} is passed over: {}", it->path.string(), error.what());
    }
  }
  return std::nullopt;
}

Json read_state(const fs::path& folder) {
  Json state = read_json_file(folder / "trainer_state.json");
  if (!state.is_object() || !state.contains("global_step") || !state["global_step"].is_number_integer())
    fail(ErrorCode::integrity, "{}: not the state of a training run", (folder / "trainer_state.json").string());
  return state;
}

void read_tensors(const fs::path& path, const NamedParameters& tensors) {
  const auto file = formats::SafetensorsFile::open(path);
  for (const auto& [name, target] : tensors) {
    if (!file->contains(name)) fail(ErrorCode::integrity, "{}: no {}; the checkpoint is of another run", path.string(), name);
    const Tensor value = contiguous(to(file->tensor(name), DType::f32));
    if (!(value.shape() == target.shape()))
      fail(ErrorCode::integrity, "{}: {} has shape {}, expected {}; the checkpoint is of another run", path.string(), name, value.shape().str(),
           target.shape().str());
    Tensor into = target;
    std::memcpy(into.raw(), value.raw(), value.nbytes());
  }
}

}  // namespace mynah::train
