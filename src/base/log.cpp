#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>

namespace mynah {
namespace {
spdlog::logger& logger() {
  static const auto instance = [] {
    auto l = std::make_shared<spdlog::logger>("mynah", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    l->set_pattern("mynah: %v");
    const char* level = std::getenv("MYNAH_LOG");
    l->set_level(level ? spdlog::level::from_str(level) : spdlog::level::warn);
    return l;
  }();
  return *instance;
}
}  // namespace
void log_warning(std::string_view message) { logger().warn("{}", message); }
void log_info(std::string_view message) { logger().info("{}", message); }
void log_debug(std::string_view message) { logger().debug("{}", message); }
}  // namespace mynah
