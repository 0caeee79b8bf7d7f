#include "store/job.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "base/require.h"
#include "store/partial.h"

namespace mynah::store {
namespace {

// The stored file that has this content, if one is known: by digest, or by what the source called it last time.
std::optional<ModelFile> stored_file(const Folder& folder, const RemoteFile& file, const Model* previous) {
  if (file.digest && file.size_bytes && folder.has_blob(*file.digest, *file.size_bytes))
    return ModelFile{file.name, *file.digest, *file.size_bytes, file.role, file.etag};
  if (file.digest || file.etag.empty() || !previous) return std::nullopt;
  for (const auto& old : previous->files)
    if (old.etag == file.etag && (!file.size_bytes || old.size_bytes == *file.size_bytes) &&
        folder.has_blob(old.digest, old.size_bytes))
      return ModelFile{file.name, old.digest, old.size_bytes, file.role, file.etag};
  return std::nullopt;
}

std::string partial_key(const RemoteFile& file) {
  if (file.digest) return file.digest->hex();
  if (!file.git_name.empty()) return "git-" + file.git_name;
  return "url-" + digest_of_text(file.url + "\n" + file.etag).hex();
}

// Whether a 206 answer begins where we asked. Content-Range: bytes 100-199/200
bool range_begins_at(const HttpResponse& response, uint64_t from) {
  return response.header("content-range").starts_with(fmt::format("bytes {}-", from));
}

// One try to bring the partial file forward. Returns what the server said about trying again, empty when the transfer
// ended well.
struct Outcome {
  bool ended_well = false;
  std::string retry_after;
};
Outcome transfer_once(Job& job, const RemoteModel& remote, const RemoteFile& file, Partial& partial) {
  HttpRequest request{file.url, remote.token, {"Accept-Encoding: identity"}};
  request.range_from = partial.size_bytes();
  const auto start = [&](const HttpResponse& head) {
    if (head.status == 206 && !range_begins_at(head, partial.size_bytes()))
      fail(ErrorCode::network, "{}: {}: answers with another range than the one asked for", host_of(file.url),
           file.name);
    if (head.status == 200 && partial.size_bytes() > 0) partial.clear();  // it does not know ranges
    return head.status == 200 || head.status == 206;
  };
  const auto take = [&](const char* data, size_t size) {
    if (file.size_bytes && partial.size_bytes() + size > *file.size_bytes) {
      partial.discard();
      fail(ErrorCode::integrity, "{}: {}: more than the {} bytes expected; nothing was kept", host_of(file.url),
           file.name, *file.size_bytes);
    }
    partial.append(data, size);
    job.progress(file.name, partial.size_bytes(), file.size_bytes.value_or(0), file.digest, false);
  };
  const auto response = job.http.transfer(request, start, take);
  if (response.status == 200 || response.status == 206) return {true, {}};
  if (response.status == 416) {
    partial.clear();  // what we have is longer than what is there
    return {};
  }
  if (response.status == 429 || response.status >= 500) {
    log_info(fmt::format("{}: HTTP status {}", host_of(response.url), response.status));
    return {false, response.header("retry-after").empty() ? "0" : response.header("retry-after")};
  }
  fail_status(response, file.name);
}

// Transfers until all bytes are there. Tries without progress are counted; a try that brought something starts the
// count anew.
void transfer_all(Job& job, const RemoteModel& remote, const RemoteFile& file, Partial& partial) {
  if (file.size_bytes && partial.size_bytes() > *file.size_bytes) partial.clear();
  int failures = 0, restarts = 0;
  while (!file.size_bytes || partial.size_bytes() < *file.size_bytes) {
    const uint64_t before = partial.size_bytes();
    std::string reason = fmt::format("{}: {}: the server does not deliver it", host_of(file.url), file.name),
                retry_after;
    try {
      const auto outcome = transfer_once(job, remote, file, partial);
      if (outcome.ended_well && (!file.size_bytes || partial.size_bytes() == *file.size_bytes)) return;
      // A whole answer that brings nothing new, or a second "no such range": the file is not as long as was announced.
      const bool too_short =
          outcome.ended_well ? partial.size_bytes() <= before : partial.size_bytes() < before && ++restarts > 1;
      if (too_short && file.size_bytes) {
        partial.discard();
        fail(ErrorCode::integrity, "{}: {}: fewer bytes than the {} expected; nothing was kept", host_of(file.url),
             file.name, *file.size_bytes);
      }
      retry_after = outcome.retry_after;
    } catch (const TransportError& e) {
      reason = e.what();
      log_info(reason);
    }
    if (partial.size_bytes() > before) failures = 0;
    if (++failures >= job.settings.tries) fail(ErrorCode::network, "{}", reason);
    if (failures == 2) job.note(fmt::format("{} does not answer as it should; trying again", host_of(file.url)));
    job.http.pause(failures, retry_after);
  }
}

// The digest of the bytes that came, or nothing when they are not those that were announced.
std::optional<Digest> verified(const RemoteFile& file, const Partial& partial) {
  if (!file.digest && !file.git_name.empty() && git_object_name(partial.path()) != file.git_name) return std::nullopt;
  const Digest digest = digest_of_file(partial.path());
  if (file.digest && digest != *file.digest) return std::nullopt;
  return digest;
}

ModelFile fetch(Job& job, const RemoteModel& remote, const RemoteFile& file, const Model* previous) {
  std::optional<ModelFile> stored;
  bool told = false;
  auto partial = Partial::open(
      job.folder, partial_key(file),
      [&] {
        stored = stored_file(job.folder, file, previous);
        return stored.has_value();
      },
      [&](uint64_t size) {
        if (!told) job.note(fmt::format("another pull is fetching {}; waiting for it", file.name));
        told = true;
        job.progress(file.name, size, file.size_bytes.value_or(0), file.digest, false);
        return job.go_on();
      });
  if (!partial) return *stored;
  bool resumed = partial->size_bytes() > 0;
  if (resumed) job.note(fmt::format("{}: going on after {}", file.name, human_bytes(partial->size_bytes())));
  while (true) {
    job.progress(file.name, partial->size_bytes(), file.size_bytes.value_or(0), file.digest, true);
    transfer_all(job, remote, file, *partial);
    const uint64_t size = partial->size_bytes();
    if (const auto digest = verified(file, *partial)) {
      job.progress(file.name, size, size, digest, true);
      partial->commit(job.folder, *digest);
      return {file.name, *digest, size, file.role, file.etag};
    }
    if (!resumed) break;
    // The bytes kept from an earlier pull may be the wrong ones.
    job.note(fmt::format("{}: the digest does not match; fetching it afresh", file.name));
    resumed = false;
    partial->clear();
  }
  partial->discard();
  fail(ErrorCode::integrity,
       "{}: {}: the bytes have another digest than the one announced; nothing was kept, try again later",
       host_of(file.url), file.name);
}

uint64_t partial_bytes(const Folder& folder, const RemoteFile& file) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(folder.partial(partial_key(file)), error);
  return error ? 0 : size;
}

}  // namespace

