// Sending a stored model to a registry that speaks Ollama's protocol.
#pragma once
#include <string_view>

#include "store/store.h"

namespace mynah::store {

// Sends the stored model of this name, [ollama:][http://]host[:port]/namespace/model[:tag], to the registry that the
// name gives. What the registry holds already is not sent again; `options.progress` tells of each layer. Throws
// not_found for a model that is not stored, usage for a name without registry and for plain http without `insecure`,
// failure for a model that is no GGUF file with its settings, auth, network, interrupted.
void push(const Store& store, std::string_view name, const PullOptions& options = {});

}  // namespace mynah::store
