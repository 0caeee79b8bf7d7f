// A store in a temporary folder, and a hub and a registry made up of strings.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/file.h"
#include "mynah/error.h"
#include "store/http_server.h"
#include "store/store.h"

namespace mynah::test {
namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/mynah-store-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }
  fs::path write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  fs::path path_;
};

// Bytes that are neither constant nor periodic in the sizes that matter.
inline std::string some_bytes(size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& c : bytes) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return bytes;
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
      ::unsetenv(name);
  }
  store::Settings settings() const {
    store::Settings s;
    s.home = folder_.path() / "home";
    s.hub_endpoint = "http://127.0.0.1:9";
    s.hub_cache = {folder_.path() / "hub"};
    s.ollama_models = folder_.path() / "ollama";
    s.stall_s = 20;
    s.backoff_s = 0.01;
    s.tries = 3;
    return s;
  }
  // The code that `action` fails with; "none" when it does not fail.
  template <class Action>
  static std::string error_of(Action&& action, std::string* message = nullptr) {
    try {
      action();
    } catch (const Error& e) {
      if (message) *message = e.what();
      switch (e.code()) {
        case ErrorCode::failure:
          return "failure";
        case ErrorCode::usage:
          return "usage";
        case ErrorCode::not_found:
          return "not_found";
        case ErrorCode::network:
          return "network";
        case ErrorCode::integrity:
          return "integrity";
        case ErrorCode::does_not_fit:
          return "does_not_fit";
        case ErrorCode::auth:
          return "auth";
        case ErrorCode::busy:
          return "busy";
        case ErrorCode::interrupted:
          return "interrupted";
        case ErrorCode::internal:
          return "internal";
      }
    }
    return "none";
  }
  size_t partial_files() const {
    size_t n = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "home/blobs/partial", error))
      n += entry.is_regular_file();
    return n;
  }
  TemporaryFolder folder_;
};

}  // namespace mynah::test
