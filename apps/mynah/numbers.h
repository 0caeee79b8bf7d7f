// Numbers that people type, of options and of /set: the whole text must be one, and lie in the range.
#pragma once
#include <cstdint>
#include <string>

namespace mynah::app {

// Throw usage, naming `name`, the text and what was expected. NaN and infinity are no numbers here.
double number_in(const std::string& name, const std::string& text, double low, double high);
int64_t integer_in(const std::string& name, const std::string& text, int64_t low, int64_t high);
uint64_t seed_of(const std::string& name, const std::string& text);  // any of 64 bits

}  // namespace mynah::app
