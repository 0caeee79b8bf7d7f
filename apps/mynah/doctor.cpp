// mynah doctor: what the machine offers and what is missing.
#include <curl/curl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "ops/machine.h"
#include "store/store.h"

namespace mynah::app {
namespace {

int64_t memory_field(const char* name) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (int64_t kb; file >> key >> kb; std::getline(file, unit))
    if (key == name) return kb * 1024;
  return 0;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  if (!path) return false;
  std::stringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  return false;
}

int run_doctor(bool json) {
  const store::Store store;
  const auto& home = store.settings().home;
  std::error_code error;
  std::filesystem::path there = home;
  while (!std::filesystem::exists(there, error) && there.has_parent_path() && there != there.parent_path()) there = there.parent_path();
  const auto space = std::filesystem::space(there, error);
  const bool writable = access(there.c_str(), W_OK) == 0;
  Json out = {{"version", MYNAH_VERSION},
              {"instruction_set", ops::instruction_set()},
              {"processor", processor()},
              {"threads", thread_pool().threads()},
              {"processors", std::thread::hardware_concurrency()},
              {"memory", {{"total_bytes", memory_field("MemTotal:")}, {"available_bytes", memory_field("MemAvailable:")}}},
              {"store", {{"folder", home.string()}, {"bytes", store.disk_bytes()}, {"models", store.list().size()}, {"free_bytes", error ? 0 : space.available}, {"writable", writable}}},
              {"libraries", {{"curl", curl_version_info(CURLVERSION_NOW)->version}, {"fmt", FMT_VERSION}, {"compiler", __VERSION__}}},
              {"offline", store.settings().offline}};
  Json problems = Json::array();
  if (!writable) problems.push_back(fmt::format("{} is not writable: set MYNAH_HOME to a folder of yours", there.string()));
  if (!on_path("pip") && !on_path("pip3") && !on_path("python3")) problems.push_back("pip is not installed: models of packages cannot be pulled; apt-get install python3-pip");
  if (ops::instruction_set() == "generic") problems.push_back("no AVX2: answers will be slow");
  out["problems"] = problems;
  if (json) {
    print_json(out);
    return 0;
  }
  std::string text = fmt::format("mynah           {}\nprocessor       {}\ninstructions    {}\nthreads         {} of {} processors\nmemory          {} free of {}\nstore           {} ({}, {} models, {} free)\nlibraries       curl {}, compiler {}\n",
                                 MYNAH_VERSION, processor(), ops::instruction_set(), thread_pool().threads(), std::thread::hardware_concurrency(),
                                 format_bytes(memory_field("MemAvailable:")), format_bytes(memory_field("MemTotal:")), home.string(), format_bytes(static_cast<int64_t>(store.disk_bytes())),
                                 store.list().size(), format_bytes(static_cast<int64_t>(space.available)), curl_version_info(CURLVERSION_NOW)->version, __VERSION__);
  for (const Json& p : problems) text += "problem         " + p.get<std::string>() + "\n";
  if (problems.empty()) text += "no problems found\n";
  print_text(text);
  return 0;
}

}  // namespace

void add_doctor(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("doctor", "Say what this machine offers and what is missing");
  auto json = std::make_shared<bool>(false);
  c->add_flag("--json", *json, "print JSON");
  c->callback([json, &action] { action = [json] { return run_doctor(*json); }; });
}

}  // namespace mynah::app
