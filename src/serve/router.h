// From a path to its handler, and what holds for all of them: access, errors in the dialect's form, metrics, the log.
#pragma once
#include "serve/server.h"
#include "serve/service.h"

namespace mynah::serve {

class Router : public Application {
 public:
  explicit Router(Service& service);

  std::optional<Answer> check(Request& request) override;
  BodyRule body_rule(const Request& request) override;
  void handle(std::shared_ptr<Request> request, ReplyPtr reply) override;
  Answer refuse(const std::string& path, int status, const std::string& reason) override;
  Headers common_headers(const Request& request) override;
  void finished(const Request& request, int status, double seconds) override;

 private:
  struct Match {
    const Route* route = nullptr;
    std::vector<std::string> parts;
    std::string allowed;  // methods that the path has, when this one is not among them
  };
  Match match(const Request& request) const;

  Service& service_;
};

}  // namespace mynah::serve
