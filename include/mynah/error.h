// Errors of the public interface: one exception type with a code that every edge (command line, server) translates once.
#pragma once
#include <stdexcept>
#include <string>

namespace mynah {

// What went wrong, in the terms of the process exit code (README.md lists them).
enum class ErrorCode {
  failure,       // 1: the operation could not be done
  usage,         // 2: the caller asked for something that cannot be meant
  not_found,     // 3: model, file, revision or name does not exist
  network,       // 4: a host could not be reached or answered nonsense
  integrity,     // 5: bytes are damaged: digest, size or structure is wrong
  does_not_fit,  // 6: not enough memory or disk
  auth,          // 7: credentials missing or refused
  busy,          // 8: someone else holds it, or too many requests
  interrupted,   // 130: Ctrl-C
  internal,      // 1: a bug in mynah
};

// Thrown for every failure the caller can act on. `what()` is one line: where: got, expected; what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// The process exit code for an error code.
int exit_code(ErrorCode code);

}  // namespace mynah
