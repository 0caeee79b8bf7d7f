// A cursor over untrusted bytes. Every read is checked against the end; nothing is allocated before its size is known to be there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/require.h"

namespace mynah {

class ByteReader {
 public:
  // `where` names the file in errors.
  ByteReader(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  // `size` bytes in place; throws integrity when the file ends before them.
  std::span<const std::byte> take(uint64_t size) {
    if (size > remaining())
      fail(ErrorCode::integrity, "{}: byte {}: {} bytes wanted, {} left; the file is truncated or damaged", where_, position_, size, remaining());
    auto piece = bytes_.subspan(position_, static_cast<size_t>(size));
    position_ += static_cast<size_t>(size);
    return piece;
  }
  // A little-endian number.
  template <class T>
  T number() {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text(uint64_t size) {
    auto piece = take(size);
    return {reinterpret_cast<const char*>(piece.data()), piece.size()};
  }
  void seek(uint64_t position) {
    if (position > bytes_.size())
      fail(ErrorCode::integrity, "{}: offset {} lies past the end ({} bytes)", where_, position, bytes_.size());
    position_ = static_cast<size_t>(position);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
  size_t position_ = 0;
};

// a * b and a + b for sizes from files; throws integrity instead of wrapping.
inline uint64_t checked_mul(uint64_t a, uint64_t b, std::string_view where) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) fail(ErrorCode::integrity, "{}: a size overflows ({} x {})", where, a, b);
  return r;
}
inline uint64_t checked_add(uint64_t a, uint64_t b, std::string_view where) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) fail(ErrorCode::integrity, "{}: a size overflows ({} + {})", where, a, b);
  return r;
}

}  // namespace mynah
