#include "store/registry_auth.h"

#include <fmt/core.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <random>

#include "base/file.h"
#include "base/json.h"
#include "store/digest.h"
#include "store/names.h"

namespace mynah::store {
namespace {

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return out;
}

std::string from_base64(std::string_view text) {
  std::string plain;
  for (const char c : text)
    if (c != '\n' && c != '\r' && c != ' ') plain += c;
  std::string out(plain.size() / 4 * 3, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(plain.data()), static_cast<int>(plain.size()));
  if (n < 0) return {};
  const auto padding = static_cast<size_t>(std::count(plain.begin(), plain.end(), '='));
  out.resize(static_cast<size_t>(n) - std::min<size_t>(padding, static_cast<size_t>(n)));
  return out;
}

// Length-prefixed fields, as SSH writes them.
struct Fields {
  std::string_view rest;
  bool good = true;

  uint32_t number() {
    if (rest.size() < 4) {
      good = false;
      return 0;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(rest[static_cast<size_t>(i)]);
    rest.remove_prefix(4);
    return value;
  }
  std::string_view field() {
    const uint32_t size = number();
    if (size > rest.size()) good = false;
    const auto out = rest.substr(0, good ? size : 0);
    rest.remove_prefix(out.size());
    return out;
  }
};

// A value of the challenge: name="value".
std::string value_of(const std::string& challenge, const std::string& name) {
  for (size_t at = 0; (at = challenge.find(name + "=\"", at)) != std::string::npos; ++at) {
    if (at > 0 && challenge[at - 1] != ' ' && challenge[at - 1] != ',') continue;
    const size_t begin = at + name.size() + 2, end = challenge.find('"', begin);
    return end == std::string::npos ? "" : challenge.substr(begin, end - begin);
  }
  return "";
}

std::string key_text() {
  const char* home = std::getenv("HOME");
  const std::filesystem::path path = std::filesystem::path(home ? home : "/") / ".ollama" / "id_ed25519";
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return {};
  try {
    return read_text_file(path, 1 << 16);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::string sign_with_key(std::string_view key_file, std::string_view data) {
  constexpr std::string_view kBegin = "-----BEGIN OPENSSH PRIVATE KEY-----", kEnd = "-----END OPENSSH PRIVATE KEY-----";
  const size_t begin = key_file.find(kBegin), end = key_file.find(kEnd);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
  const std::string bytes = from_base64(key_file.substr(begin + kBegin.size(), end - begin - kBegin.size()));
  constexpr std::string_view kMagic("openssh-key-v1\0", 15);
  if (!bytes.starts_with(kMagic)) return {};
  Fields outer{std::string_view(bytes).substr(kMagic.size())};
  if (outer.field() != "none") return {};  // an encrypted key
  outer.field();
  outer.field();
  if (outer.number() != 1) return {};
  const std::string_view public_key = outer.field();
  Fields inner{outer.field()};
  if (inner.number() != inner.number()) return {};
  if (inner.field() != "ssh-ed25519") return {};
  inner.field();
  const std::string_view secret = inner.field();
  if (!outer.good || !inner.good || secret.size() != 64) return {};
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(secret.data()),
                                   32),
      EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::string signature(64, '\0');
  size_t size = signature.size();
  if (!key || !context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     reinterpret_cast<const unsigned char*>(data.data()), data.size()) != 1)
    return {};
  return base64(public_key) + ":" + base64(signature);
}

std::string registry_token(Http& http, const std::string& url, const std::string& challenge) {
  if (!lower(challenge).starts_with("bearer ")) return {};
  const std::string realm = value_of(challenge, "realm");
  if (realm.empty() || host_of(realm) != host_of(url)) return {};
  std::random_device random;
  std::string target = realm + (realm.find('?') == std::string::npos ? "?" : "&") +
                       fmt::format("nonce={:08x}{:08x}", random(), random());
  const std::string scopes = value_of(challenge, "scope");
  for (size_t at = 0; at < scopes.size();) {
    const size_t end = std::min(scopes.find(' ', at), scopes.size());
    if (end > at) target += "&scope=" + url_quote(scopes.substr(at, end - at), false);
    at = end + 1;
  }
  target += "&service=" + url_quote(value_of(challenge, "service"), false) + fmt::format("&ts={}", std::time(nullptr));
  HttpRequest request{target, {}, {}};
  const std::string nothing = base64(digest_of_text("").hex());
  if (const std::string signature = sign_with_key(key_text(), "GET," + target + "," + nothing); !signature.empty())
    request.headers.push_back("Authorization: " + signature);
  const HttpResponse response = http.get(request, 1 << 20);
  if (response.status != 200) return {};
  try {
    const Json json = parse_json(response.body, "registry");
    for (const char* name : {"token", "access_token"})
      if (json.is_object() && json.contains(name) && json[name].is_string()) return json[name].get<std::string>();
  } catch (const Error&) {
  }
  return {};
}

}  // namespace mynah::store
