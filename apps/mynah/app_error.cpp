#include "app_error.h"

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <system_error>

#include "mynah/error.h"

namespace mynah::app {

int report(const std::exception& error) {
  // Who read the output has left (mynah list | head -1): that is no fault, and the code is what shells report of other filters.
  constexpr int kReaderLeft = 128 + SIGPIPE;
  if (const auto* system = dynamic_cast<const std::system_error*>(&error); system && system->code() == std::errc::broken_pipe) return kReaderLeft;
  std::string text = error.what();
  int code = 1;
  if (const auto* known = dynamic_cast<const Error*>(&error)) {
    code = exit_code(known->code());
  } else if (dynamic_cast<const std::bad_alloc*>(&error)) {
    text = "memory: not enough for this; close other programs or use a smaller model";
    code = exit_code(ErrorCode::does_not_fit);
  }
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  text = fmt::format("mynah: {}\n", text);
  std::fputs(text.c_str(), stderr);  // fmt::print would throw where stderr cannot be written
  return code;
}

}  // namespace mynah::app
