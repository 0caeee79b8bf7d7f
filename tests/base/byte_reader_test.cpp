#include "base/byte_reader.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace mynah {
namespace {

constexpr std::array<uint8_t, 6> kBytes = {1, 2, 3, 4, 'h', 'i'};
ByteReader six_bytes() { return ByteReader(std::as_bytes(std::span(kBytes)), "file"); }

ErrorCode error_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return ErrorCode::internal;
}

TEST(ByteReader, ReadsLittleEndianNumbersAndText) {
  ByteReader r = six_bytes();
  EXPECT_EQ(r.number<uint32_t>(), 0x04030201u);
  EXPECT_EQ(r.text(2), "hi");
  EXPECT_EQ(r.remaining(), 0u);
  EXPECT_EQ(r.position(), 6u);
}

TEST(ByteReader, RefusesToReadPastTheEndAndStaysWhereItWas) {
  ByteReader r = six_bytes();
  EXPECT_EQ(error_of([&] { r.number<uint64_t>(); }), ErrorCode::integrity);
  EXPECT_EQ(error_of([&] { r.take(7); }), ErrorCode::integrity);
  EXPECT_EQ(error_of([&] { r.take(std::numeric_limits<uint64_t>::max()); }), ErrorCode::integrity);
  EXPECT_EQ(r.position(), 0u);
  EXPECT_EQ(r.take(6).size(), 6u);
  EXPECT_EQ(r.take(0).size(), 0u);
}

TEST(ByteReader, SeeksWithinTheFileOnly) {
  ByteReader r = six_bytes();
  r.seek(6);
  EXPECT_EQ(r.remaining(), 0u);
  r.seek(4);
  EXPECT_EQ(r.text(1), "h");
  EXPECT_EQ(error_of([&] { r.seek(7); }), ErrorCode::integrity);
}

TEST(ByteReader, CheckedArithmeticThrowsInsteadOfWrapping) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(checked_mul(1u << 20, 1u << 20, "x"), uint64_t{1} << 40);
  EXPECT_EQ(checked_mul(kMax, 1, "x"), kMax);
  EXPECT_EQ(checked_add(kMax, 0, "x"), kMax);
  EXPECT_EQ(error_of([] { checked_mul(uint64_t{1} << 32, uint64_t{1} << 32, "x"); }), ErrorCode::integrity);
  EXPECT_EQ(error_of([] { checked_add(kMax, 1, "x"); }), ErrorCode::integrity);
}

}  // namespace
}  // namespace mynah
