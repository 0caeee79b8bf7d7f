#include "mynah/json.h"
#include "serve/metrics.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace mynah::serve {
namespace {

std::string escaped(const std::string& label) {
  std::string out;
  for (const char c : label) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void Histogram::observe(double seconds) {
  std::lock_guard lock(mutex_);
  const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  ++counts_[static_cast<size_t>(at)];
  sum_ += seconds;
}

void Histogram::write(std::string* out, const std::string& name, const char* help) const {
  std::lock_guard lock(mutex_);
  *out += fmt::format("# HELP {} {}\n# TYPE {} histogram\n", name, help, name);
  uint64_t total = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) *out += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds[i], total += counts_[i]);
  total += counts_.back();
  *out += fmt::format("{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n", name, total, name, sum_, name, total);
}

void Metrics::request(const std::string& route, int status, double seconds) {
  request_seconds.observe(seconds);
  if (status == 429 || status == 503) ++rejected;
  if (status == 401) ++auth_failures;
  std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
}

std::string Metrics::text(const Models& models, int64_t connections) const {
  std::string out;
  const auto one = [&](const char* name, const char* type, const char* help, auto value) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n{} {}\n", name, help, name, type, name, value);
  };
  out += "# HELP mynah_http_requests_total Answered requests.\n# TYPE mynah_http_requests_total counter\n";
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, count] : requests_) out += fmt::format("mynah_http_requests_total{{route=\"{}\",code=\"{}\"}} {}\n", escaped(key.first), key.second, count);
  }
  int64_t running = 0, waiting = 0;
  size_t cache = 0;
  std::string memory, requests, slots, tokens;
  for (const auto& m : models.loaded()) {
    running += m.counts.running;
    waiting += m.counts.waiting;
    cache += m.counts.cache_bytes;
    const std::string model = escaped(m.name);
    memory += fmt::format("mynah_model_memory_bytes{{model=\"{0}\",part=\"weights\"}} {1}\nmynah_model_memory_bytes{{model=\"{0}\",part=\"cache\"}} {2}\n", model, m.bytes, m.counts.cache_bytes);
    if (m.slots == 0) continue;
    requests += fmt::format("mynah_model_requests{{model=\"{0}\",state=\"running\"}} {1}\nmynah_model_requests{{model=\"{0}\",state=\"waiting\"}} {2}\n", model, m.counts.running, m.counts.waiting);
    slots += fmt::format("mynah_model_slots{{model=\"{}\"}} {}\n", model, m.slots);
    tokens += fmt::format("mynah_model_tokens_total{{model=\"{0}\",kind=\"prompt\"}} {1}\nmynah_model_tokens_total{{model=\"{0}\",kind=\"generated\"}} {2}\n", model, m.counts.prompt_tokens, m.counts.generated_tokens);
  }
  one("mynah_http_connections", "gauge", "Open connections.", connections);
  one("mynah_requests_running", "gauge", "Answers being generated.", running);
  one("mynah_requests_waiting", "gauge", "Requests waiting for a slot.", waiting);
  one("vllm:num_requests_running", "gauge", "Answers being generated.", running);
  one("vllm:num_requests_waiting", "gauge", "Requests waiting for a slot.", waiting);
  one("mynah_kv_cache_bytes", "gauge", "Keys and values held.", cache);
  one("mynah_prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens.load());
  one("mynah_generation_tokens_total", "counter", "Generated tokens.", generated_tokens.load());
  one("mynah_prefix_cache_queries_total", "counter", "Tokens looked up in the prefix cache.", prompt_tokens.load());
  one("mynah_prefix_cache_hits_total", "counter", "Tokens found in the prefix cache.", reused_tokens.load());
  one("mynah_requests_cancelled_total", "counter", "Answers whose client left.", cancelled.load());
  one("mynah_requests_rejected_total", "counter", "Requests refused with 429 or 503.", rejected.load());
  one("mynah_auth_failures_total", "counter", "Requests without a valid key.", auth_failures.load());
  const auto each = [&](const char* name, const char* type, const char* help, const std::string& rows) { out += fmt::format("# HELP {} {}\n# TYPE {} {}\n{}", name, help, name, type, rows); };
  each("mynah_model_memory_bytes", "gauge", "Memory of loaded models.", memory);
  each("mynah_model_requests", "gauge", "Requests of loaded models that generate.", requests);
  each("mynah_model_slots", "gauge", "Answers that a loaded model computes together.", slots);
  each("mynah_model_tokens_total", "counter", "Computed tokens of loaded models, as they come.", tokens);
  request_seconds.write(&out, "mynah_http_request_duration_seconds", "Time of requests.");
  queue_seconds.write(&out, "mynah_request_queue_seconds", "Time in the queue.");
  first_token_seconds.write(&out, "mynah_time_to_first_token_seconds", "Time to the first token.");
  first_token_seconds.write(&out, "vllm:time_to_first_token_seconds", "Time to the first token.");
  token_seconds.write(&out, "mynah_time_per_output_token_seconds", "Time per generated token after the first.");
  answer_seconds.write(&out, "mynah_e2e_request_seconds", "Time of whole answers.");
  one("process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
  return out;
}

}  // namespace mynah::serve
