// Fuzzer input as a mapped file would be: at an aligned address and exactly as long, so that a sanitizer sees every
// overrun.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

struct FuzzBytes {
  FuzzBytes(const void* data, size_t length)
      : owner(std::malloc(length ? length : 1), [](void* p) { std::free(p); }), size(length) {
    if (length > 0) std::memcpy(owner.get(), data, length);
  }
  std::span<const std::byte> span() const { return {static_cast<const std::byte*>(owner.get()), size}; }

  std::shared_ptr<void> owner;
  size_t size;
};
