// The losses of a run as one line of blocks for the terminal.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mynah::train {

class LossCurve {
 public:
  void add(double loss);
  // Equal parts of the run side by side, `columns` characters at most; the lowest block is the lowest mean loss. Empty below two parts.
  std::string draw(size_t columns) const;

 private:
  static constexpr size_t kMost = 256;  // parts that are kept; then neighbours become one
  std::vector<double> means_;           // of `span_` losses each; the last may have fewer
  int64_t span_ = 1, last_ = 0;         // losses of a part, and of the last one
};

}  // namespace mynah::train
