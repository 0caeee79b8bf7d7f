// Runs the built program and looks at what it leaves: exit code, standard output, standard error, files.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mynah/json.h"
#include "mynah/tensor.h"

namespace mynah::e2e {

namespace fs = std::filesystem;
using NamedTensors = std::map<std::string, Tensor>;

struct Result {
  int code = -1;  // 128 + the signal's number when one ended the program
  std::string out, err;
  int64_t peak_mb = 0;  // of its memory

  Json json() const;  // of the whole output; throws when it is none
  std::vector<std::string> lines() const;
};

enum class Stdout { file, closed, full_disk, unread };  // unread: a pipe whose reader has left
enum class Stderr { file, closed, unread };

// A folder that goes away with the test; the programs started through it have their store and home in it, and no
// network.
class Sandbox : public testing::Test {
 protected:
  Sandbox();
  ~Sandbox() override;

  fs::path file(const std::string& name) const { return folder_ / name; }
  Result run(const std::vector<std::string>& arguments, const std::string& input = "", Stdout to = Stdout::file,
             Stderr errors = Stderr::file) const;
  // Expects success and an empty standard error.
  Result run_well(const std::vector<std::string>& arguments, const std::string& input = "") const;
  // Expects one of the exit codes, no output, and one line on standard error that starts with "mynah: " and holds each
  // of `words`.
  void expect_refused(const std::vector<std::string>& arguments, const std::vector<int>& codes,
                      const std::vector<std::string>& words = {}, const std::string& input = "") const;

  // The inputs of a golden file as a file of their own; `change` may edit them.
  fs::path inputs(const fs::path& golden, const std::function<void(NamedTensors&)>& change = {}) const;
  // A copy of a golden folder with another config.json.
  fs::path with_config(const std::string& name, const std::function<void(Json&)>& change) const;

  void set_environment(const std::string& name, const std::string& value) {
    std::erase_if(environment_, [&](const std::string& entry) { return entry.rfind(name + "=", 0) == 0; });
    environment_.push_back(name + "=" + value);
  }

 private:
  fs::path folder_;
  std::vector<std::string> environment_;
};

// tests/golden/models/NAME, or the .gguf file in it when the name says so; and any other file of that folder.
fs::path golden(const std::string& name);
fs::path golden_file(const std::string& name);
NamedTensors read_tensors(const fs::path& path);
void write_tensors(const fs::path& path, const NamedTensors& tensors);
Tensor ids_tensor(const std::vector<int64_t>& ids);  // [1, ids]
std::vector<std::vector<int64_t>> rows(const Tensor& ids);
// Every element within `tolerance`, times the largest magnitude where that exceeds 1.
void expect_close(const Tensor& got, const Tensor& expected, double tolerance, const std::string& what);

// The commands of one verb that docs/applications.md shows, in words, the verb first.
std::vector<std::vector<std::string>> documented(const std::string& verb);

std::string read_file(const fs::path& path);
void write_file(const fs::path& path, const std::string& bytes);

}  // namespace mynah::e2e
