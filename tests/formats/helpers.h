// What the tests of file formats share: golden files, a scratch folder, and errors with their code and text.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "mynah/error.h"
#include "mynah/tensor.h"

namespace mynah::formats {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(MYNAH_TEST_DATA) / "golden/formats" / name;
}

// A folder that is gone after the test.
class Scratch {
 public:
  Scratch() {
    static int counter = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("mynah-formats-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    std::filesystem::create_directories(folder_);
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

// Bytes at a 64-byte aligned address, as a mapping would give them, with their owner.
struct Bytes {
  explicit Bytes(const std::string& text)
      : owner(std::aligned_alloc(64, (text.size() + 64) / 64 * 64), [](void* p) { std::free(p); }), size(text.size()) {
    if (size > 0) std::memcpy(owner.get(), text.data(), size);
  }
  std::span<const std::byte> span() const { return {static_cast<const std::byte*>(owner.get()), size}; }
  std::shared_ptr<void> owner;
  size_t size;
};

template <class File>
std::shared_ptr<const File> parse(const std::string& text) {
  const Bytes bytes(text);
  return File::parse(bytes.span(), "test", bytes.owner);
}

// "3: message" of the error that a call throws, "" when it throws none: the number is the exit code.
inline std::string error_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return std::to_string(exit_code(e.code())) + ": " + e.what();
  }
  return "";
}
inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// The values of the golden tensors of shape [2,3,4] (tools/golden/formats.py).
inline std::vector<float> golden_values(const std::string& type) {
  std::vector<float> values;
  for (int i = 0; i < 24; ++i) {
    if (type == "bool")
      values.push_back(static_cast<float>(i % 2));
    else if (type[0] == 'u')
      values.push_back(static_cast<float>(i));
    else if (type[0] == 'i')
      values.push_back(static_cast<float>(i - 12));
    else
      values.push_back(static_cast<float>(i - 12) * 0.5f);
  }
  return values;
}

}  // namespace mynah::formats
