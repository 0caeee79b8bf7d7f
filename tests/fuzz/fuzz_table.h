// The fuzzers of this folder by name; the table is written by CMake.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

struct FuzzTarget {
  const char* name;
  int (*run)(const uint8_t* data, size_t size);
};
std::span<const FuzzTarget> fuzz_targets();
