// One pull under way: what every source needs while it fetches, and the download of one verified file.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "store/folder.h"
#include "store/http.h"

namespace mynah::store {

// A file as a source offers it. At least one of `digest` and `git_name` is known from honest hubs; a mirror may know
// neither.
struct RemoteFile {
  std::string name, role, url, etag;
  std::optional<uint64_t> size_bytes;
  std::optional<Digest> digest;
  std::string git_name;  // 40 hexadecimal digits, see git_object_name()
};

// What a hub or registry offers under a name.
struct RemoteModel {
  std::string source, revision, licence, token;
  std::vector<RemoteFile> files;
};

class Job {
 public:
  Job(const Settings& where, const Folder& into, const PullOptions& how)
      : settings(where), folder(into), options(how), http(where, how.cancelled) {}

  void note(std::string_view text) const {
    if (options.note) options.note(text);
  }
  // False when the caller wants to stop.
  bool go_on() const { return !(options.cancelled && options.cancelled()); }
  // Tells how far `file` is; passed on ten times a second and whenever `always`.
  void progress(const std::string& file, uint64_t done, uint64_t total, const std::optional<Digest>& digest,
                bool always);
  // The whole pull: bytes of all files, and those of the files that are done.
  void expect(uint64_t bytes) { all_total_ = bytes; }
  void file_done(uint64_t bytes) { all_done_ += bytes; }

  const Settings& settings;
  const Folder& folder;
  const PullOptions& options;
  Http http;

 private:
  uint64_t all_total_ = 0, all_done_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

// Fetches all files of `remote` that are not stored yet. `previous` is what is stored under the same name, whose
// unchanged files are not fetched again.
Model download(Job& job, const RemoteModel& remote, const Model* previous);
// How many bytes download() would transfer.
uint64_t missing_bytes(const Folder& folder, const RemoteModel& remote, const Model* previous);

// Turns the status of a hub's or registry's answer into an error: not_found, auth or network.
[[noreturn]] void fail_status(const HttpResponse& response, const std::string& what);

}  // namespace mynah::store
