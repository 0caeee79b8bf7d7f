#include "models/whisper_alignment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/require.h"

namespace mynah {

void median_filter(float* values, int64_t rows, int64_t frames, int64_t width) {
  require(width > 0 && width % 2 == 1, "config.json: median_filter_width is {}, expected an odd number", width);
  const int64_t half = width / 2;
  if (frames <= half) return;
  std::vector<float> row(static_cast<size_t>(frames)), near(static_cast<size_t>(width));
  for (int64_t r = 0; r < rows; ++r) {
    float* at = values + r * frames;
    std::copy_n(at, frames, row.begin());
    for (int64_t i = 0; i < frames; ++i) {
      for (int64_t k = 0; k < width; ++k) {
        int64_t j = std::abs(i + k - half);
        if (j >= frames) j = 2 * (frames - 1) - j;
        near[static_cast<size_t>(k)] = row[static_cast<size_t>(j)];
      }
      std::nth_element(near.begin(), near.begin() + half, near.end());
      at[i] = near[static_cast<size_t>(half)];
    }
  }
}

std::vector<int64_t> warped_starts(const std::vector<double>& matrix, int64_t rows, int64_t columns) {
  enum Step : uint8_t { both, down, right };
  const int64_t width = columns + 1;
  std::vector<float> cost(static_cast<size_t>((rows + 1) * width), std::numeric_limits<float>::infinity());
  std::vector<Step> trace(cost.size(), right);
  const auto at = [width](int64_t i, int64_t j) { return static_cast<size_t>(i * width + j); };
  cost[0] = 0;
  for (int64_t i = 1; i <= rows; ++i) {
    trace[at(i, 0)] = down;
    for (int64_t j = 1; j <= columns; ++j) {
      const float c0 = cost[at(i - 1, j - 1)], c1 = cost[at(i - 1, j)], c2 = cost[at(i, j - 1)];
      const Step step = c0 < c1 && c0 < c2 ? both : c1 < c0 && c1 < c2 ? down : right;
      const float best = step == both ? c0 : step == down ? c1 : c2;
      cost[at(i, j)] = static_cast<float>(matrix[static_cast<size_t>((i - 1) * columns + j - 1)] + static_cast<double>(best));
      trace[at(i, j)] = step;
    }
  }
  // Backwards; the last column seen for a row is where it begins.
  std::vector<int64_t> starts(static_cast<size_t>(rows), 0);
  for (int64_t i = rows, j = columns; i > 0 || j > 0;) {
    if (i > 0) starts[static_cast<size_t>(i - 1)] = std::max<int64_t>(j - 1, 0);
    const Step step = i == 0 ? right : j == 0 ? down : trace[at(i, j)];
    if (step != right) --i;
    if (step != down) --j;
  }
  return starts;
}

std::vector<float> token_times(const Tensor& given, int64_t median_width) {
  const int64_t heads = given.size(0), tokens = given.size(1), frames = given.size(2);
  if (tokens < 2 || frames == 0) return std::vector<float>(static_cast<size_t>(tokens), 0.0f);
  std::vector<float> w(given.data<float>(), given.data<float>() + heads * tokens * frames);
  // Each column gets mean 0 and variance 1 over the tokens.
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t f = 0; f < frames; ++f) {
      float* column = w.data() + h * tokens * frames + f;
      double total = 0, squares = 0;
      for (int64_t t = 0; t < tokens; ++t) total += static_cast<double>(column[t * frames]);
      const double mean = total / static_cast<double>(tokens);
      for (int64_t t = 0; t < tokens; ++t) squares += (static_cast<double>(column[t * frames]) - mean) * (static_cast<double>(column[t * frames]) - mean);
      const auto deviation = static_cast<float>(std::sqrt(squares / static_cast<double>(tokens)));
      for (int64_t t = 0; t < tokens; ++t) column[t * frames] = deviation > 0 ? (column[t * frames] - static_cast<float>(mean)) / deviation : 0;
    }
  median_filter(w.data(), heads * tokens, frames, median_width);
  std::vector<double> cost(static_cast<size_t>(tokens * frames));
  for (int64_t i = 0; i < tokens * frames; ++i) {
    float sum = 0;
    for (int64_t h = 0; h < heads; ++h) sum += w[static_cast<size_t>(h * tokens * frames + i)];
    cost[static_cast<size_t>(i)] = -static_cast<double>(sum / static_cast<float>(heads));
  }
  std::vector<float> out;
  for (const int64_t start : warped_starts(cost, tokens, frames)) out.push_back(static_cast<float>(static_cast<double>(start) * 0.02));
  return out;
}

}  // namespace mynah
