// mynah key: the keys of a file that mynah serve --api-key-file reads.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "serve/keys.h"
#include "store/digest.h"

namespace mynah::app {
namespace {

struct KeyOptions {
  std::string file, name, scopes, expires, which;
  std::optional<int64_t> requests_per_minute, tokens_per_day;
  bool json = false;
};

constexpr size_t kMostFileBytes = 1 << 20;

// The first digits of its digest stand for a key in logs.
std::string short_digest(const serve::ApiKey& key) { return key.digest.substr(0, 8); }

Json key_json(const serve::ApiKey& key) {
  Json scopes = Json::array();
  for (const std::string& name : key.scope_names()) scopes.push_back(name);
  Json json = {{"id", short_digest(key)}, {"name", key.name}, {"scopes", scopes}};
  json["requests_per_minute"] = key.requests_per_minute > 0 ? Json(key.requests_per_minute) : Json();
  json["tokens_per_day"] = key.tokens_per_day > 0 ? Json(key.tokens_per_day) : Json();
  json["expires"] = key.expires.empty() ? Json() : Json(key.expires);
  return json;
}

// The file holds digests only, but who may add lines to it may let himself in: it is for its user alone.
void append_line(const std::string& path, const std::string& line) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) fail(ErrorCode::failure, "key: cannot write to {}: {}", path, std::strerror(errno));
  char last = '\n';
  if (const off_t size = ::lseek(file, 0, SEEK_END); size > 0 && ::pread(file, &last, 1, size - 1) != 1) last = '\n';
  const std::string text = (last == '\n' ? "" : "\n") + line + "\n";
  const bool whole = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  ::close(file);
  if (!whole) fail(ErrorCode::failure, "key: cannot write to {}: {}", path, std::strerror(errno));
}

// A name stands for one key: logs and mynah key rm know keys by it.
void require_new_name(const KeyOptions& o) {
  if (o.name.empty() || !std::filesystem::exists(o.file)) return;
  std::vector<std::string> complaints;  // the server makes them
  for (const auto& [digest, key] : serve::parse_keys(read_text_file(o.file, kMostFileBytes), o.file, &complaints))
    if (key.name == o.name)
      fail(ErrorCode::usage, "key: {} holds a key named \"{}\" already, {}; take another name, or first mynah key rm {} {}", o.file, o.name, short_digest(key), o.file, short_digest(key));
}

int add_one(const KeyOptions& o) {
  require_new_name(o);
  const std::string secret = serve::new_key();
  std::string line = "sha256:" + store::digest_of_text(secret).hex();
  const auto put = [&](const char* what, const std::string& value) {
    if (!value.empty()) line += fmt::format(" {}={}", what, value);
  };
  put("name", o.name);
  put("scopes", o.scopes);
  if (o.requests_per_minute) put("requests-per-minute", std::to_string(*o.requests_per_minute));
  if (o.tokens_per_day) put("tokens-per-day", std::to_string(*o.tokens_per_day));
  put("expires", o.expires);
  const auto key = serve::parse_key_line(line, "key");
  append_line(o.file, key->line());
  if (o.json) {
    Json json = key_json(*key);
    json["key"] = secret;
    print_json(json);
  } else {
    print_text(secret + "\n");
    fmt::print(stderr, "mynah: this key is shown once; {} holds its digest {}\n", o.file, short_digest(*key));
  }
  return 0;
}

int list_all(const KeyOptions& o) {
  const auto keys = serve::read_key_file(o.file);
  Json all = Json::array();
  std::string text = fmt::format("{:<10}{:<20}{:<24}{:>12}{:>14}  {}\n", "ID", "NAME", "SCOPES", "REQUESTS/MIN", "TOKENS/DAY", "EXPIRES");
  for (const auto& [digest, key] : keys) {
    const std::string scopes = fmt::format("{}", fmt::join(key.scope_names(), ","));
    const auto limit = [](int64_t n) { return n > 0 ? std::to_string(n) : "-"; };
    text += fmt::format("{:<10}{:<20}{:<24}{:>12}{:>14}  {}\n", short_digest(key), key.name.empty() ? "-" : key.name, scopes, limit(key.requests_per_minute),
                        limit(key.tokens_per_day), key.expires.empty() ? "-" : key.expires);
    all.push_back(key_json(key));
  }
  if (o.json) print_json(all);
  else print_text(text);
  return 0;
}

// Takes the lines of one key out and leaves the others as they are.
int remove_one(const KeyOptions& o) {
  const std::string text = read_text_file(o.file, kMostFileBytes);
  std::string rest;
  int found = 0, number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1);
    const std::string line = text.substr(at, end + 1 - at);
    at = end + 1;
    const auto key = serve::parse_key_line(line.substr(0, line.find('\n')), fmt::format("{}: line {}", o.file, ++number));
    if (key && (key->name == o.which || short_digest(*key) == o.which || key->digest == o.which)) ++found;
    else rest += line;
  }
  if (found == 0) fail(ErrorCode::not_found, "key: {} holds no key with the name or id \"{}\"; mynah key list {} shows them", o.file, o.which, o.file);
  struct stat before {};
  ::stat(o.file.c_str(), &before);
  AtomicFile file(o.file);
  file.write(rest);
  file.commit();
  ::chmod(o.file.c_str(), before.st_mode & 07777);
  if (o.json) print_json({{"removed", found}});
  else fmt::print(stderr, "mynah: {} taken out of {}\n", found == 1 ? "one key" : fmt::format("{} keys", found), o.file);
  return 0;
}

}  // namespace

void add_key(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("key", "Make, list and take back API keys of a file for mynah serve --api-key-file");
  c->require_subcommand(1);
  auto o = std::make_shared<KeyOptions>();
  const auto verb = [&](const char* name, const char* help, int (*run)(const KeyOptions&)) {
    cli::App* s = c->add_subcommand(name, help);
    s->add_option("FILE", o->file, "the key file")->required();
    s->callback([o, run, &action] { action = [o, run] { return run(*o); }; });
    return s;
  };
  cli::App* add = verb("add", "Make a key of 256 random bits and print it once; the file gets its SHA-256", add_one);
  add->add_option("--name", o->name, "whose it is, for logs")->type_name("NAME");
  add->add_option("--scopes", o->scopes, "infer, manage, metrics, a comma list; all without")->type_name("LIST");
  add->add_option("--requests-per-minute", o->requests_per_minute, "more are refused with 429")->type_name("N");
  add->add_option("--tokens-per-day", o->tokens_per_day, "of prompts and answers, until midnight UTC")->type_name("N");
  add->add_option("--expires", o->expires, "the last day on which it holds")->type_name("YYYY-MM-DD");
  add->add_flag("--json", o->json, "the key and what it may as JSON");
  cli::App* list = verb("list", "Show the keys of a file", list_all);
  list->add_flag("--json", o->json, "as JSON");
  cli::App* rm = verb("rm", "Take a key out of a file; a running server lets it in no more", remove_one);
  rm->add_option("NAME", o->which, "its name, or its id from mynah key list")->required();
  rm->add_flag("--json", o->json, "how many were taken out as JSON");
}

}  // namespace mynah::app
