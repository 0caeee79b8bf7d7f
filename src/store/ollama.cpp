// The registry protocol that Ollama speaks: GET /v2/{namespace}/{model}/manifests/{tag}, then one blob per layer.

#include "base/json.h"
#include "base/require.h"
#include "store/json_field.h"
#include "store/registry_auth.h"
#include "store/sources.h"

namespace mynah::store {
namespace {

constexpr size_t kOllamaManifestLimit = 4u << 20;
constexpr size_t kLayerLimit = 1000;
constexpr std::string_view kLayerType = "application/vnd.ollama.image.";

RemoteFile layer_of(const Json& row, const std::string& role, const std::string& name, const std::string& where) {
  RemoteFile file;
  file.name = name;
  file.role = role;
  file.digest = Digest::parse(text_field(row, "digest"), where);
  const auto size = row.find("size");
  if (size == row.end() || !size->is_number_unsigned()) fail(ErrorCode::integrity, "{}: a layer without size", where);
  file.size_bytes = size->get<uint64_t>();
  return file;
}

HttpResponse get_manifest(Job& job, const Name& name, const std::string& base, bool probe,
                          const std::string& token = {}) {
  HttpRequest request{
      base + "/manifests/" + name.tag, token, {"Accept: application/vnd.docker.distribution.manifest.v2+json"}};
  if (probe) {
    request.tries = 1;
    request.connect_s = 4;
  }
  return job.http.get(request, kOllamaManifestLimit);
}

}  // namespace

std::vector<RemoteFile> layers_of_manifest(const std::string& manifest, const std::string& where) {
  const Json json = parse_json(manifest, where);
  const auto layers = json.is_object() ? json.find("layers") : json.end();
  if (!json.is_object() || layers == json.end() || !layers->is_array() || layers->empty() ||
      layers->size() > kLayerLimit)
    fail(ErrorCode::integrity, "{}: not a manifest with layers", where);
  std::vector<RemoteFile> files;
  std::map<std::string, int> seen;
  for (const auto& row : *layers) {
    const std::string type = row.is_object() ? text_field(row, "mediaType") : std::string();
    if (!type.starts_with(kLayerType)) continue;  // kinds of layer that came later do no harm
    const std::string role = type.substr(kLayerType.size());
    if (role == "tensor")
      fail(ErrorCode::failure, "{}: weights in separate layers, a .gguf file expected; pull another tag of this model",
           where);
    if (!valid_file_name(role) || role.find('/') != std::string::npos)
      fail(ErrorCode::integrity, "{}: a layer of an unnamed kind", where);
    const bool weights = role == "model" || role == "projector" || role == "adapter" || role == "draft";
    const int number = ++seen[role];
    files.push_back(
        layer_of(row, role, role + (number > 1 ? fmt::format("-{}", number) : "") + (weights ? ".gguf" : ""), where));
  }
  if (!seen.count("model")) fail(ErrorCode::integrity, "{}: a manifest without a model layer", where);
  if (const auto config = json.find("config"); config != json.end() && config->is_object())
    files.push_back(layer_of(*config, "config", "registry-config", where));
  return files;
}

RemoteModel offer_of_ollama(Job& job, const Name& name) {
  if (name.scheme == "http" && !job.options.insecure)
    fail(ErrorCode::usage, "{}: got a plain http registry, expected https; add --insecure if you trust this network",
         name.text);
  const std::string path = name.host + "/v2/" + name.name_space + "/" + name.model;
  std::string base = (name.scheme.empty() ? "https" : name.scheme) + "://" + path;
  if (origin_of(base).empty()) fail(ErrorCode::usage, "{}: {} is no host", name.text, name.host);
  const bool may_be_plain = job.options.insecure && name.scheme.empty();
  HttpResponse response;
  try {
    response = get_manifest(job, name, base, may_be_plain);
  } catch (const TransportError& e) {
    if (!may_be_plain && name.scheme.empty() && e.tls_failed)
      fail(ErrorCode::network, "{}: {} speaks no TLS; add --insecure if it is a plain http registry that you trust",
           name.text, name.host);
    if (!may_be_plain || !e.tls_failed) throw;
    base = "http://" + path;
    response = get_manifest(job, name, base, false);
  }
  std::string token;
  if (response.status == 401) {
    token = registry_token(job.http, base, response.header("www-authenticate"));
    if (!token.empty()) response = get_manifest(job, name, base, false, token);
  }
  if (response.status != 200) fail_status(response, name.text);
  RemoteModel model;
  model.source = name.text;
  model.token = token;
  model.revision = digest_of_text(response.body).hex();
  model.files = layers_of_manifest(response.body, name.text);
  for (auto& file : model.files) file.url = base + "/blobs/" + file.digest->with_prefix();
  return model;
}

}  // namespace mynah::store
