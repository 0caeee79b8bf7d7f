// How fast texts go through a model: mynah_bench_text FOLDER INPUT.safetensors [f32|bf16|int8] [repeats] [BATCH]
// [OUTPUT.safetensors]. INPUT holds input_ids [N, T]. Encoders: the rows in batches of BATCH, and the normalised mean
// of each row's hidden states as `vectors` [N, C] in OUTPUT. Encoder-decoders: four beams and 48 new tokens for all
// rows at once, `sequences`. A warm-up run is not counted; prints the least time by the clock and of the processor, and
// the machine's limits, measured in this run. bench/text_tasks.py runs peers beside it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <span>

#include "base/require.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "mynah/generate.h"
#include "mynah/ops.h"
#include "ops/machine.h"

using namespace mynah;

namespace {

constexpr int64_t kBeams = 4, kNewTokens = 48;

// The rows' vectors, one after the other.
std::vector<float> embed(const Model& model, const Tensor& ids, int64_t batch) {
  std::vector<float> vectors;
  for (int64_t first = 0; first < ids.size(0); first += batch) {
    const int64_t rows = std::min(batch, ids.size(0) - first);
    const Tensor hidden =
        model.forward({{"input_ids", contiguous(narrow(ids, 0, first, rows))}}).at("last_hidden_state");
    const int64_t tokens = hidden.size(1), width = hidden.size(2);
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = hidden.data<float>() + r * tokens * width;
      std::vector<float> mean(static_cast<size_t>(width));
      double squares = 0;
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t k = 0; k < width; ++k) mean[static_cast<size_t>(k)] += row[t * width + k];
      for (const float v : mean) squares += static_cast<double>(v) * v;
      for (const float v : mean) vectors.push_back(v / static_cast<float>(std::sqrt(squares)));
    }
  }
  return vectors;
}

std::vector<int64_t> translate(const Model& model, const Tensor& ids) {
  GenerateInputs inputs;
  const auto values = ids.to_vector();
  for (int64_t r = 0; r < ids.size(0); ++r) {
    inputs.input_ids.emplace_back(values.begin() + r * ids.size(1), values.begin() + (r + 1) * ids.size(1));
    inputs.attention_mask.emplace_back(static_cast<size_t>(ids.size(1)), 1);
  }
  GenerationConfig config = generation_defaults(model);
  config.num_beams = kBeams;
  config.max_new_tokens = config.min_new_tokens = kNewTokens;
  config.forced_bos_token_id.reset();
  config.forced_eos_token_id.clear();
  config.no_repeat_ngram_size = 0;
  std::vector<int64_t> all;
  for (const auto& sequence : generate(model, inputs, config).sequences)
    all.insert(all.end(), sequence.begin(), sequence.end());
  return all;
}

int run(int argc, char** argv) {
  const std::string type = argc > 3 ? argv[3] : "f32";
  const int repeats = argc > 4 ? std::max(std::atoi(argv[4]), 1) : 3;
  const int64_t batch = argc > 5 ? std::max(std::atoll(argv[5]), 1LL) : 32;
  LoadOptions options;
  options.precision = type == "bf16" ? Precision::bf16 : type == "int8" ? Precision::int8 : Precision::f32;
  const Model model = Model::open(argv[1], options);
  const Tensor ids = formats::SafetensorsFile::open(argv[2])->tensor("input_ids");
  require(ids.rank() == 2, "{}: input_ids has shape {}, expected [N, T]", argv[2], ids.shape().str());
  const bool encoder = model.architecture().ends_with("Model");
  NoGrad no_grad;
  std::vector<float> vectors;
  std::vector<int64_t> sequences;
  std::vector<double> times, processor;
  for (int i = 0; i <= repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t used = std::clock();
    if (encoder)
      vectors = embed(model, ids, batch);
    else
      sequences = translate(model, ids);
    if (i == 0) continue;
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    processor.push_back(static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
  }
  if (argc > 6) {
    const int64_t rows = ids.size(0);
    const Tensor result =
        encoder
            ? Tensor::from(std::span<const float>(vectors), {rows, static_cast<int64_t>(vectors.size()) / rows})
            : Tensor::from(std::span<const int64_t>(sequences), {rows, static_cast<int64_t>(sequences.size()) / rows});
    formats::write_safetensors(argv[6],
                               std::vector<formats::OutputTensor>{{encoder ? "vectors" : "sequences", result}});
  }
  const ops::Peaks p = ops::measure_peaks();
  fmt::print(
      "{{\"wall_s\":{:.4f},\"cpu_s\":{:.4f},\"int8_gops\":{:.0f},\"bf16_gflops\":{:.0f},\"f32_gflops\":{:.0f}}}\n",
      *std::min_element(times.begin(), times.end()), *std::min_element(processor.begin(), processor.end()), p.int8_gops,
      p.bf16_gflops, p.f32_gflops);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(
        stderr,
        "usage: mynah_bench_text FOLDER INPUT.safetensors [f32|bf16|int8] [repeats] [BATCH] [OUTPUT.safetensors]\n");
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "mynah_bench_text: {}\n", error.what());
    return 1;
  }
}
