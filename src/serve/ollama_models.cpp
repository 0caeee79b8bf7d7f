// Ollama's routes about models: tags, show, ps, pull, copy, delete, create, blobs, version.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "serve/create.h"
#include "serve/ollama.h"
#include "store/names.h"
#include "store/push.h"

namespace mynah::serve {
namespace {

std::string name_of(const Call& call, const Fields& f) {
  std::string name = f.text_or("model", "");
  if (name.empty()) name = f.text_or("name", "");
  if (name.empty()) throw ApiError(400, "model is required", "model");
  if (!store::valid_stored_name(name) && !store::looks_like_path(name) && !store::parse_name(name))
    throw ApiError(400, "invalid model name", "model");
  call.note_model(name);
  return name;
}

// A stream of status records, or the last one alone.
class StatusReply {
 public:
  StatusReply(const Call& call, bool stream) : reply_(call.reply), notes_(call.request->notes), stream_(stream) {}
  // The first record waits for the second: what goes wrong until then is told by the status of the answer.
  void put(const Json& record) {
    if (stream_ && !last_.is_null()) write(last_);
    last_ = record;
    if (stream_ && reply_->begun()) write(std::exchange(last_, Json()));
  }
  void status(const std::string& text) { put({{"status", text}}); }
  void end() {
    if (stream_) {
      if (!last_.is_null()) write(last_);
      reply_->end();
    } else
      reply_->send({200, "application/json", to_text(last_), {}});
  }
  void error(const ApiError& error) {
    if (!reply_->begun()) {
      reply_->send(error_answer(Dialect::ollama, error));
      return;
    }
    notes_->change([](RequestNotes::Values& v) { v.failed = true; });
    reply_->write(to_text(error_json(Dialect::ollama, error)) + "\n");
    reply_->end();
  }
  bool gone() const { return reply_->gone(); }

