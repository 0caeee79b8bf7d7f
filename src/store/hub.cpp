// The Hugging Face hub protocol: repository information, then GET {endpoint}/{id}/resolve/{commit}/{file}.
#include <algorithm>

#include "base/json.h"
#include "base/require.h"
#include "store/json_field.h"
#include "store/selection.h"
#include "store/sources.h"

namespace mynah::store {
namespace {

constexpr size_t kAnswerLimit = 64u << 20;
constexpr int kPages = 200;

bool is_hex(std::string_view text, size_t size) {
  return text.size() == size && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// What the hub calls a content: sha256 of large files, git's name of small ones.
void set_etag(RemoteFile& file, std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  if (is_hex(etag, 64))
    file.digest = Digest::try_parse(etag);
  else if (is_hex(etag, 40))
    file.git_name = lower(etag);
  file.etag = etag.substr(0, 200);
}

std::optional<uint64_t> number(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  return it->get<uint64_t>();
}

// Large files carry {"lfs": {"sha256" or "oid", "size"}}, small ones {"blobId" or "oid", "size"}.
RemoteFile file_of(const Json& row, const char* name_key) {
  RemoteFile file;
  file.name = text_field(row, name_key);
  file.size_bytes = number(row, "size");
  std::string etag = text_field(row, "blobId").empty() ? text_field(row, "oid") : text_field(row, "blobId");
  if (const auto lfs = row.find("lfs"); lfs != row.end() && lfs->is_object()) {
    etag = text_field(*lfs, "sha256").empty() ? text_field(*lfs, "oid") : text_field(*lfs, "sha256");
    if (etag.starts_with("sha256:")) etag.erase(0, 7);
    if (const auto size = number(*lfs, "size")) file.size_bytes = size;
  }
  set_etag(file, etag);
  return file;
}

std::string licence_of(const Json& info) {
  if (const auto card = info.find("cardData"); card != info.end() && card->is_object())
    if (const auto licence = text_field(*card, "license"); !licence.empty()) return licence;
  if (const auto tags = info.find("tags"); tags != info.end() && tags->is_array())
    for (const auto& tag : *tags)
      if (tag.is_string() && tag.get<std::string>().starts_with("license:")) return tag.get<std::string>().substr(8);
  return {};
}

class Hub {
 public:
  Hub(Job& job, const Name& name) : job_(job), name_(name), endpoint_(job.settings.hub_endpoint) {
    while (endpoint_.ends_with("/")) endpoint_.pop_back();
    if (origin_of(endpoint_).empty())
      fail(ErrorCode::usage, "HF_ENDPOINT: got {}, expected an http or https URL", endpoint_);
  }

  RemoteModel offer() {
    const Json info = information();
    RemoteModel model;
    model.source = name_.text;
    model.revision = text_field(info, "sha");
    if (!is_hex(model.revision, 40)) model.revision = name_.revision;
    model.licence = licence_of(info);
    model.token = job_.settings.hub_token;
    auto files = listing(info, model.revision);
    std::vector<Candidate> candidates;
    for (const auto& file : files) candidates.push_back({file.name, file.size_bytes.value_or(0)});
    for (const size_t i : choose_files(candidates, name_.quantisation)) {
      auto& file = files[i];
      if (!valid_file_name(file.name))
        fail(ErrorCode::integrity, "{}: a file name that leaves the model's folder", name_.repository);
      file.url = endpoint_ + "/" + url_quote(name_.repository) + "/resolve/" + url_quote(model.revision, false) + "/" +
                 url_quote(file.name);
      if (!file.size_bytes || (!file.digest && file.git_name.empty())) ask_for_head(file);
      model.files.push_back(std::move(file));
    }
    if (model.files.empty()) fail(ErrorCode::not_found, "{}: the repository holds no model files", name_.text);
    return model;
  }

 private:
  HttpRequest request(const std::string& url) const {
    return {url, job_.settings.hub_token, {"Accept: application/json"}};
  }

  Json information() {
    const std::string api = endpoint_ + "/api/models/" + url_quote(name_.repository);
    auto response =
        job_.http.get(request(api + "/revision/" + url_quote(name_.revision, false) + "?blobs=true"), kAnswerLimit);
    // A small mirror may know no revisions.
    if (response.status == 404 && response.header("x-error-code").empty() && name_.revision == "main")
      response = job_.http.get(request(api + "?blobs=true"), kAnswerLimit);
    if (response.status != 200) fail_status(response, name_.text);
    Json info = parse_json(response.body, host_of(endpoint_));
    if (!info.is_object())
      fail(ErrorCode::network, "{}: {}: an answer that is no model information", host_of(endpoint_), name_.text);
    return info;
  }

  // From the information when it has the sizes, else from the tree, page by page; else names without sizes.
  std::vector<RemoteFile> listing(const Json& info, const std::string& revision) {
    std::vector<RemoteFile> files;
    bool sized = true;
    if (const auto siblings = info.find("siblings"); siblings != info.end() && siblings->is_array()) {
      for (const auto& row : *siblings) {
        if (!row.is_object() || text_field(row, "rfilename").empty()) continue;
        files.push_back(file_of(row, "rfilename"));
        sized &= files.back().size_bytes.has_value();
      }
    }
    if (!files.empty() && sized) return files;
    auto tree = read_tree(revision);
    return tree.empty() ? files : tree;
  }

  std::vector<RemoteFile> read_tree(const std::string& revision) {
    std::vector<RemoteFile> files;
    std::string url = endpoint_ + "/api/models/" + url_quote(name_.repository) + "/tree/" + url_quote(revision, false) +
                      "?recursive=true";
    for (int page = 0; page < kPages && !url.empty(); ++page) {
      const auto response = job_.http.get(request(url), kAnswerLimit);
      if (response.status != 200) return {};
      const Json rows = parse_json(response.body, host_of(endpoint_));
      if (!rows.is_array()) return {};
      for (const auto& row : rows)
        if (row.is_object() && text_field(row, "type") == "file") files.push_back(file_of(row, "path"));
      url = next_page(response.header("link"));
    }
    return files;
  }

  // Link: <https://...>; rel="next", followed only on the hub itself, since the token goes along.
  std::string next_page(const std::string& link) const {
    const auto end = link.find('>');
    if (!link.starts_with("<") || end == std::string::npos || link.find("rel=\"next\"") == std::string::npos) return {};
    const std::string url = link.substr(1, end - 1);
    return origin_of(url) == origin_of(endpoint_) ? url : std::string();
  }

  // Size and content name as the hub states them for one file. Large files answer with a redirect that is not followed.
  void ask_for_head(RemoteFile& file) {
    HttpRequest head{file.url, job_.settings.hub_token, {"Accept-Encoding: identity"}};
    head.head = true;
    head.relative_redirects_only = true;
    const auto response = job_.http.get(head, 0);
    if (response.status == 405 || response.status == 501) return;
    if (response.status >= 400) fail_status(response, name_.text + "/" + file.name);
    const auto value = [&](const char* name) {
      const auto it = response.collected.find(name);
      return it == response.collected.end() ? std::string() : it->second;
    };
    const std::string size = value("x-linked-size").empty() && response.status == 200
                                 ? response.header("content-length")
                                 : value("x-linked-size");
    if (!size.empty() && size.size() < 19 && size.find_first_not_of("0123456789") == std::string::npos)
      file.size_bytes = std::stoull(size);
    if (!value("x-linked-etag").empty())
      set_etag(file, value("x-linked-etag"));
    else if (response.status == 200)
      set_etag(file, response.header("etag"));
  }

  Job& job_;
  const Name& name_;
  std::string endpoint_;
};

}  // namespace

RemoteModel offer_of_hub(Job& job, const Name& name) { return Hub(job, name).offer(); }

}  // namespace mynah::store
