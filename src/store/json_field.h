// Fields of what hubs and registries answer, and of our own manifests.
#pragma once

#include "mynah/json.h"

namespace mynah::store {

// The string under `key`; empty when there is none.
inline std::string text_field(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace mynah::store
