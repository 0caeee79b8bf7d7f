#include "serve/serve.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/log.h"
#include "base/require.h"
#include "mynah/json.h"
#include "serve/ollama.h"
#include "serve/router.h"

namespace mynah::serve {
namespace {

int64_t whole_number(const std::string& name, const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    fail(ErrorCode::usage, "{}: \"{}\", expected a whole number from {} to {}", name, text, low, high);
  return value;
}

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> all;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) all.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return all;
}

// A store that cannot be written to is served without a log.
std::unique_ptr<RequestLog> open_log(const store::Store& store) {
  try {
    return std::make_unique<RequestLog>(RequestLog::folder(store.settings().home));
  } catch (const Error& error) {
    warn("{}; requests are not logged", error.what());
    return nullptr;
  }
}

// Likewise without a record of who changed what.
std::unique_ptr<AuditLog> open_audit_log(const store::Store& store) {
  try {
    return std::make_unique<AuditLog>(RequestLog::folder(store.settings().home));
  } catch (const Error& error) {
    warn("{}; changes of models are not written down", error.what());
    return nullptr;
  }
}

// Each connection is a descriptor; shells and service managers allow few unless asked for more.
void allow_descriptors(int64_t connections) {
  rlimit limit{};
  const rlim_t wanted = static_cast<rlim_t>(connections) + 1024;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
    info("serve: the system allows {} open files, which is less than {} connections want", limit.rlim_cur, connections);
}

}  // namespace

void ServeOptions::read_environment(const std::function<const char*(const char*)>& variable) {
  const auto read = [&](const std::string& name) -> std::optional<std::pair<std::string, std::string>> {
    for (const std::string& full : {"MYNAH_" + name, "OLLAMA_" + name})
      if (const char* value = variable(full.c_str()); value && *value) return std::pair{full, std::string(value)};
    return std::nullopt;
  };
  const auto number = [&](const char* name, int64_t low, int64_t high, int64_t* target) {
    if (const auto v = read(name)) *target = whole_number(v->first, v->second, low, high);
  };
  number("NUM_PARALLEL", 0, 1024, &models.scheduler.slots);
  if (models.scheduler.slots == 0) models.scheduler.slots = generation::SchedulerOptions{}.slots;
  number("MAX_QUEUE", 0, 1 << 20, &models.scheduler.queue);
  number("MAX_QUEUE_PER_KEY", 0, 1 << 20, &models.scheduler.queue_per_owner);
  number("MAX_LOADED_MODELS", 0, 1000, &models.most_loaded);
  if (models.most_loaded == 0) models.most_loaded = ModelsOptions{}.most_loaded;
  number("CONTEXT_LENGTH", 0, 1 << 30, &models.context);
  if (const auto v = read("KEEP_ALIVE")) {
    Json value = v->second;
    if (v->second.find_first_not_of("-0123456789.") == std::string::npos) value = std::strtod(v->second.c_str(), nullptr);
    const Json object = {{"keep_alive", value}};
    try {
      models.keep_alive = *keep_alive_of(Fields(object));
    } catch (const ApiError&) {
      fail(ErrorCode::usage, "{}: \"{}\", expected seconds or a duration such as 5m", v->first, v->second);
    }
  }
  if (const auto v = read("ORIGINS")) origins = comma_list(v->second);
  if (const auto v = read("HOSTS")) hosts = comma_list(v->second);
}

HostPort parse_host(const std::string& given) {
  HostPort out;
  std::string text = given;
  while (!text.empty() && (text.back() == ' ' || text.back() == '"' || text.back() == '\'')) text.pop_back();
  while (!text.empty() && (text.front() == ' ' || text.front() == '"' || text.front() == '\'')) text.erase(0, 1);
  if (const auto mark = text.find("://"); mark != std::string::npos) {
    out.scheme = text.substr(0, mark);
    text.erase(0, mark + 3);
    if (out.scheme != "http" && out.scheme != "https") fail(ErrorCode::usage, "OLLAMA_HOST: \"{}\", expected [http://]host[:port]", given);
    out.port = out.scheme == "https" ? 443 : 80;
  }
  text = text.substr(0, text.find('/'));
  std::string port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string::npos) fail(ErrorCode::usage, "OLLAMA_HOST: \"{}\", expected [http://]host[:port]", given);
    if (end + 1 < text.size() && text[end + 1] == ':') port = text.substr(end + 2);
    text = text.substr(1, end - 1);
  } else if (const auto colon = text.find(':'); colon != std::string::npos && text.find(':', colon + 1) == std::string::npos) {
    port = text.substr(colon + 1);
    text.resize(colon);
  }
  if (!port.empty()) out.port = static_cast<uint16_t>(whole_number("OLLAMA_HOST: port", port, 0, 65535));
  if (!text.empty()) out.host = text;
  return out;
}

void serve(const ServeOptions& options, const std::function<void(uint16_t)>& ready) {
  AccessRules rules;
  rules.hosts = options.hosts;
  rules.origins = options.origins;
  rules.key_file = options.api_key_file;
  if (!rules.key_file.empty()) rules.keys = read_key_file(rules.key_file);
  if (!is_loopback_name(options.server.host) && rules.keys.empty() && !options.insecure)
    fail(ErrorCode::usage, "serve: {} can be reached by other machines; give --api-key-file, or --insecure to let everybody in", options.server.host);
  if (!is_loopback_name(options.server.host)) rules.hosts.push_back(options.server.host);
  store::Store store;
  ServerOptions listen = options.server;
  allow_descriptors(listen.connections);
  const auto uploads = store.settings().home / "blobs" / "partial";
  std::error_code error;
  std::filesystem::create_directories(uploads, error);
  listen.upload_folder = uploads.string();
  Service service(store, options.models, rules, options.version);
  if (options.log_requests) service.log = open_log(store);
  service.audit = open_audit_log(store);
  if (!options.record.empty()) service.recorder = std::make_unique<Recorder>(options.record, service.background);
  Router router(service);
  Server server(listen, router);
  service.background.run([&store = service.models.store()] {
    try {
      if (const uint64_t freed = store.collect(); freed > 0) info("serve: {} bytes that nothing used are freed", freed);
    } catch (const Error& failure) {
      warn("{}", failure.what());
    }
  });
  service.connections = [&server] { return server.open_connections(); };
  std::vector<Models::Lease> kept;
  for (const auto& name : options.models.served) kept.push_back(service.models.acquire(name, std::chrono::milliseconds(-1)));
  kept.clear();
  ready(server.port());
  server.run();
}

}  // namespace mynah::serve
