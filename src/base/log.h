// The library's log: warnings and notes, to stderr, never data. Level from MYNAH_LOG (error, warn, info, debug).
#pragma once
#include <fmt/core.h>

#include <string_view>

namespace mynah {
void log_warning(std::string_view message);
void log_info(std::string_view message);
void log_debug(std::string_view message);

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  log_warning(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  log_info(fmt::format(format, std::forward<Args>(args)...));
}
}  // namespace mynah
