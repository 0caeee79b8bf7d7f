#include "serve/dialect.h"

#include <algorithm>

#include "base/log.h"
#include "mynah/error.h"

namespace mynah::serve {
namespace {

const char* openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 500:
      return "api_error";
    default:
      return status > 500 ? "server_error" : "invalid_request_error";
  }
}

const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

const char* tgi_type(int status) {
  switch (status) {
    case 424:
      return "generation";
    case 429:
    case 503:
      return "overloaded";
    case 401:
    case 403:
      return "unauthorized";
    case 404:
    case 405:
      return "not_found";
    default:
      return status >= 500 ? "incomplete_generation" : "validation";
  }
}

const char* tei_type(int status) {
  if (status == 429 || status == 503) return "Overloaded";
  return status >= 500 || status == 424 ? "Backend" : "Validation";
}

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return path.ends_with(end); });
}

}  // namespace

Dialect dialect_of(std::string_view path) {
  const auto under = [&](std::string_view root) {
    return path == root || (path.starts_with(root) && path[root.size()] == '/');
  };
  if (under("/v1/messages")) return Dialect::anthropic;
  if (under("/v1")) return Dialect::openai;
  if (under("/api/v0") || under("/api/v1")) return Dialect::lm_studio;
  if (under("/api")) return Dialect::ollama;
  if ((under("/models") || under("/hf-inference")) && path.find("/v1/") != std::string_view::npos)
    return Dialect::openai;
  if ((under("/models") || under("/hf-inference")) &&
      ends_with_any(path, {"/generate", "/generate_stream", "/tokenize", "/chat_tokenize", "/info"}))
    return Dialect::tgi;
  if (under("/models") || under("/pipeline") || under("/hf-inference") || under("/status"))
    return Dialect::hugging_face;
  if (path == "/") return Dialect::hugging_face;
  for (const std::string_view tgi :
       {"/generate", "/generate_stream", "/invocations", "/tokenize", "/chat_tokenize", "/info"})
    if (path == tgi) return Dialect::tgi;
  for (const std::string_view tei :
       {"/embed", "/embed_all", "/embed_sparse", "/rerank", "/predict", "/similarity", "/decode"})
    if (path == tei) return Dialect::tei;
  return Dialect::plain;
}

namespace {

// What was sent lies in files without a name for those who read it; to the client it is what it has sent.
std::string with_upload_named(std::string message) {
  constexpr std::string_view kPath = "/proc/self/fd/";
  for (size_t at; (at = message.find(kPath)) != std::string::npos;) {
    const size_t end = std::min(message.find_first_not_of("0123456789", at + kPath.size()), message.size());
    message.replace(at, end - at, "the file that was sent");
  }
  return message;
}

}  // namespace

ApiError as_api_error(const std::exception_ptr& error, int failure_status) {
  try {
    std::rethrow_exception(error);
  } catch (const ApiError& e) {
    ApiError named(e.status, with_upload_named(e.what()), e.param);
    named.retry_after = e.retry_after;
    return named;
  } catch (const Error& e) {
    int status = 500;
    switch (e.code()) {
      case ErrorCode::usage:
        status = 400;
        break;
      case ErrorCode::failure:
        status = failure_status;
        break;
      case ErrorCode::not_found:
        status = 404;
        break;
      case ErrorCode::network:
        status = 502;
        break;
      case ErrorCode::does_not_fit:
        status = 507;
        break;
      case ErrorCode::auth:
        status = 401;
        break;
      case ErrorCode::busy:
        status = 503;
        break;
      case ErrorCode::integrity:
      case ErrorCode::interrupted:
      case ErrorCode::internal:
        break;
    }
    return ApiError(status, with_upload_named(e.what()));
  } catch (const Json::exception&) {  // a value of another type than the handler took for granted
    return ApiError(400, "a field of the request has another type than expected");
  } catch (const std::bad_alloc&) {
    return ApiError(503, "there is not enough memory for this request now");
  } catch (const std::exception& e) {
    log_warning(std::string("serve: ") + e.what());
    return ApiError(500, "the server failed; see its log");
  }
}

Json error_json(Dialect dialect, const ApiError& error) {
  const std::string message = error.what();
  switch (dialect) {
    case Dialect::openai:
    case Dialect::lm_studio:
      return {{"error",
               {{"message", message},
                {"type", openai_type(error.status)},
                {"param", error.param.empty() ? Json() : Json(error.param)},
                {"code", error.status == 401   ? Json("invalid_api_key")
                         : error.status == 404 && error.param == "model" ? Json("model_not_found")
                                               : Json()}}}};
    case Dialect::anthropic:
      return {{"type", "error"}, {"error", {{"type", anthropic_type(error.status)}, {"message", message}}}};
    case Dialect::tgi:
      return {{"error", message}, {"error_type", tgi_type(error.status)}};
    case Dialect::tei:
      return {{"error", message}, {"error_type", tei_type(error.status)}};
    case Dialect::hugging_face:
      if (error.status == 503) return {{"error", message}, {"estimated_time", std::max(1, error.retry_after)}};
      // What the clients know as a complaint about one field is a list there.
      return {{"error", message.starts_with("Error in `") ? Json::array({message}) : Json(message)}};
    case Dialect::ollama:
    case Dialect::plain:
      return {{"error", message}};
  }
  return {{"error", message}};
}

Answer error_answer(Dialect dialect, const ApiError& error) {
  Answer answer{error.status, "application/json", to_text(error_json(dialect, error)), {}};
  if (error.status == 429 || error.status == 503)
    answer.headers.emplace_back("Retry-After", std::to_string(std::max(1, error.retry_after)));
  if (error.status == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

}  // namespace mynah::serve
