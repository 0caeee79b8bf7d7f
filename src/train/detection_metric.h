// Mean average precision of boxes, equal to pycocotools' COCOeval for objects of every size (no crowds).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mynah::train {

struct TrueBox {
  int64_t label;
  std::array<double, 4> box;  // left, top, right, bottom in any unit
};
struct FoundBox {
  int64_t label;
  double score;
  std::array<double, 4> box;
};

struct DetectionScores {
  double map = -1;      // mean over classes and the overlaps 0.5, 0.55 ... 0.95; -1 for no true boxes
  double map_50 = -1;   // at an overlap of 0.5
  double map_75 = -1;
  double mar_100 = -1;  // mean of the recall with at most 100 boxes of a class in a picture
};

class DetectionMetric {
 public:
  // One picture. Of each class the 100 best boxes count.
  void add(const std::vector<TrueBox>& truth, std::vector<FoundBox> found);
  DetectionScores scores() const;

 private:
  static constexpr size_t kOverlaps = 10;
  struct Judged {
    double score;
    std::array<bool, kOverlaps> right;
  };
  struct Class {
    int64_t objects = 0;
    std::vector<Judged> found;
  };
  Class& of(int64_t label);
  std::vector<std::pair<int64_t, Class>> classes_;  // in the order of their labels
};

}  // namespace mynah::train
