#include "numbers.h"

#include <charconv>

#include "base/require.h"

namespace mynah::app {
namespace {

template <class T>
bool parse(const std::string& text, T* value) {
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, *value);
  return problem == std::errc() && stop == end;
}

}  // namespace

double number_in(const std::string& name, const std::string& text, double low, double high) {
  double value = 0;
  if (!parse(text, &value) || !(value >= low && value <= high))
    fail(ErrorCode::usage, "{}: got \"{}\", expected a number from {} to {}", name, text, low, high);
  return value;
}

int64_t integer_in(const std::string& name, const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  if (!parse(text, &value) || value < low || value > high)
    fail(ErrorCode::usage, "{}: got \"{}\", expected a whole number from {} to {}", name, text, low, high);
  return value;
}

uint64_t seed_of(const std::string& name, const std::string& text) {
  uint64_t value = 0;
  if (!parse(text, &value)) fail(ErrorCode::usage, "{}: got \"{}\", expected a whole number from 0 to {}", name, text, UINT64_MAX);
  return value;
}

}  // namespace mynah::app
