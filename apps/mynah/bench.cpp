// mynah bench MODEL: prompt and generation speed, beside the machine's limits.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/thread_pool.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "open_model.h"
#include "ops/machine.h"

namespace mynah::app {
namespace {

struct BenchOptions {
  std::string model;
  Precision precision = Precision::automatic;
  std::vector<int64_t> prompt = {512}, generate = {128};
  int threads = 0, repeat = 5;
  bool json = false;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds for `count` prompt tokens computed into an empty cache.
double time_prompt(const nn::CausalLM& lm, int64_t count) {
  constexpr int64_t kPiece = 512;
  nn::Cache cache = lm.new_cache();
  const double start = now();
  Tensor hidden;
  for (int64_t from = 0; from < count; from += kPiece) {
    const int64_t n = std::min(kPiece, count - from);
    nn::TokenBatch batch;
    for (int64_t i = 0; i < n; ++i) {
      batch.ids.push_back(static_cast<int32_t>(((from + i) * 7919 + 11) % lm.vocabulary_size()));
      batch.positions.push_back(static_cast<int32_t>(from + i));
    }
    batch.lengths = {n};
    batch.caches = {&cache};
    hidden = lm.body(batch, nullptr);
  }
  lm.head(narrow(hidden, 0, hidden.size(0) - 1, 1));
  return now() - start;
}

// Seconds for `count` tokens, one after another, from an empty cache.
double time_generation(const nn::CausalLM& lm, int64_t count) {
  nn::Cache cache = lm.new_cache();
  nn::TokenBatch batch;
  batch.lengths = {1};
  batch.caches = {&cache};
  int32_t id = 1;
  const double start = now();
  for (int64_t i = 0; i < count; ++i) {
    batch.ids = {id};
    batch.positions = {static_cast<int32_t>(i)};
    const auto best = argmax(lm.head(lm.body(batch, nullptr)));
    id = static_cast<int32_t>((best[0] + i) % lm.vocabulary_size());
  }
  return now() - start;
}

int run_bench(const BenchOptions& o) {
  NoGrad no_grad;
  if (o.threads > 0) set_threads(o.threads);
  Json rows = Json::array();
  if (!o.model.empty()) {
    const Model model = open_model(o.model, o.precision);
    const nn::CausalLM& lm = model.bundle().causal_lm();
    const auto measure = [&](const std::string& name, int64_t count, double (*time)(const nn::CausalLM&, int64_t)) {
      if (count <= 0) return;
      std::vector<double> rates;
      for (int warm_up = 0; warm_up < 2; ++warm_up) time(lm, count);  // the second of them packs dense weights
      for (int r = 0; r < o.repeat; ++r) rates.push_back(static_cast<double>(count) / time(lm, count));
      rows.push_back({{"test", name + std::to_string(count)}, {"tokens_per_second", rates}});
    };
    for (const int64_t n : o.prompt) measure("pp", n, time_prompt);
    for (const int64_t n : o.generate) measure("tg", n, time_generation);
  }
  const ops::Peaks p = ops::measure_peaks();
  if (o.json) {
    print_json({{"threads", thread_pool().threads()},
                {"rows", rows},
                {"peak", {{"int8_gops", p.int8_gops}, {"bf16_gflops", p.bf16_gflops}, {"f32_gflops", p.f32_gflops}, {"read_gb_s", p.read_gb_s}}}});
    return 0;
  }
  std::string text = fmt::format("{} threads, {}\n\n{:<10}{:>12}{:>12}   tokens/s\n", thread_pool().threads(), ops::instruction_set(), "test", "best", "median");
  for (const Json& row : rows) {
    auto rates = row["tokens_per_second"].get<std::vector<double>>();
    std::sort(rates.begin(), rates.end());
    text += fmt::format("{:<10}{:>12.1f}{:>12.1f}\n", row["test"].get<std::string>(), rates.back(), rates[rates.size() / 2]);
  }
  text += fmt::format("\nlimits measured beside it: int8 {:.0f} GOP/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s, reading {:.1f} GB/s\n", p.int8_gops, p.bf16_gflops,
                      p.f32_gflops, p.read_gb_s);
  print_text(text);
  return 0;
}

}  // namespace

void add_bench(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("bench", "Measure a model's speed beside the machine's limits");
  auto o = std::make_shared<BenchOptions>();
  c->add_option("model", o->model, "name, folder or .gguf file; without one, only the machine is measured")->type_name("MODEL");
  c->add_option("--prompt", o->prompt, "prompt lengths (512)")->type_name("N,...")->delimiter(',')->check(cli::Range(int64_t{0}, int64_t{1} << 24));
  c->add_option("--generate", o->generate, "numbers of generated tokens (128)")->type_name("N,...")->delimiter(',')->check(cli::Range(int64_t{0}, int64_t{1} << 24));
  c->add_option("--threads", o->threads, "threads (all cores)")->type_name("N")->check(cli::Range(1, kMostThreads));
  c->add_option("--repeat", o->repeat, "runs of each test (5)")->type_name("N")->check(cli::Range(1, 1000));
  add_dtype_option(*c, o->precision);
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return run_bench(*o); }; });
}

}  // namespace mynah::app
