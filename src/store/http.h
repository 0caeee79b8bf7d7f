// The HTTP client: libcurl with the rules that pulls need. A token goes to the host it is meant for and to no other;
// redirects never lead from https to http nor from a public host to a private address; a transfer that stalls ends.
// Proxies and certificates come from the usual variables (https_proxy, no_proxy, SSL_CERT_FILE ...).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mynah/error.h"
#include "store/store.h"

namespace mynah::store {

struct HttpRequest {
  std::string url;
  std::string token;                 // sent as a bearer token to this URL's scheme, host and port only
  std::vector<std::string> headers;  // "Name: value", sent to every host of a chain of redirects
  bool head = false;
  bool relative_redirects_only = false;  // an absolute Location ends the chain and its answer is the result
  int tries = 3;                         // of get()
  double connect_s = 10;                 // for the connection and its TLS handshake
  uint64_t range_from = 0;               // asks for the bytes from here on
};

using HttpHeaders = std::map<std::string, std::string>;  // names in lower case

struct HttpResponse {
  long status = 0;
  std::string url;        // of the last host in the chain
  HttpHeaders headers;    // of the last answer
  HttpHeaders collected;  // of all answers in the chain, an earlier one winning
  std::string body;       // of an answer that was not handed to a sink

  std::string header(const std::string& name) const;
};

// A transfer broke or a host could not be reached: worth another try.
struct TransportError : Error {
  TransportError(const std::string& message, bool no_handshake)
      : Error(ErrorCode::network, message), tls_failed(no_handshake) {}
  bool tls_failed;  // connected, but the other side does not speak TLS
};

class Http {
 public:
  // `cancelled` may be empty; when it says true, transfers and pauses end with `interrupted`.
  Http(const Settings& settings, std::function<bool()> cancelled);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  // A whole small answer, whatever its status; tried again after transport errors, 429 and 5xx. Throws network,
  // does_not_fit for a body above `limit_bytes`.
  HttpResponse get(const HttpRequest& request, size_t limit_bytes);

  // One try. `start` sees the last answer's head and says whether its body goes to `sink`; else up to 64 kB are put
  // into the body.
  HttpResponse transfer(const HttpRequest& request, const std::function<bool(const HttpResponse&)>& start,
                        const std::function<void(const char*, size_t)>& sink);

  // The pause before try number `attempt` (from 1), or what the server asked for. Throws interrupted.
  void pause(int attempt, const std::string& retry_after = {});

 private:
  struct Connection;
  HttpResponse hop(const HttpRequest& request, const std::string& url, bool with_token, bool redirected,
                   const std::function<bool(const HttpResponse&)>& start,
                   const std::function<void(const char*, size_t)>& sink);
  void require_online(const std::string& url) const;

  const Settings& settings_;
  std::function<bool()> cancelled_;
  std::unique_ptr<Connection> connection_;
};

// scheme://host:port of a URL, in lower case with the port made explicit; empty for what is not an http(s) URL.
std::string origin_of(const std::string& url);
// The host to name in errors.
std::string host_of(const std::string& url);
// Percent-encodes all but letters, digits and -._~/ (with `slash` false also '/').
std::string url_quote(std::string_view text, bool slash = true);

}  // namespace mynah::store
