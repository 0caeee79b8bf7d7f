#include "serve/record.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/require.h"
#include "base/unicode.h"
#include "serve/answer.h"
#include "text/base64.h"

namespace mynah::serve {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostBytes = 64u << 20;
constexpr int64_t kMostRecords = 10000;  // of one run: a folder stays of a size that people can look through

bool is_text(const std::string& bytes) { return unicode::is_valid(bytes) && bytes.find('\0') == std::string::npos; }

void put_bytes(Json* json, const char* name, const std::string& bytes) {
  if (is_text(bytes)) (*json)[name] = bytes;
  else (*json)[std::string(name) + "_base64"] = text::encode_base64(bytes);
}

// Keys whose values tell of the moment, not of the answer.
bool is_momentary(const std::string& key, const Json& value) {
  static constexpr std::string_view kKeys[] = {
      "created",         "created_at",  "completed_at",      "expires_at",         "response_id",     "previous_response_id",  "item_id",        "call_id",
      "tool_call_id",    "tool_use_id", "tokens_per_second", "time_to_first_token", "generation_time", "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"};
  if (key == "id") return value.is_string();  // a number is a token's
  return key.ends_with("_duration") || key.ends_with("_seconds") || std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
}

Json lasting(const Json& value) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(lasting(item));
    return out;
  }
  if (!value.is_object()) return value;
  const bool cached_apart = value.contains("cache_read_input_tokens");  // then input_tokens are the rest
  Json out = Json::object();
  for (const auto& [key, item] : value.items())
    if (!is_momentary(key, item) && !(cached_apart && key == "input_tokens")) out[key] = lasting(item);
  return out;
}

std::string lasting_json(const std::string& text) {
  const Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? text : to_text(lasting(value));
}

}  // namespace

Json record_json(const Record& r) {
  Json request = {{"method", r.method}, {"target", r.target}, {"content_type", r.content_type}, {"accept", r.accept}, {"seed", r.seed}};
  put_bytes(&request, "body", r.body);
  Json answer = {{"status", r.status}, {"content_type", r.answer_type}};
  put_bytes(&answer, "body", r.answer);
  return {{"mynah_record", 1}, {"time", r.time}, {"request", std::move(request)}, {"answer", std::move(answer)}};
}

Record parse_record(const std::string& text, const std::string& where) {
  const Json json = Json::parse(text, nullptr, false);
  const auto wrong = [&](const std::string& what) { fail(ErrorCode::failure, "{}: {}, expected a file of mynah serve --record", where, what); };
  if (!json.is_object() || json.value("mynah_record", 0) != 1) wrong("no record of a request");
  for (const char* part : {"request", "answer"})
    if (!json.contains(part) || !json[part].is_object()) wrong(fmt::format("no \"{}\"", part));
  const auto text_of = [&](const Json& object, const char* name) -> std::string {
    if (!object.contains(name) || !object[name].is_string()) wrong(fmt::format("no text \"{}\"", name));
    return object[name].get<std::string>();
  };
  const auto bytes_of = [&](const Json& object) -> std::string {
    if (object.contains("body")) return text_of(object, "body");
    const auto bytes = text::decode_base64(text_of(object, "body_base64"));
    if (!bytes) wrong("\"body_base64\" is no base64");
    return *bytes;
  };
  const Json &request = json["request"], &answer = json["answer"];
  if (!request.contains("seed") || !request["seed"].is_number_integer() || !answer.contains("status") || !answer["status"].is_number_integer())
    wrong("no whole \"seed\" and \"status\"");
  Record r{json.value("time", ""), text_of(request, "method"), text_of(request, "target"), text_of(request, "content_type"), text_of(request, "accept"), bytes_of(request),
           request["seed"].get<uint64_t>(), answer["status"].get<int>(), text_of(answer, "content_type"), bytes_of(answer)};
  if (r.target.empty() || r.target[0] != '/' || r.target.find_first_of(" \r\n") != std::string::npos) wrong("\"target\" is no path");
  return r;
}

std::string lasting_part(const std::string& type, const std::string& body) {
  if (type.starts_with("application/json")) return lasting_json(body);
  const bool events = type.starts_with("text/event-stream");
  if (!events && !type.starts_with("application/x-ndjson")) return body;
  std::string out;
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    const std::string line = body.substr(at, end - at);
    const size_t mark = !events ? 0 : line.starts_with("data: ") ? 6 : line.starts_with("data:") ? 5 : line.size();
    out += line.substr(0, mark) + (mark < line.size() ? lasting_json(line.substr(mark)) : "") + "\n";
    at = end + 1;
  }
  return out;
}

