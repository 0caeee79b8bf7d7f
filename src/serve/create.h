// Making models from others: Ollama's POST /api/create and `mynah create NAME -f Modelfile`.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "serve/fields.h"
#include "store/store.h"

namespace mynah::serve {

struct CreateRequest {
  std::string name;
  std::string from;                         // a stored name or, from the command line, a path
  bool from_may_be_path = false;
  std::map<std::string, std::string> files;  // file name -> digest of a blob
  std::optional<std::string> template_text, system, license;
  Json parameters;  // object, or null
  Json messages;    // array, or null
  std::string quantize;
};

// Of a request's body; throws ApiError.
CreateRequest create_request(const Fields& body);

// A Modelfile: FROM, PARAMETER, TEMPLATE, SYSTEM, LICENSE, MESSAGE. Throws usage with "(line N): ...".
CreateRequest parse_modelfile(std::string_view text);

// Writes the model. `status` is told each step.
store::Model create_model(const store::Store& store, const CreateRequest& request, const std::function<void(const std::string&)>& status);

}  // namespace mynah::serve
