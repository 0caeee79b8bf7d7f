// mynah replay FILE...: asks a server again what mynah serve --record has kept, and compares the answers.
#include <fmt/core.h>

#include <algorithm>

#include "base/file.h"
#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "remote.h"
#include "serve/record.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct ReplayOptions {
  std::vector<std::string> files;
  std::string remote;
  bool json = false;
};

// The files, and those of folders in the order of their names, which is that of time.
std::vector<fs::path> records_of(const std::vector<std::string>& names) {
  std::vector<fs::path> all;
  for (const fs::path name : names) {
    if (!fs::exists(name)) fail(ErrorCode::not_found, "{}: no such file", name.string());
    if (!fs::is_directory(name)) {
      all.push_back(name);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::directory_iterator(name))
      if (entry.path().extension() == ".json") inside.push_back(entry.path());
    if (inside.empty()) fail(ErrorCode::not_found, "{}: there is no record in this folder", name.string());
    std::sort(inside.begin(), inside.end());
    all.insert(all.end(), inside.begin(), inside.end());
  }
  return all;
}

int run_replay(const ReplayOptions& o) {
  const Remote remote(o.remote);
  Json all = Json::array();
  bool same = true;
  for (const fs::path& file : records_of(o.files)) {
    const serve::Record record = serve::parse_record(read_text_file(file), file.string());
    std::vector<std::string> headers = {fmt::format("{}: {}", serve::kSeedHeader, record.seed)};
    headers.push_back("Content-Type: " + record.content_type);  // empty: none is sent
    if (!record.accept.empty()) headers.push_back("Accept: " + record.accept);
    const Remote::Answer answer = remote.ask(record.method, record.target, headers, record.body.empty() ? nullptr : &record.body);
    const auto differs = serve::difference(record, answer.status, answer.type, answer.body);
    same = same && !differs;
    all.push_back({{"file", file.string()}, {"same", !differs}, {"status", answer.status}, {"bytes", answer.body.size()}});
    if (differs) all.back()["difference"] = *differs;
    if (!o.json) print_text(fmt::format("{}: {}\n", file.string(), differs ? *differs : fmt::format("the same, {} bytes", answer.body.size())));
  }
  if (o.json) print_json(all);
  return same ? 0 : 1;
}

}  // namespace

void add_replay(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("replay", "Ask again what the server has recorded, and compare the answers");
  auto o = std::make_shared<ReplayOptions>();
  c->add_option("files", o->files, "files of mynah serve --record DIR, or the folder")->required()->type_name("FILE");
  c->add_option("--remote", o->remote, "the server to ask (OLLAMA_HOST, or 127.0.0.1:11434)")->type_name("URL");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return run_replay(*o); }; });
}

}  // namespace mynah::app
