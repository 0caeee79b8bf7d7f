// Requests that a model answered, each with its answer in a file of its own, so that `mynah replay` can ask again and compare. The
// files hold what was said: the folder is readable for its user alone.
#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "serve/http.h"
#include "serve/workers.h"

namespace mynah::serve {

// Sets what a request leaves to chance: a number of 64 bits.
constexpr const char* kSeedHeader = "x-mynah-seed";

struct Record {
  std::string time, method, target, content_type, accept, body;  // target: path and query
  uint64_t seed = 0;
  int status = 0;
  std::string answer_type, answer;
};

Json record_json(const Record& record);
// Throws failure naming `where` for what is no record.
Record parse_record(const std::string& text, const std::string& where);

// An answer without what differs from one time to the next: times, durations, ids and what the cache held. JSON, lines of JSON and
// events are taken apart for that, other answers stay as they are.
std::string lasting_part(const std::string& type, const std::string& body);
// Where two answers begin to differ, as a line for people; nothing when they are the same.
std::optional<std::string> difference(const Record& recorded, int status, const std::string& type, const std::string& body);

class Recorder {
 public:
  // Throws failure when the folder cannot be made. Files are written by `background`.
  Recorder(std::filesystem::path folder, Workers& background);

  // A reply that keeps what it is given. A client that leaves early, a replay, an answer that no model gave and one above 64 MB
  // are not recorded.
  ReplyPtr watch(std::shared_ptr<Request> request, ReplyPtr reply);

 private:
  friend class WatchedReply;
  void keep(const Request& request, int status, std::string type, std::string body);

  const std::filesystem::path folder_;
  Workers& background_;
  std::atomic<int64_t> count_{0};
};

}  // namespace mynah::serve
