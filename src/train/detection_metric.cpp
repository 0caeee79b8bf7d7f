#include "train/detection_metric.h"

#include <algorithm>
#include <set>

#include "nn/boxes.h"

namespace mynah::train {
namespace {

constexpr size_t kMostBoxes = 100, kRecalls = 101;

double least_overlap(size_t i) { return 0.5 + 0.05 * static_cast<double>(i); }

// Which of `found`, best first, are right: each takes the object that it overlaps most and that no better one took.
std::vector<bool> judge(const std::vector<FoundBox>& found, const std::vector<TrueBox>& truth, double least) {
  std::vector<bool> right(found.size()), taken(truth.size());
  for (size_t d = 0; d < found.size(); ++d) {
    double best = std::min(least, 1 - 1e-10);
    size_t match = truth.size();
    for (size_t g = 0; g < truth.size(); ++g) {
      const double here = taken[g] ? -1 : nn::overlap_of(found[d].box, truth[g].box);
      if (here < best) continue;
      best = here;
      match = g;
    }
    if (match == truth.size()) continue;
    taken[match] = right[d] = true;
  }
  return right;
}

struct Curve {
  double precision, recall;  // the precision's mean over 101 recalls; the recall of all boxes
};

Curve curve(const std::vector<bool>& right, int64_t objects) {
  std::vector<double> recalls, precisions;
  int64_t hits = 0;
  for (const bool r : right) {
    hits += r;
    recalls.push_back(static_cast<double>(hits) / static_cast<double>(objects));
    precisions.push_back(static_cast<double>(hits) / static_cast<double>(recalls.size()));
  }
  // A precision counts as what is still reached with more recall.
  for (size_t i = precisions.size(); i-- > 1;) precisions[i - 1] = std::max(precisions[i - 1], precisions[i]);
  double sum = 0;
  for (size_t i = 0; i < kRecalls; ++i) {
    const auto at = std::lower_bound(recalls.begin(), recalls.end(), i + 1 == kRecalls ? 1 : 0.01 * static_cast<double>(i)) - recalls.begin();
    if (static_cast<size_t>(at) < precisions.size()) sum += precisions[static_cast<size_t>(at)];
  }
  return {sum / kRecalls, recalls.empty() ? 0 : recalls.back()};
}

}  // namespace

DetectionMetric::Class& DetectionMetric::of(int64_t label) {
  const auto place = std::lower_bound(classes_.begin(), classes_.end(), label, [](const auto& entry, int64_t wanted) { return entry.first < wanted; });
  if (place != classes_.end() && place->first == label) return place->second;
  return classes_.insert(place, {label, Class()})->second;
}

void DetectionMetric::add(const std::vector<TrueBox>& truth, std::vector<FoundBox> found) {
  std::stable_sort(found.begin(), found.end(), [](const FoundBox& a, const FoundBox& b) { return a.score > b.score; });
  std::set<int64_t> labels;
  for (const TrueBox& t : truth) labels.insert(t.label);
  for (const FoundBox& f : found) labels.insert(f.label);
  for (const int64_t label : labels) {
    std::vector<TrueBox> objects;
    for (const TrueBox& t : truth)
      if (t.label == label) objects.push_back(t);
    std::vector<FoundBox> boxes;
    for (const FoundBox& f : found)
      if (f.label == label && boxes.size() < kMostBoxes) boxes.push_back(f);
    std::vector<Judged> judged;
    for (const FoundBox& f : boxes) judged.push_back({f.score, {}});
    for (size_t i = 0; i < kOverlaps; ++i) {
      const std::vector<bool> right = judge(boxes, objects, least_overlap(i));
      for (size_t d = 0; d < judged.size(); ++d) judged[d].right[i] = right[d];
    }
    Class& c = of(label);
    c.objects += static_cast<int64_t>(objects.size());
    c.found.insert(c.found.end(), judged.begin(), judged.end());
  }
}

DetectionScores DetectionMetric::scores() const {
  double precisions[kOverlaps] = {}, recall = 0;
  int64_t counted = 0;
  for (const auto& [label, c] : classes_) {
    if (c.objects == 0) continue;
    ++counted;
    std::vector<Judged> found = c.found;
    std::stable_sort(found.begin(), found.end(), [](const Judged& a, const Judged& b) { return a.score > b.score; });
    for (size_t i = 0; i < kOverlaps; ++i) {
      std::vector<bool> right;
      for (const Judged& f : found) right.push_back(f.right[i]);
      const Curve at = curve(right, c.objects);
      precisions[i] += at.precision;
      recall += at.recall;
    }
  }
  if (counted == 0) return {};
  const auto n = static_cast<double>(counted);
  double sum = 0;
  for (const double p : precisions) sum += p;
  return {sum / (kOverlaps * n), precisions[0] / n, precisions[5] / n, recall / (kOverlaps * n)};
}

}  // namespace mynah::train
