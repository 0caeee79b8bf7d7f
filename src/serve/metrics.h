// What the server counts, in Prometheus' text form. Labels hold route patterns, dialects and statuses, never a user's text.
#pragma once
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "serve/models.h"

namespace mynah::serve {

class Histogram {
 public:
  void observe(double seconds);
  void write(std::string* out, const std::string& name, const char* help) const;

 private:
  static constexpr std::array<double, 14> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
  mutable std::mutex mutex_;
  std::array<uint64_t, 15> counts_{};
  double sum_ = 0;
};

class Metrics {
 public:
  void request(const std::string& route, int status, double seconds);
  std::string text(const Models& models, int64_t connections) const;

  Histogram request_seconds, queue_seconds, first_token_seconds, token_seconds, answer_seconds;
  std::atomic<uint64_t> prompt_tokens{0}, reused_tokens{0}, generated_tokens{0}, cancelled{0}, rejected{0}, auth_failures{0};

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
};

}  // namespace mynah::serve
