#include "app_error.h"

#include <fmt/core.h>

#include <new>
#include <string>

#include "mynah/error.h"

namespace mynah::app {

int report(const std::exception& error) {
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
  fmt::print(stderr, "mynah: {}\n", text);
  return code;
}

}  // namespace mynah::app
