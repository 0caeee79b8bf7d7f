#include "store/push.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/require.h"
#include "store/http.h"
#include "store/names.h"
#include "store/registry_auth.h"

namespace mynah::store {
namespace {

constexpr const char* kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kConfigType = "application/vnd.docker.container.image.v1+json";

struct Sent {
  long status = 0;
  std::string location, challenge, body;
};

// One upload under way, for libcurl's callbacks.
struct Upload {
  int file = -1;
  std::string_view text;
  uint64_t left = 0, done = 0;
  const std::function<void(uint64_t)>* progress = nullptr;
  const std::function<bool()>* cancelled = nullptr;
  Sent* sent = nullptr;
};

size_t give(char* buffer, size_t size, size_t count, void* context) {
  Upload& u = *static_cast<Upload*>(context);
  const size_t want = static_cast<size_t>(std::min<uint64_t>(size * count, u.left));
  size_t got = want;
  if (u.file >= 0) {
    const ssize_t n = ::read(u.file, buffer, want);
    if (n < 0) return CURL_READFUNC_ABORT;
    got = static_cast<size_t>(n);
  } else {
    std::copy_n(u.text.data() + u.done, want, buffer);
  }
  u.left -= got;
  u.done += got;
  return got;
}

size_t take_header(char* data, size_t size, size_t count, void* context) {
  const std::string_view line(data, size * count);
  const auto colon = line.find(':');
  if (line.starts_with("HTTP/")) *static_cast<Sent*>(context) = {};
  if (colon == std::string_view::npos) return size * count;
  std::string value(line.substr(colon + 1));
  const size_t begin = value.find_first_not_of(" \t"), end = value.find_last_not_of(" \t\r\n");
  value = begin == std::string::npos ? "" : value.substr(begin, end - begin + 1);
  const std::string name = lower(line.substr(0, colon));
  if (name == "location") static_cast<Sent*>(context)->location = value;
  if (name == "www-authenticate") static_cast<Sent*>(context)->challenge = value;
  return size * count;
}

size_t take_body(char* data, size_t size, size_t count, void* context) {
  std::string& body = static_cast<Sent*>(context)->body;
  body.append(data, std::min(size * count, (64u << 10) - std::min<size_t>(body.size(), 64u << 10)));
  return size * count;
}

int tick(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const Upload& u = *static_cast<Upload*>(context);
  if (u.progress && *u.progress) (*u.progress)(u.done);
  return *u.cancelled && (*u.cancelled)() ? 1 : 0;
}

class Registry {
 public:
  Registry(const Settings& settings, const PullOptions& options, std::string base)
      : options_(options),
        stall_s_(settings.stall_s),
        base_(std::move(base)),
        http_(settings, options.cancelled),
        curl_(curl_easy_init(), curl_easy_cleanup) {
    if (!curl_) fail(ErrorCode::failure, "push: libcurl cannot be initialised");
  }

  const std::string& base() const { return base_; }

  // One request; `file` (a descriptor, from its place on) or `text` is the body, of `size` bytes.
  Sent send(const std::string& method, const std::string& url, const std::string& type, int file, std::string_view text,
            uint64_t size, const std::function<void(uint64_t)>& progress = {}) {
    CURL* c = curl_.get();
    curl_easy_reset(c);
    Sent sent;
    Upload upload{file, text, size, 0, &progress, &options_.cancelled, &sent};
    curl_slist* list = curl_slist_append(nullptr, type.empty() ? "Content-Type:" : ("Content-Type: " + type).c_str());
    list = curl_slist_append(list, "Expect:");
    if (!token_.empty() && origin_of(url) == origin_of(base_))
      list = curl_slist_append(list, ("Authorization: Bearer " + token_).c_str());
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> kept(list, curl_slist_free_all);
    curl_easy_setopt(c, CURLOPT_URL, url.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "mynah");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max(1.0, stall_s_)));
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &sent);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &sent);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, tick);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, &upload);
    if (method == "HEAD") {
      curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else {
      curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(c, CURLOPT_READFUNCTION, give);
      curl_easy_setopt(c, CURLOPT_READDATA, &upload);
      curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
      curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method.c_str());
    }
    const CURLcode code = curl_easy_perform(c);
    if (code == CURLE_ABORTED_BY_CALLBACK) fail(ErrorCode::interrupted, "push: interrupted");
    if (code == CURLE_SSL_CONNECT_ERROR && !options_.insecure)
      fail(ErrorCode::network, "push: {} speaks no TLS; add --insecure if it is a plain http registry that you trust",
           host_of(url));
    if (code != CURLE_OK)
      fail(ErrorCode::network, "{}: {}; check the network and try again", host_of(url), curl_easy_strerror(code));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &sent.status);
    // Only requests without a body come first; they are what is refused.
    if (sent.status == 401 && token_.empty() && size == 0) {
      token_ = registry_token(http_, base_, sent.challenge);
      if (!token_.empty()) return send(method, url, type, file, text, size, progress);
    }
    if (sent.status == 401 || sent.status == 403)
      fail(ErrorCode::auth,
           "push: {} answered {}, it wants an account that may write; ~/.ollama/id_ed25519 is the key that is shown",
           host_of(url), sent.status);
    return sent;
  }

  // Where an upload goes on: relative to the registry, and nowhere but there.
  std::string location(const Sent& sent) const {
    const std::string origin = origin_of(base_);
    std::string url = sent.location;
    if (url.starts_with("/")) url = base_.substr(0, base_.find('/', base_.find("//") + 2)) + url;
    if (origin_of(url) != origin)
      fail(ErrorCode::network, "push: {} sends the upload to another host, which is not followed", host_of(base_));
    return url;
  }

 private:
  const PullOptions& options_;
  const double stall_s_;
  const std::string base_;
  Http http_;  // for tokens
  std::string token_;
  std::unique_ptr<CURL, void (*)(CURL*)> curl_;
};

