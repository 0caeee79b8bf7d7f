// The model store: content-addressed files on this machine, and the sources that models are pulled from.
// Thread-safe: a Store has no state of its own but its settings; what several processes do at once is ordered by file
// locks.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/digest.h"

namespace mynah::store {

// Where things are, taken from the environment by from_environment() and given directly by tests.
struct Settings {
  std::filesystem::path home;                    // MYNAH_HOME, else the XDG data folder
  std::string hub_endpoint;                      // HF_ENDPOINT
  std::string hub_token;                         // HF_TOKEN, else the token file of the hub's own tools; empty without
  std::vector<std::filesystem::path> hub_cache;  // HF_HUB_CACHE, HF_HOME/hub or the default: read in place
  std::filesystem::path ollama_models;           // OLLAMA_MODELS or the default: read in place
  bool offline = false;                          // MYNAH_OFFLINE
  double stall_s = 30;                           // a transfer that delivers nothing for so long is taken up again
  double backoff_s = 0.5;                        // first pause between two tries; doubles each time
  int tries = 6;                                 // in a row without a byte of progress

  static Settings from_environment();
};

// One file of a stored model. `name` is relative to the model's folder ("config.json", "1_Pooling/config.json").
struct ModelFile {
  std::string name;
  Digest digest;
  uint64_t size_bytes = 0;
  std::string role;  // "" for plain files; model, projector, adapter, template, system, params, messages, license,
                     // config for layers of a registry
  std::string etag;  // what the source calls this content, to know it again; may be empty
};

struct Model {
  std::string name;       // as `list` shows it
  std::string source;     // where it came from, as a name that can be pulled, or a path
  std::string revision;   // commit or version at the source; may be empty
  std::string licence;    // as the source states it; may be empty
  std::string pulled_at;  // UTC, 2026-01-31T12:00:00Z
  std::vector<ModelFile> files;
  std::string digest;  // 64 hexadecimal digits that stand for the files' names, roles and contents

  uint64_t size_bytes() const;
  const ModelFile* find_role(std::string_view role) const;
};

// Called from the pulling thread about ten times a second, and at the start and the end of each file.
struct Progress {
  std::string file;
  uint64_t done_bytes = 0, total_bytes = 0;          // of this file; total 0 when not known
  uint64_t all_done_bytes = 0, all_total_bytes = 0;  // of the whole pull; total 0 when not known
  std::string digest;                                // of this file, when known beforehand: 64 hexadecimal digits
};

struct PullOptions {
  std::function<void(const Progress&)> progress;
  std::function<void(std::string_view)> note;  // one sentence for people: a source that was skipped, a wait, a check
  std::function<bool()> cancelled;  // true ends the pull with `interrupted`; what has come stays for the next try
  bool insecure = false;            // allow plain http to the registry that the name gives
};

// What a pull would do.
struct Plan {
  std::string name, source, revision, licence;
  uint64_t download_bytes = 0;  // what is not here yet; 0 with `complete` false: the source does not say
  uint64_t size_bytes = 0;      // of the stored model; 0 when the source does not say
  bool complete = false;        // already stored (a catalogue name, or an unchanged model)
  std::vector<std::string> files;
};

// A MODEL argument turned into something to open.
struct Resolved {
  std::filesystem::path path;  // a .gguf file or a folder; a folder of the store holds links into its blobs
  enum class Place { path, store, hub_cache, ollama_cache } place = Place::path;
  std::optional<Model> model;  // when it is a stored one
};

// A file to be taken into the store by create().
struct NewFile {
  std::string name, role;
  std::filesystem::path path;    // copied (shared blocks where the file system can), unless
  std::optional<Digest> digest;  // it is stored already, or
  std::optional<std::string> text;
};

class Store {
 public:
  explicit Store(Settings settings = Settings::from_environment());
  const Settings& settings() const { return settings_; }

  // Newest first. A manifest that cannot be read is left out with a warning in the log.
  std::vector<Model> list() const;
  // The stored model of this name (`x` and `x:latest` are one; case does not matter; `ollama:x` answers to `x` if
  // nothing else does).
  std::optional<Model> find(std::string_view name) const;
  // The same; throws not_found with suggestions.
  Model show(std::string_view name) const;

  // The local path of MODEL: an existing path, a stored model, or one found in place in the caches of the hub's tools
  // or Ollama. Nothing if it is none of these but could be pulled. Throws not_found for what is neither here nor a name
  // that could be pulled, integrity for a stored model with missing or cut files. Makes no request.
  std::optional<Resolved> resolve(std::string_view name) const;

  // Fetches MODEL and stores it under its name. Throws not_found, auth, network, integrity, does_not_fit, interrupted,
  // busy.
  Model pull(std::string_view name, const PullOptions& options = {}) const;
  Plan plan(std::string_view name, const PullOptions& options = {}) const;

  // Removes the name, and the files that no other name uses. Returns the bytes freed. Throws not_found.
  uint64_t remove(std::string_view name) const;
  // Removes what processes that were killed have left behind: files that no name uses and unfinished ones. Nothing younger than `age`
  // goes, for a file may be uploaded before its model is made; rests of downloads, which go on where they broke, stay for 14 days.
  // Does nothing while another process or thread brings files in. Returns the bytes freed.
  uint64_t collect(std::chrono::seconds age = std::chrono::hours(1)) const;
  // A second name for the same files. Throws not_found, usage for a name that cannot be used.
  Model copy(std::string_view from, std::string_view to) const;
  // A model made here. Throws usage for a bad name, not_found for a missing file or digest.
  Model create(std::string_view name, std::string_view source, std::string_view licence,
               const std::vector<NewFile>& files) const;

  // Folder or .gguf file through which the loader opens a stored model; made when it is missing.
  std::filesystem::path materialise(const Model& model) const;
  std::filesystem::path blob_path(const Digest& digest) const;
  bool has_blob(const Digest& digest) const;
  // Takes bytes (an upload) into the store: `read` fills a buffer and returns how much, 0 at the end. Throws integrity,
  // and keeps nothing, unless the bytes have this digest.
  void put_blob(const Digest& expected, const std::function<size_t(char* buffer, size_t size)>& read) const;

  // Names that can be pulled or are stored and look like this one, nearest first, at most three.
  std::vector<std::string> suggestions(std::string_view name) const;
  // Short names that the catalogue knows.
  static std::vector<std::string> catalogue();
  // Disk space that the store takes.
  uint64_t disk_bytes() const;

 private:
  // The model that this name would replace: the same name but for case and ":latest".
  std::optional<Model> find_same(std::string_view name) const;
  std::string did_you_mean(std::string_view name) const;

  Settings settings_;
};

}  // namespace mynah::store