void Job::progress(const std::string& file, uint64_t done, uint64_t total, const std::optional<Digest>& digest,
                   bool always) {
  if (!options.progress) return;
  const auto now = std::chrono::steady_clock::now();
  if (!always && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  options.progress(Progress{file, done, total, all_done_ + done, all_total_, digest ? digest->hex() : std::string()});
}

uint64_t missing_bytes(const Folder& folder, const RemoteModel& remote, const Model* previous) {
  uint64_t bytes = 0;
  for (const auto& file : remote.files)
    if (file.size_bytes && !stored_file(folder, file, previous))
      bytes += *file.size_bytes - std::min(*file.size_bytes, partial_bytes(folder, file));
  return bytes;
}

Model download(Job& job, const RemoteModel& remote, const Model* previous) {
  job.folder.create();
  require_space(job.folder.home(), missing_bytes(job.folder, remote, previous), remote.source);
  uint64_t total = 0;
  for (const auto& file : remote.files) total += file.size_bytes.value_or(0);
  job.expect(total);
  Model model;
  model.source = remote.source;
  model.revision = remote.revision;
  model.licence = remote.licence;
  for (const auto& file : remote.files) {
    model.files.push_back(fetch(job, remote, file, previous));
    job.file_done(model.files.back().size_bytes);
  }
  return model;
}

void fail_status(const HttpResponse& response, const std::string& what) {
  const std::string host = host_of(response.url), code = response.header("x-error-code");
  std::string message = response.header("x-error-message");
  if (message.empty() && response.body.starts_with("{")) {
    try {
      const Json body = parse_json(response.body, host);
      if (body.contains("error") && body["error"].is_string()) message = body["error"].get<std::string>();
    } catch (const Error&) {  // an error page that is no JSON says nothing more
    }
  }
  // One line, of bounded length, whatever the server sends.
  message = message.substr(0, 200);
  std::replace_if(message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  const std::string said = message.empty() ? "" : fmt::format(" ({})", message);
  if (code == "GatedRepo")
    fail(ErrorCode::auth, "{}: {}: access is given on request{}; accept the terms on its page and set HF_TOKEN", host,
         what, said);
  // The hub answers 401 to a wrong name, unless a token shows that the name is there.
  const bool hides = response.status == 401 && code.empty() && message == "Invalid username or password.";
  if (code == "RevisionNotFound")
    fail(ErrorCode::not_found, "{}: {}: no such revision{}; check what follows the @", host, what, said);
  if (code == "RepoNotFound" || code == "EntryNotFound" || response.status == 404 || response.status == 410 || hides)
    fail(ErrorCode::not_found, "{}: {}: not found{}; check the name, or set HF_TOKEN if it is private", host, what,
         said);
  if (response.status == 401 || response.status == 403)
    fail(ErrorCode::auth, "{}: {}: access refused with HTTP status {}{}; set HF_TOKEN to a token that may read it",
         host, what, response.status, said);
  fail(ErrorCode::network, "{}: {}: HTTP status {}{}; try again later", host, what, response.status, said);
}

}  // namespace mynah::store