[[noreturn]] void refused(const Registry& registry, const char* what, const Sent& sent) {
  fail(sent.status >= 500 ? ErrorCode::network : ErrorCode::failure, "push: {} answered {} to {}",
       host_of(registry.base()), sent.status, what);
}

struct Layer {
  std::string type;
  Digest digest;
  uint64_t size = 0;
};

void send_layer(Registry& registry, const Layer& layer, const std::string& path, std::string_view text,
                const PullOptions& options) {
  const auto told = [&](uint64_t done) {
    if (!options.progress) return;
    Progress p;
    p.file = layer.digest.hex().substr(0, 12);
    p.done_bytes = done;
    p.total_bytes = layer.size;
    p.digest = layer.digest.hex();
    options.progress(p);
  };
  told(0);
  const std::string blob = registry.base() + "/blobs/" + layer.digest.with_prefix();
  if (registry.send("HEAD", blob, "", -1, "", 0).status == 200) return told(layer.size);
  const Sent begun = registry.send("POST", registry.base() + "/blobs/uploads/", "", -1, "", 0);
  if (begun.status != 202 && begun.status != 201) refused(registry, "the beginning of an upload", begun);
  const int file = path.empty() ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (!path.empty() && file < 0) fail(ErrorCode::integrity, "push: a file of the model is missing; pull it again");
  Sent written;
  try {
    written =
        registry.send("PATCH", registry.location(begun), "application/octet-stream", file, text, layer.size, told);
  } catch (...) {
    if (file >= 0) ::close(file);
    throw;
  }
  if (file >= 0) ::close(file);
  if (written.status / 100 != 2) refused(registry, "an upload", written);
  const std::string url = registry.location(written.location.empty() ? begun : written);
  const Sent closed = registry.send(
      "PUT",
      url + (url.find('?') == std::string::npos ? "?" : "&") + "digest=" + url_quote(layer.digest.with_prefix(), false),
      "", -1, "", 0);
  if (closed.status != 201 && closed.status != 204) refused(registry, "the end of an upload", closed);
  told(layer.size);
}

}  // namespace

void push(const Store& store, std::string_view given, const PullOptions& options) {
  const std::string text = given.starts_with("ollama:") ? std::string(given) : "ollama:" + std::string(given);
  const auto name = parse_name(text);
  if (!name || name->kind != Name::Kind::ollama)
    fail(ErrorCode::usage,
         "push: \"{}\", expected [http://]host[:port]/namespace/model[:tag]; mynah cp gives a model that name", given);
  auto model = store.find(given);
  for (const std::string& other : {text, name->text}) {
    if (!model) model = store.find(other);
  }
  if (!model) model = store.show(given);
  if (name->scheme == "http" && !options.insecure)
    fail(ErrorCode::usage, "push: {} speaks plain http, expected https; add --insecure if you trust this network",
         name->host);
  if (store.settings().offline)
    fail(ErrorCode::network, "push: {} is not asked, because MYNAH_OFFLINE is set", name->host);
  const bool plain = options.insecure && name->scheme != "https";
  Registry registry(
      store.settings(), options,
      (plain ? "http" : "https") + std::string("://") + name->host + "/v2/" + name->name_space + "/" + name->model);
  Json layers = Json::array();
  std::optional<Layer> config;
  std::string config_text;
  if (!model->find_role("model") && std::none_of(model->files.begin(), model->files.end(),
                                                 [](const ModelFile& f) { return f.name.ends_with(".gguf"); }))
    fail(ErrorCode::failure, "push: {} is a folder, a model of one .gguf file expected; mynah convert makes one",
         model->name);
  for (const ModelFile& file : model->files) {
    const bool is_config = file.role == "config";
    const std::string role = !file.role.empty() ? file.role : file.name.ends_with(".gguf") ? "model" : "";
    if (role.empty()) continue;  // files beside the weights that registries know no layer for
    Layer layer{is_config ? kConfigType : "application/vnd.ollama.image." + role, file.digest, file.size_bytes};
    send_layer(registry, layer, store.blob_path(file.digest).string(), "", options);
    if (is_config)
      config = layer;
    else
      layers.push_back({{"mediaType", layer.type}, {"digest", layer.digest.with_prefix()}, {"size", layer.size}});
  }
  if (!config) {
    Json digests = Json::array();
    for (const Json& layer : layers) digests.push_back(layer["digest"]);
    config_text = Json{{"model_format", "gguf"},
                       {"model_family", ""},
                       {"model_families", nullptr},
                       {"model_type", ""},
                       {"file_type", ""},
                       {"architecture", "amd64"},
                       {"os", "linux"},
                       {"rootfs", {{"type", "layers"}, {"diff_ids", digests}}}}
                      .dump();
    config = Layer{kConfigType, digest_of_text(config_text), config_text.size()};
    send_layer(registry, *config, "", config_text, options);
  }
  const std::string manifest = Json{
      {"schemaVersion", 2},
      {"mediaType", kManifestType},
      {"config", {{"mediaType", kConfigType}, {"digest", config->digest.with_prefix()}, {"size", config->size}}},
      {"layers", layers}}.dump();
  const Sent done =
      registry.send("PUT", registry.base() + "/manifests/" + name->tag, kManifestType, -1, manifest, manifest.size());
  if (done.status / 100 != 2) refused(registry, "the manifest", done);
}

}  // namespace mynah::store
