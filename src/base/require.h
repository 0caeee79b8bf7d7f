// Formatted throwing helpers, so that a check is one line: require(ok, "linear: got {}, expected {}", a, b).
#pragma once
#include <fmt/core.h>

#include "mynah/error.h"

namespace mynah {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Throws ErrorCode::failure unless `ok`. The message says where, what was got and what was expected.
template <class... Args>
inline void require(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    throw Error(ErrorCode::failure, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace mynah

// A promise of our own code: when it breaks, that is a bug of mynah, reported as such and never an abort.
#define MYNAH_CHECK(condition) \
  ((condition) ? void() : ::mynah::check_failed(#condition, __FILE__, __LINE__))
