// Tokens of registries that answer 401 with a challenge: WWW-Authenticate: Bearer realm="...",service="...",scope="...".
#pragma once
#include <string>

#include "store/http.h"

namespace mynah::store {

// Asks the realm for a token, signed with the user's key of Ollama (~/.ollama/id_ed25519) where there is one, else as anybody. The
// realm must be on the host of `url`, the request that was refused: keys and tokens go nowhere else. Empty when the answer holds no
// challenge or the realm gives no token. Throws network.
std::string registry_token(Http& http, const std::string& url, const std::string& challenge);

// "key:signature" of `data` by an unencrypted ed25519 key in OpenSSH's format, both in base64; empty for another file.
std::string sign_with_key(std::string_view key_file, std::string_view data);

}  // namespace mynah::store
