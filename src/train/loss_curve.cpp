#include "train/loss_curve.h"

#include <algorithm>
#include <cmath>

namespace mynah::train {

void LossCurve::add(double loss) {
  if (!std::isfinite(loss)) return;
  if (means_.empty() || last_ == span_) {
    if (means_.size() == kMost) {
      for (size_t i = 0; i < kMost / 2; ++i) means_[i] = (means_[2 * i] + means_[2 * i + 1]) / 2;
      means_.resize(kMost / 2);
      span_ *= 2;
    }
    means_.push_back(0);
    last_ = 0;
  }
  ++last_;
  means_.back() += (loss - means_.back()) / static_cast<double>(last_);
}

std::string LossCurve::draw(size_t columns) const {
  static constexpr const char* kBlocks[] = {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
  const size_t width = std::min(columns, means_.size());
  if (width < 2) return "";
  std::vector<double> heights;
  for (size_t i = 0; i < width; ++i) {
    const size_t begin = i * means_.size() / width, end = (i + 1) * means_.size() / width;
    double sum = 0;
    for (size_t k = begin; k < end; ++k) sum += means_[k];
    heights.push_back(sum / static_cast<double>(end - begin));
  }
  const auto [low, high] = std::minmax_element(heights.begin(), heights.end());
  std::string line;
  for (const double h : heights) line += kBlocks[*high > *low ? static_cast<size_t>((h - *low) / (*high - *low) * 7 + 0.5) : 0];
  return line;
}

}  // namespace mynah::train
