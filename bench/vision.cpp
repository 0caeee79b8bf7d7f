// Milliseconds of a vision model's forward pass: mynah_bench_vision FOLDER [images] [height] [width] [repeats]. Random pixels; a warm-up run
// is not counted; the fastest and the median run are printed. bench/vision.py runs peers beside it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "bundle/bundle.h"
#include "mynah/autograd.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: mynah_bench_vision FOLDER [images] [height] [width] [repeats] [f32|bf16|int8]\n");
    return 2;
  }
  const auto number = [&](int i, int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
  const int64_t images = number(2, 1), height = number(3, 224), width = number(4, 224), repeats = std::max<int64_t>(number(5, 10), 1);
  const std::string type = argc > 6 ? argv[6] : "f32";
  mynah::LoadOptions options;
  options.precision = type == "bf16" ? mynah::Precision::bf16 : type == "int8" ? mynah::Precision::int8 : mynah::Precision::f32;
  const auto model = mynah::bundle::open(argv[1], options, {.network = true, .tokenizer = false});
  mynah::Tensor pixels = mynah::Tensor::zeros({images, 3, height, width});
  uint32_t state = 1;
  for (int64_t i = 0; i < pixels.numel(); ++i) {
    state = state * 1664525u + 1013904223u;
    pixels.data<float>()[i] = static_cast<float>(state >> 8) / 8388608.0f - 1;
  }
  mynah::NoGrad no_grad;
  std::vector<double> times;
  for (int64_t i = 0; i <= repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    model->network->forward({{"pixel_values", pixels}}, {});
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  fmt::print("{{\"images\":{},\"least_ms\":{:.2f},\"median_ms\":{:.2f}}}\n", images, times.front(), times[times.size() / 2]);
  return 0;
}
