// The APIs that are spoken on one port, told apart by the path alone, and how each of them says what went wrong.
#pragma once
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/json.h"
#include "mynah/error.h"
#include "serve/http.h"

namespace mynah::serve {

enum class Dialect { ollama, openai, anthropic, lm_studio, hugging_face, tgi, tei, plain };

Dialect dialect_of(std::string_view path);

// Ends a request with a status and a message in the dialect's own form.
struct ApiError : std::runtime_error {
  ApiError(int code, const std::string& message, std::string parameter = {}) : std::runtime_error(message), status(code), param(std::move(parameter)) {}
  int status;
  std::string param;    // the field that is wrong, where the dialect has a place for it
  int retry_after = 0;  // seconds; of 429 and 503
};

// The error of an exception: ApiError as it is, mynah::Error by its code (`failure` becomes `failure_status`), others 500.
ApiError as_api_error(const std::exception_ptr& error, int failure_status = 400);

Json error_json(Dialect dialect, const ApiError& error);
Answer error_answer(Dialect dialect, const ApiError& error);

}  // namespace mynah::serve
