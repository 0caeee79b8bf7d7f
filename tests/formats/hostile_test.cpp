// GGUF files that lie, one for each kind of bug that other readers had: every one must end in an error that names the
// fault.
#include "formats/gguf.h"
#include "helpers.h"
#include "make_zip.h"

namespace mynah::formats {
namespace {

std::string long_text(const std::string& s) {
  std::string out;
  put<uint64_t>(out, s.size());
  return out + s;
}
std::string head(uint64_t tensors, uint64_t entries) {
  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put(out, tensors);
  put(out, entries);
  return out;
}
template <class T>
std::string entry(const std::string& key, uint32_t type, T value) {
  std::string out = long_text(key);
  put(out, type);
  put(out, value);
  return out;
}
std::string array(const std::string& key, uint32_t type, uint64_t count) {
  std::string out = long_text(key);
  put<uint32_t>(out, 9);
  put(out, type);
  put(out, count);
  return out;
}
std::string tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
  std::string out = long_text(name);
  put(out, static_cast<uint32_t>(dims.size()));
  for (const uint64_t d : dims) put(out, d);
  put(out, type);
  put(out, offset);
  return out;
}
// The data section: zeros up to the alignment, then `data` bytes.
std::string padded(std::string out, size_t data) {
  out.append((32 - out.size() % 32) % 32, '\0');
  return out.append(data, '\1');
}
void expect_damaged(const std::string& file, std::string_view part) {
  const std::string error = error_of([&] {
    const auto opened = parse<GgufFile>(file);
    for (const TensorInfo& info : opened->tensors()) opened->tensor(info.name);
  });
  EXPECT_TRUE(error.starts_with("5: test: ") && has(error, part)) << error << " lacks " << part;
}
constexpr uint64_t kHuge = ~uint64_t{0};

TEST(HostileGguf, TheHonestFileOpens) {
  const auto file = parse<GgufFile>(
      padded(head(2, 1) + entry<uint32_t>("k", 4, 7) + tensor("a", {2, 3}, 0, 0) + tensor("b", {4}, 0, 32), 48));
  EXPECT_EQ(file->find_tensor("a")->shape, (Shape{3, 2}));
  EXPECT_EQ(file->tensor("b").numel(), 4);
}

TEST(HostileGguf, Counts) {
  expect_damaged(head(kHuge, 0), "tensors, at most");
  expect_damaged(head(0, kHuge), "metadata entries, at most");
  expect_damaged(head(262144, 0), "bytes wanted, 0 left");
  expect_damaged(head(0, 65536), "bytes wanted, 0 left");
}

TEST(HostileGguf, StringsAndKeys) {
  std::string long_key = head(0, 1);
  put<uint64_t>(long_key, kHuge);
  expect_damaged(long_key, "bytes wanted");
  expect_damaged(head(0, 1) + entry<uint32_t>("", 4, 7), "empty key");
  expect_damaged(head(0, 1) + entry<uint32_t>("\xff", 4, 7), "not UTF-8");
  expect_damaged(head(0, 2) + entry<uint32_t>("k", 4, 7) + entry<uint32_t>("k", 4, 7), "'k' occurs twice");
  expect_damaged(head(0, 1) + entry<uint64_t>("k", 8, kHuge), "bytes wanted");
  expect_damaged(head(0, 1) + entry<uint64_t>("k\x1b]0;\n", 13, 0), "metadata 'k\\x1b]0;\\x0a': value type 13");
  expect_damaged(head(0, 1) + entry<uint64_t>("k", 0xffffffff, 0), "value type 4294967295");
}

TEST(HostileGguf, Arrays) {
  expect_damaged(head(0, 1) + array("k", 4, kHuge), "overflows");
  expect_damaged(head(0, 1) + array("k", 0, kHuge), "bytes wanted");
  expect_damaged(head(0, 1) + array("k", 8, kHuge), "strings in 0 bytes");
  expect_damaged(head(0, 1) + array("k", 8, 2) + long_text("a"), "strings in 9 bytes");
  expect_damaged(head(0, 1) + array("k", 9, 1), "value type 9 inside an array");
  expect_damaged(head(0, 1) + array("k", 99, 1), "value type 99 inside an array");
  std::string deep = head(0, 1) + long_text("k");
  put<uint32_t>(deep, 9);
  for (int i = 0; i < 100000; ++i) put<uint32_t>(deep, 9), put<uint64_t>(deep, 1);
  expect_damaged(deep, "inside an array");
  EXPECT_TRUE(parse<GgufFile>(head(0, 1) + array("k", 8, 0))->at("k").strings().to_vector().empty());
}

TEST(HostileGguf, Dimensions) {
  const auto one = [](const std::vector<uint64_t>& dims, uint32_t type) {
    return padded(head(1, 0) + tensor("a", dims, type, 0), 64);
  };
  expect_damaged(one({(uint64_t{1} << 42) + 1, uint64_t{1} << 22}, 0), "overflow");
  expect_damaged(one({uint64_t{1} << 32, uint64_t{1} << 32}, 0), "overflow");
  expect_damaged(one({uint64_t{1} << 62, 2}, 0), "overflow");
  expect_damaged(one({kHuge}, 0), "overflow");
  expect_damaged(one({0, kHuge, kHuge}, 0), "overflow");
  expect_damaged(one({uint64_t{1} << 56}, 0), "bytes at offset 0, the data section has 64");
  expect_damaged(one({17}, 0), "68 bytes at offset 0");
  expect_damaged(one({33}, 2), "rows of 33 elements as Q4_0");
  expect_damaged(one({}, 2), "rows of 1 elements as Q4_0");
  expect_damaged(one({1, 1, 1, 1, 1}, 0), "5 dimensions");
  std::string rank = head(1, 0) + long_text("a");
  put<uint32_t>(rank, 0xffffffff);
  expect_damaged(rank, "4294967295 dimensions");
  EXPECT_EQ(parse<GgufFile>(one({0, 4}, 0))->tensor("a").numel(), 0);
  EXPECT_EQ(parse<GgufFile>(one({}, 0))->tensor("a").numel(), 1);
}

TEST(HostileGguf, Offsets) {
  const auto one = [](uint64_t offset) { return padded(head(1, 0) + tensor("a", {4}, 0, offset), 64); };
  expect_damaged(one(16), "offset 16 is not a multiple of the alignment 32");
  expect_damaged(one(64), "16 bytes at offset 64");
  expect_damaged(one(kHuge - 31), "bytes at offset 18446744073709551584");
  expect_damaged(padded(head(2, 0) + tensor("a", {16}, 0, 0) + tensor("b", {4}, 0, 32), 64), "'a' and 'b' overlap");
  expect_damaged(padded(head(2, 0) + tensor("a", {4}, 0, 32) + tensor("b", {16}, 0, 0), 64), "'b' and 'a' overlap");
  expect_damaged(padded(head(2, 0) + tensor("a", {4}, 0, 0) + tensor("a", {4}, 0, 32), 64), "'a' occurs twice");
  expect_damaged(head(1, 0) + tensor("a", {4}, 0, 0), "before its tensor data");
  expect_damaged(padded(head(1, 0) + tensor("", {4}, 0, 0), 64), "a tensor name of 0 bytes");
  expect_damaged(padded(head(1, 0) + tensor("\xe9", {4}, 0, 0), 64), "its name is not UTF-8");
}

TEST(HostileGguf, Alignment) {
  const auto with = [](uint32_t alignment) {
    return padded(head(1, 1) + entry("general.alignment", 4, alignment) + tensor("a", {4}, 0, 0), 64);
  };
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 0xffffffffu})
    expect_damaged(with(alignment), "a power of two from 8 expected");
  expect_damaged(with(0x80000000u), "before its tensor data");
  EXPECT_EQ(error_of([&] { parse<GgufFile>(with(32)); }), "");
  expect_damaged(head(0, 1) + entry<uint64_t>("general.alignment", 10, 32), "is of type u64, u32 expected");
  expect_damaged(head(0, 1) + array("general.alignment", 4, 0), "is of type array");
}

TEST(HostileGguf, UnknownElementTypesAreOnlyRefusedWhenAskedFor) {
  const auto file = parse<GgufFile>(padded(head(2, 0) + tensor("a", {4}, 999, 0) + tensor("b", {4}, 0, 0), 64));
  EXPECT_EQ(file->tensor("b").numel(), 4);
  EXPECT_TRUE(has(error_of([&] { file->tensor("a"); }), "element type unknown is not supported"));
  expect_damaged(padded(head(1, 0) + tensor("a", {4}, 999, 96), 64), "bytes at offset 96");
}

}  // namespace
}  // namespace mynah::formats
