// A hub of one repository, org/model, whose large files lie on another server, as on the real one.
#pragma once

#include <mutex>

#include "mynah/json.h"
#include "store/store_fixture.h"

namespace mynah::test {

class FakeHub {
 public:
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  FakeHub()
      : cdn([this](const Request& r) { return serve_cdn(r); }), server([this](const Request& r) { return serve(r); }) {}

  std::map<std::string, std::string> files;  // all of the repository
  std::string licence = "apache-2.0";
  bool blobs = true;  // the information carries sizes and digests
  bool needs_token = false, gated = false;
  std::function<void(const Request&, Response&)> change;  // has the last word on answers for large files
  // Changes these fields in step with the servers' threads. Needed where a process of its own asks them, whose requests order nothing here.
  void edit(const std::function<void()>& how) {
    const std::lock_guard lock(mutex);
    how();
  }
  std::mutex mutex;
  HttpServer cdn, server;  // the last, so that they end before what they read

 private:
  static bool is_large(const std::string& name) {
    return name.ends_with(".safetensors") || name.ends_with(".bin") || name.ends_with(".gguf");
  }
  static std::string git_name(const std::string& text) {
    const TemporaryFolder folder;
    return store::git_object_name(folder.write("x", text));
  }

  Response serve(const Request& request) {
    const std::lock_guard lock(mutex);
    if (request.path.find("/other/") != std::string::npos) return {404, {{"X-Error-Code", "RepoNotFound"}}, "{}"};
    if (request.path.find("/hidden/") != std::string::npos)
      return {401, {{"X-Error-Message", "Invalid username or password."}}, ""};
    if (needs_token && request.header("authorization") != "Bearer secret") return {401, {}, "{\"error\":\"no token\"}"};
    const std::string api = "/api/models/org/model", resolve = std::string("/org/model/resolve/") + kCommit + "/";
    if (request.path == api + "/revision/main") return {200, {}, information().dump()};
    if (request.path.starts_with(api + "/revision/")) return {404, {{"X-Error-Code", "RevisionNotFound"}}, "{}"};
    if (!request.path.starts_with(resolve)) return {404, {{"X-Error-Code", "EntryNotFound"}}, "{}"};
    if (gated) return {403, {{"X-Error-Code", "GatedRepo"}}, "{}"};
    const auto it = files.find(request.path.substr(resolve.size()));
    if (it == files.end()) return {404, {{"X-Error-Code", "EntryNotFound"}}, "{}"};
    const bool large = is_large(it->first);
    std::vector<std::pair<std::string, std::string>> headers{{"X-Repo-Commit", kCommit}};
    if (large) {
      headers.emplace_back("X-Linked-Etag", "\"" + store::digest_of_text(it->second).hex() + "\"");
      headers.emplace_back("X-Linked-Size", std::to_string(it->second.size()));
      headers.emplace_back("Location", cdn.url() + "/" + it->first);
      return {302, headers, "Found"};
    }
    headers.emplace_back("ETag", "\"" + git_name(it->second) + "\"");
    return {200, headers, it->second};
  }

  Response serve_cdn(const Request& request) {
    std::unique_lock lock(mutex);
    auto response = HttpServer::file(request, files.at(request.path.substr(1)));
    const auto last_word = change;
    lock.unlock();
    if (last_word) last_word(request, response);
    return response;
  }

  Json information() const {
    Json siblings = Json::array();
    for (const auto& [name, bytes] : files) {
      Json row{{"rfilename", name}};
      if (blobs) {
        row["size"] = bytes.size();
        row["blobId"] = git_name(bytes);
        if (is_large(name)) row["lfs"] = {{"sha256", store::digest_of_text(bytes).hex()}, {"size", bytes.size()}};
      }
      siblings.push_back(row);
    }
    return {{"id", "org/model"}, {"sha", kCommit}, {"siblings", siblings}, {"cardData", {{"license", licence}}}};
  }
};

}  // namespace mynah::test
