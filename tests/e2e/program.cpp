#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <utility>

#include "formats/safetensors.h"

namespace mynah::e2e {
namespace {

constexpr auto kLongestRun = std::chrono::seconds(120);

// The exit code and what the program used; one that does not end is killed.
std::pair<int, rusage> wait_for(pid_t process) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestRun;
  int status = 0;
  rusage used{};
  while (wait4(process, &status, WNOHANG, &used) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the program did not end";
      kill(process, SIGKILL);
      wait4(process, &status, 0, &used);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), used};
}

// posix_spawn takes arrays of pointers that end in null.
std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text = "mynah";
  for (const std::string& word : words) text += " " + word;
  return text;
}

}  // namespace

Json Result::json() const {
  Json value = Json::parse(out, nullptr, false);
  // Thrown, so that a test ends here instead of reading members that are not there.
  if (value.is_discarded()) throw std::runtime_error("not JSON: " + out + err);
  return value;
}

std::vector<std::string> Result::lines() const {
  std::vector<std::string> all;
  std::istringstream stream(out);
  for (std::string line; std::getline(stream, line);) all.push_back(line);
  return all;
}

Sandbox::Sandbox() {
  std::string name = (fs::temp_directory_path() / "mynah_e2e_XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder: " + name);
  folder_ = name;
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Result Sandbox::run(const std::vector<std::string>& arguments, const std::string& input, Stdout to,
                    Stderr errors) const {
  const std::string in = file("stdin").string(), out = file("stdout").string(), err = file("stderr").string();
  write_file(in, input);
  write_file(out, "");
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, in.c_str(), O_RDONLY, 0);
  write_file(err, "");
  int unread[2];
  if (pipe2(unread, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  close(unread[0]);
  if (errors == Stderr::closed)
    posix_spawn_file_actions_addclose(&files, 2);
  else if (errors == Stderr::unread)
    posix_spawn_file_actions_adddup2(&files, unread[1], 2);
  else
    posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (to == Stdout::closed)
    posix_spawn_file_actions_addclose(&files, 1);
  else if (to == Stdout::unread)
    posix_spawn_file_actions_adddup2(&files, unread[1], 1);
  else
    posix_spawn_file_actions_addopen(&files, 1, to == Stdout::full_disk ? "/dev/full" : out.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<std::string> words = {"mynah"},
                           environment = {"MYNAH_HOME=" + file("home").string(), "HOME=" + folder_.string(),
                                          "MYNAH_OFFLINE=1", "MYNAH_THREADS=2", "LC_ALL=C"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (const char* kept : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"})
    if (const char* value = std::getenv(kept)) environment.push_back(std::string(kept) + "=" + value);
  for (const std::string& entry : environment_) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(environment, [&](const std::string& other) { return other.rfind(name, 0) == 0; });
    environment.push_back(entry);
  }
  pid_t process = 0;
  const int problem =
      posix_spawn(&process, MYNAH_PROGRAM, &files, nullptr, pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  close(unread[1]);
  if (problem != 0) throw std::runtime_error(std::string("cannot start ") + MYNAH_PROGRAM);
  Result result;
  const auto [code, used] = wait_for(process);
  result.code = code;
  result.peak_mb = used.ru_maxrss / 1024;
  result.out = read_file(out);
  result.err = read_file(err);
  return result;
}

Result Sandbox::run_well(const std::vector<std::string>& arguments, const std::string& input) const {
  Result result = run(arguments, input);
  EXPECT_EQ(result.code, 0) << joined(arguments) << "\n" << result.err;
  EXPECT_EQ(result.err, "") << joined(arguments);
  return result;
}

void Sandbox::expect_refused(const std::vector<std::string>& arguments, const std::vector<int>& codes,
                             const std::vector<std::string>& words, const std::string& input) const {
  const Result result = run(arguments, input);
  const std::string what = joined(arguments) + "\n" + result.err;
  EXPECT_NE(std::find(codes.begin(), codes.end(), result.code), codes.end())
      << "exit code " << result.code << " of " << what;
  EXPECT_EQ(result.out, "") << what;
  EXPECT_EQ(result.err.rfind("mynah: ", 0), 0u) << what;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << what;
  EXPECT_EQ(result.err.back(), '\n') << what;
  for (const std::string& word : words)
    EXPECT_NE(result.err.find(word), std::string::npos) << "\"" << word << "\" is not in: " << what;
}

fs::path Sandbox::inputs(const fs::path& golden_file, const std::function<void(NamedTensors&)>& change) const {
  NamedTensors all = read_tensors(golden_file), kept;
  for (const auto& [name, tensor] : all)
    if (name == "input_ids" || name == "attention_mask" || name == "labels" || name == "position_ids")
      kept.emplace(name, tensor);
  if (change) change(kept);
  const fs::path path = file("inputs.safetensors");
  write_tensors(path, kept);
  return path;
}

fs::path Sandbox::with_config(const std::string& name, const std::function<void(Json&)>& change) const {
  const fs::path copy = file(name + "_changed");
  fs::create_directories(copy);
  fs::copy_file(golden(name) / "model.safetensors", copy / "model.safetensors", fs::copy_options::overwrite_existing);
  Json config = Json::parse(read_file(golden(name) / "config.json"));
  change(config);
  write_file(copy / "config.json", config.dump(2));
  return copy;
}

fs::path golden(const std::string& name) {
  const fs::path folder = golden_file(name);
  return name.rfind("gguf_", 0) == 0 ? folder / "model.gguf" : folder;
}

fs::path golden_file(const std::string& name) { return fs::path(MYNAH_TEST_DATA) / "golden" / "models" / name; }

NamedTensors read_tensors(const fs::path& path) {
  NamedTensors all;
  const auto source = formats::SafetensorsFile::open(path);
  for (const auto& info : source->tensors()) all.emplace(info.name, source->tensor(info.name));
  return all;
}

void write_tensors(const fs::path& path, const NamedTensors& tensors) {
  std::vector<formats::OutputTensor> all;
  for (const auto& [name, tensor] : tensors) all.emplace_back(name, tensor);
  formats::write_safetensors(path, all);
}

Tensor ids_tensor(const std::vector<int64_t>& ids) {
  return Tensor::from(std::span<const int64_t>(ids), {1, static_cast<int64_t>(ids.size())});
}

std::vector<std::vector<int64_t>> rows(const Tensor& ids) {
  std::vector<std::vector<int64_t>> all;
  for (int64_t b = 0; b < ids.size(0); ++b)
    all.emplace_back(ids.data<int64_t>() + b * ids.size(1), ids.data<int64_t>() + (b + 1) * ids.size(1));
  return all;
}

void expect_close(const Tensor& got, const Tensor& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape().str(), expected.shape().str()) << what;
  const auto a = got.to_vector(), b = expected.to_vector();
  double scale = 1;
  for (const float v : b) scale = std::max<double>(scale, std::abs(v));
  for (size_t i = 0; i < b.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * scale) << what << ", element " << i;
}

std::vector<std::vector<std::string>> documented(const std::string& verb) {
  std::istringstream text(read_file(fs::path(MYNAH_TEST_DATA).parent_path() / "docs/applications.md"));
  std::vector<std::vector<std::string>> all;
  for (std::string line; std::getline(text, line);) {
    if (line != "mynah " + verb && line.rfind("mynah " + verb + " ", 0) != 0) continue;
    std::vector<std::string> words;
    std::string word;
    bool quoted = false;
    // Two blanks outside quotes begin the description.
    for (size_t i = 6; i <= line.size(); ++i) {
      const char c = i < line.size() ? line[i] : ' ';
      if (c == '"') quoted = !quoted;
      else if (c != ' ' || quoted) word += c;
      else if (word.empty()) break;
      else words.push_back(std::exchange(word, ""));
    }
    all.push_back(words);
  }
  return all;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace mynah::e2e
