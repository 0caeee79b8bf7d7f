// A running server as a client of Ollama's API sees it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::app {

// The server of `url`; empty: that of OLLAMA_HOST, else the default address.
class Remote {
 public:
  explicit Remote(const std::string& url = {});
  // The answer's JSON. Throws network when nobody answers, not_found for 404, auth for 401, busy for 503, else failure with the
  // server's message.
  Json call(const std::string& method, const std::string& path, const Json& body) const;
  // Posts `body` and hands over the answer's lines of JSON as they come; `line` returns false to stop.
  void stream(const std::string& path, const Json& body, const std::function<bool(const Json&)>& line) const;

  struct Answer {
    int status = 0;
    std::string type, body;
  };
  // Any request, whatever the answer's status. `headers`: whole lines, "Name: value". Throws network.
  Answer ask(const std::string& method, const std::string& path, const std::vector<std::string>& headers, const std::string* body) const;

  const std::string& url() const { return url_; }

 private:
  Answer perform(const std::string& method, const std::string& path, const std::vector<std::string>& headers, const std::string* body,
                 const std::function<bool(const Json&)>* line) const;
  std::string url_;
};

}  // namespace mynah::app
