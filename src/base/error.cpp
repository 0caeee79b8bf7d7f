#include "mynah/error.h"

#include "base/require.h"

namespace mynah {

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage: return 2;
    case ErrorCode::not_found: return 3;
    case ErrorCode::network: return 4;
    case ErrorCode::integrity: return 5;
    case ErrorCode::does_not_fit: return 6;
    case ErrorCode::auth: return 7;
    case ErrorCode::busy: return 8;
    case ErrorCode::interrupted: return 130;
    case ErrorCode::failure:
    case ErrorCode::internal: return 1;
  }
  return 1;
}

void check_failed(const char* condition, const char* file, int line) {
  std::string path = file;
  if (const auto at = path.find("src/"); at != std::string::npos) path = path.substr(at);
  fail(ErrorCode::internal, "internal: {}:{}: {} does not hold; this is a bug in mynah", path, line, condition);
}

}  // namespace mynah
