// Stored models in the fields of Ollama's GET /api/tags.
#pragma once
#include "base/json.h"
#include "store/store.h"

namespace mynah::app {

Json model_json(const store::Model& model);

}  // namespace mynah::app