 private:
  void write(const Json& record) {
    if (!reply_->begun()) reply_->begin(200, "application/x-ndjson");
    reply_->write(to_text(record) + "\n");
  }
  ReplyPtr reply_;
  std::shared_ptr<RequestNotes> notes_;
  bool stream_;
  Json last_;
};

void version(Call& call) { call.send_json({{"version", call.service.version}}); }

void status(Call& call) { call.send_json({{"cloud", {{"disabled", true}, {"source", "local"}}}}); }

void tags(Call& call) {
  Json json = tags_json(call.service.models.store());
  // Models of the command line that are no stored ones.
  for (const auto& known : call.service.models.served()) {
    if (known.stored) continue;
    Description d = describe(known.path);
    json["models"].push_back({{"name", known.name},
                              {"model", known.name},
                              {"modified_at", utc_time(std::chrono::system_clock::now())},
                              {"size", 0},
                              {"digest", ""},
                              {"details", details_json(d)},
                              {"capabilities", capabilities_json(d)}});
  }
  call.send_json(json);
}

void ps(Call& call) {
  Json all = Json::array();
  for (const auto& m : call.service.models.loaded())
    all.push_back({{"name", tagged_name(m.name)},
                   {"model", tagged_name(m.name)},
                   {"size", m.bytes},
                   {"digest", m.digest},
                   {"details", m.details},
                   {"expires_at", utc_time(m.expires)},
                   {"size_vram", 0},
                   {"context_length", m.context}});
  call.send_json({{"models", all}});
}

void show(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = name_of(call, f);
  const KnownModel known = call.service.models.find(name);
  Json json = show_json(call.service.models.store(), known.path, known.stored ? &*known.stored : nullptr,
                        f.boolean("verbose").value_or(false));
  if (call.request->header("user-agent").starts_with("GitHubCopilotChat/"))
    json["model_info"]["general.basename"] = name;
  call.send_json(json);
}

void copy(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string from = f.text_or("source", ""), to = f.text_or("destination", "");
  if (from.empty() || to.empty()) throw ApiError(400, "source and destination are required");
  call.note_model(to);
  if (!call.service.models.store().find(from)) throw ApiError(404, fmt::format("model '{}' not found", from), "source");
  if (!store::valid_stored_name(to))
    throw ApiError(400, fmt::format("destination \"{}\" is invalid", to), "destination");
  call.service.models.store().copy(from, to);
  call.reply->send({200, "", "", {}});
}

void ollama_remove(Call& call) {
  const Json body = call.body();
  const std::string name = name_of(call, Fields(body));
  if (!call.service.models.store().find(name)) throw ApiError(404, fmt::format("model '{}' not found", name), "model");
  call.service.models.unload(name);
  call.service.models.store().remove(name);
  call.reply->send({200, "", "", {}});
}

// Tells of files under way, each about 16 times a second.
std::function<void(const store::Progress&)> told(const std::shared_ptr<StatusReply>& reply, const char* word) {
  struct Last {
    std::string file;
    std::chrono::steady_clock::time_point time;
  };
  return [reply, word, last = std::make_shared<Last>()](const store::Progress& p) {
    const auto now = std::chrono::steady_clock::now();
    if (p.file == last->file && p.done_bytes != p.total_bytes && now - last->time < std::chrono::milliseconds(60))
      return;
    *last = {p.file, now};
    const std::string digest = p.digest.empty() ? store::digest_of_text(p.file).hex() : p.digest;
    reply->put({{"status", fmt::format("{} {}", word, digest.substr(0, 12))},
                {"digest", "sha256:" + digest},
                {"total", p.total_bytes},
                {"completed", p.done_bytes}});
  };
}

store::PullOptions transfer_options(const Fields& f, const std::shared_ptr<StatusReply>& reply, const char* word) {
  store::PullOptions options;
  options.insecure = f.boolean("insecure").value_or(false);
  options.cancelled = [reply] { return reply->gone(); };
  options.progress = told(reply, word);
  return options;
}

void push(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = name_of(call, f);
  const auto reply = std::make_shared<StatusReply>(call, f.boolean("stream").value_or(true));
  const store::PullOptions options = transfer_options(f, reply, "pushing");
  const auto& store = call.service.models.store();
  if (!store.find(name) && !store.find("ollama:" + name))
    throw ApiError(404, fmt::format("model '{}' not found", name), "model");
  try {
    reply->status("retrieving manifest");
    store::push(store, name, options);
    reply->status("pushing manifest");
    reply->status("success");
    reply->end();
  } catch (...) {
    reply->error(as_api_error(std::current_exception(), 500));
  }
}

// An Ollama client's word for a model: short names that are not stored nor in the catalogue are those of Ollama's
// library.
std::string pull_name(const store::Store& store, const std::string& name) {
  if (name.find("://") != std::string::npos && name.find("huggingface.co/") == std::string::npos &&
      name.find("hf.co/") == std::string::npos)
    return "ollama:" + name;
  if (const auto stored = store.find(name))
    return stored->source.empty() || store::parse_name(stored->name) ? stored->name : stored->source;
  const auto parsed = store::parse_name(name);
  if (parsed && parsed->kind != store::Name::Kind::hub) return name;
  const bool hub = name.starts_with("hf.co/") || name.starts_with("huggingface.co/") ||
                   name.find("hf.co/") != std::string::npos || name.find("huggingface.co/") != std::string::npos;
  if (hub || (parsed && name.find('/') != std::string::npos)) {
    // Three parts with a host are a registry's; org/name is the hub's.
    if (hub || std::count(name.begin(), name.end(), '/') == 1) return name;
  }
  return "ollama:" + name;
}

void pull(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = name_of(call, f);
  const auto reply = std::make_shared<StatusReply>(call, f.boolean("stream").value_or(true));
  const store::PullOptions options = transfer_options(f, reply, "pulling");
  try {
    reply->status("pulling manifest");
    const auto& store = call.service.models.store();
    const std::string wanted = pull_name(store, name);
    const store::Model model = store.pull(wanted, options);
    // The name that was asked for answers too.
    if (!store.find(name) && store::valid_stored_name(name)) store.copy(model.name, name);
    reply->status("verifying sha256 digest");
    reply->status("writing manifest");
    reply->status("success");
    reply->end();
  } catch (...) {
    reply->error(as_api_error(std::current_exception(), 500));
  }
}

void ollama_create(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const auto reply = std::make_shared<StatusReply>(call, f.boolean("stream").value_or(true));
  try {
    CreateRequest request = create_request(f);
    call.note_model(request.name);
    create_model(call.service.models.store(), request, [&](const std::string& text) { reply->status(text); });
    reply->status("success");
    reply->end();
  } catch (...) {
    reply->error(as_api_error(std::current_exception()));
  }
}

store::Digest digest_of(const std::string& text) {
  const auto digest =
      text.starts_with("sha256:") || text.starts_with("sha256-") ? store::Digest::try_parse(text) : std::nullopt;
  if (!digest) throw ApiError(400, "invalid digest format");
  return *digest;
}

void has_blob(Call& call) {
  const auto digest = digest_of(call.path[0]);
  call.reply->send({call.service.models.store().has_blob(digest) ? 200 : 404, "", "", {}});
}

void put_blob(Call& call) {
  const auto digest = digest_of(call.path[0]);
  call.note_model(digest.with_prefix());
  const auto& store = call.service.models.store();
  if (store.has_blob(digest)) return call.reply->send({200, "", "", {}});
  const int file = call.request->body_file;
  try {
    store.put_blob(digest, [file](char* buffer, size_t size) -> size_t {
      const ssize_t n = file < 0 ? 0 : ::read(file, buffer, size);
      if (n < 0) throw ApiError(500, "the upload cannot be read");
      return static_cast<size_t>(n);
    });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::integrity) throw ApiError(400, "digest mismatch: the bytes have another digest");
    throw;
  }
  call.reply->send({201, "", "", {}});
}

void signed_out(Call&) { throw ApiError(401, "there is no account: this server is local"); }

}  // namespace

std::span<const Route> ollama_model_routes() {
  static const Route routes[] = {{"GET", "/api/version", version, Scope::any},
                                 {"GET", "/api/status", status, Scope::any},
                                 {"GET", "/api/tags", tags, Scope::any},
                                 {"GET", "/api/ps", ps, Scope::any},
                                 {"POST", "/api/show", show, Scope::any},
                                 {"POST", "/api/copy", copy, Scope::manage},
                                 {"DELETE", "/api/delete", ollama_remove, Scope::manage},
                                 {"POST", "/api/pull", pull, Scope::manage},
                                 {"POST", "/api/push", push, Scope::manage},
                                 {"POST", "/api/create", ollama_create, Scope::manage},
                                 {"HEAD", "/api/blobs/{}", has_blob, Scope::manage},
                                 {"POST", "/api/blobs/{}", put_blob, Scope::manage},
                                 {"POST", "/api/me", signed_out, Scope::any},
                                 {"POST", "/api/signout", signed_out, Scope::any}};
  return routes;
}

}  // namespace mynah::serve
