// Models that other servers hold: OpenAI's chat at an endpoint, and Hugging Face's Inference API for hf:org/name.
// Nothing of this is touched unless such a name or --endpoint is given.
#pragma once
#include <functional>
#include <string>

#include "base/json.h"

namespace mynah::app {

// "hf:org/name" without its prefix; empty for other names.
std::string hosted_name(const std::string& model);

struct Endpoint {
  std::string url;    // of the request itself
  std::string model;  // as the server knows it
  std::string token;  // sent as a bearer token; may be empty
};
// Where a chat with `model` goes: hf:org/name to Hugging Face's router (HF_INFERENCE_ENDPOINT names another; token of
// HF_TOKEN or the hub's own tools), anything else to `endpoint`, a server's root, its /v1 or the full path (token of
// MYNAH_API_KEY). Throws usage for what is no http(s) URL.
Endpoint chat_endpoint(const std::string& model, const std::string& endpoint);
// The same for a task: .../models/NAME/pipeline/TASK.
Endpoint task_endpoint(const std::string& model, const std::string& task, const std::string& endpoint);

// Posts `body` and returns the answer's bytes; with `event`, hands over the data of server-sent events as they come
// (false stops). 429 and 503 are tried again after the time that the server names, up to five times. Throws network,
// auth, not_found, busy, failure with the server's message.
std::string post(const Endpoint& endpoint, const Json& body, const std::function<bool(const Json&)>& event = {});

}  // namespace mynah::app