std::optional<std::string> difference(const Record& recorded, int status, const std::string& type, const std::string& body) {
  if (status != recorded.status) return fmt::format("status {}, recorded {}", status, recorded.status);
  if (type != recorded.answer_type) return fmt::format("type {}, recorded {}", type, recorded.answer_type);
  const std::string was = lasting_part(type, recorded.answer), is = lasting_part(type, body);
  if (was == is) return std::nullopt;
  const auto at = static_cast<size_t>(std::mismatch(was.begin(), was.end(), is.begin(), is.end()).first - was.begin());
  const auto around = [&](const std::string& text) {
    std::string piece = text.substr(at > 20 ? at - 20 : 0, 60);
    for (char& c : piece)
      if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = '.';
    return piece;
  };
  return fmt::format("at byte {} of {}: \"{}\", recorded \"{}\"", at, was.size(), around(is), around(was));
}

// Hands everything on and keeps a copy.
class WatchedReply : public Reply {
 public:
  WatchedReply(Recorder& recorder, std::shared_ptr<Request> request, ReplyPtr reply)
      : recorder_(recorder), request_(std::move(request)), reply_(std::move(reply)) {}
  void send(Answer answer) override {
    if (!reply_->gone()) recorder_.keep(*request_, answer.status, answer.type, answer.body);
    reply_->send(std::move(answer));
  }
  void begin(int status, std::string type, Headers headers) override {
    {
      std::lock_guard lock(mutex_);
      status_ = status;
      type_ = type;
    }
    reply_->begin(status, std::move(type), std::move(headers));
  }
  void write(std::string_view bytes) override {
    {
      std::lock_guard lock(mutex_);
      if (body_.size() <= kMostBytes) body_ += bytes;
    }
    reply_->write(bytes);
  }
  void end() override {
    {
      std::lock_guard lock(mutex_);
      if (!reply_->gone()) recorder_.keep(*request_, status_, std::move(type_), std::move(body_));
    }
    reply_->end();
  }
  bool begun() const override { return reply_->begun(); }
  bool gone() const override { return reply_->gone(); }
  size_t unsent_bytes() const override { return reply_->unsent_bytes(); }
  void on_gone(std::function<void()> action) override { reply_->on_gone(std::move(action)); }

 private:
  Recorder& recorder_;
  std::shared_ptr<Request> request_;
  ReplyPtr reply_;
  std::mutex mutex_;
  int status_ = 0;
  std::string type_, body_;
};

Recorder::Recorder(fs::path folder, Workers& background) : folder_(std::move(folder)), background_(background) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (!error) fs::permissions(folder_, fs::perms::owner_all, error);
  if (error) fail(ErrorCode::failure, "serve: --record {}: {}", folder_.string(), error.message());
}

ReplyPtr Recorder::watch(std::shared_ptr<Request> request, ReplyPtr reply) {
  return std::make_shared<WatchedReply>(*this, std::move(request), std::move(reply));
}

void Recorder::keep(const Request& request, int status, std::string type, std::string body) {
  const RequestNotes::Values notes = request.notes->values();
  if (!notes.answered || !request.header(kSeedHeader).empty() || body.size() > kMostBytes || request.body.size() > kMostBytes) return;
  const int64_t number = ++count_;
  if (number > kMostRecords) {
    if (number == kMostRecords + 1) warn("serve: {} requests are recorded, no more will be", kMostRecords);
    return;
  }
  const std::string time = utc_time(std::chrono::system_clock::now());
  std::string stamp = time.substr(0, 19);
  std::erase_if(stamp, [](char c) { return c == '-' || c == ':'; });
  const fs::path path = folder_ / fmt::format("{}-{:05}.json", stamp, number);
  auto record = std::make_shared<Record>(Record{time, request.method, request.path + (request.query.empty() ? "" : "?" + request.query), std::string(request.header("content-type")),
                                                std::string(request.header("accept")), request.body, notes.seed, status, std::move(type), std::move(body)});
  background_.run([path, record] {
    try {
      AtomicFile file(path);
      file.write(to_text(record_json(*record)) + "\n");
      file.commit();
    } catch (const std::exception& error) {
      warn("serve: a request was not recorded: {}", error.what());
    }
  });
}

}  // namespace mynah::serve
