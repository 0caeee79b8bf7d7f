#include "models/yolo_loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "autograd/record.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/losses.h"

namespace mynah {
namespace {

constexpr double kTiny = 1e-7;
using Corners = std::array<double, 4>;  // left, top, right, bottom

std::vector<Corners> corners_of(const nn::Objects& o, double width, double height) {
  std::vector<Corners> out;
  for (size_t i = 0; i < o.classes.size(); ++i) {
    const float* b = o.boxes.data() + 4 * i;
    out.push_back({(b[0] - b[2] / 2) * width, (b[1] - b[3] / 2) * height, (b[0] + b[2] / 2) * width, (b[1] + b[3] / 2) * height});
  }
  return out;
}

double iou(const Corners& a, const Corners& b) {
  const double both = std::max(0.0, std::min(a[2], b[2]) - std::max(a[0], b[0])) * std::max(0.0, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both + kTiny);
}

// Overlap, less what the centres are apart and what the shapes differ.
double complete_iou(const Corners& a, const Corners& b) {
  const double overlap = iou(a, b);
  const double width = std::max(a[2], b[2]) - std::min(a[0], b[0]), height = std::max(a[3], b[3]) - std::min(a[1], b[1]);
  const double dx = (a[0] + a[2] - b[0] - b[2]) / 2, dy = (a[1] + a[3] - b[1] - b[3]) / 2;
  const double shape = std::atan((b[2] - b[0]) / (b[3] - b[1] + kTiny)) - std::atan((a[2] - a[0]) / (a[3] - a[1] + kTiny));
  const double v = 4 / (std::numbers::pi * std::numbers::pi) * shape * shape, alpha = v / (v - overlap + 1 + kTiny);
  return overlap - (dx * dx + dy * dy) / (width * width + height * height + kTiny) - alpha * v;
}

Tensor column(const Tensor& x, int64_t i) { return narrow(x, 1, i, 1); }

Tensor arctangent(const Tensor& in) {
  const Tensor x = contiguous(in);
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.data<float>()[i] = std::atan(x.data<float>()[i]);
  return record(y, {x}, [x = x.detach()](const Tensor& g) { return Grads{g / add(square(x), 1.0f)}; });
}

// The same of pairs of rows [n,4] of corners, with gradients for `a`: [n,1].
Tensor complete_iou(const Tensor& a, const Tensor& b) {
  const auto size = [](const Tensor& x, int64_t i) { return column(x, i + 2) - column(x, i); };
  const auto area = [&](const Tensor& x) { return size(x, 0) * size(x, 1); };
  const auto inner = [&](int64_t i) { return relu(minimum(column(a, i + 2), column(b, i + 2)) - maximum(column(a, i), column(b, i))); };
  const auto outer = [&](int64_t i) { return maximum(column(a, i + 2), column(b, i + 2)) - minimum(column(a, i), column(b, i)); };
  const auto apart = [&](int64_t i) { return (column(a, i) + column(a, i + 2) - column(b, i) - column(b, i + 2)) * 0.5f; };
  const auto tiny = static_cast<float>(kTiny);
  const Tensor both = inner(0) * inner(1), overlap = both / add(area(a) + area(b) - both, tiny);
  const Tensor distance = (square(apart(0)) + square(apart(1))) / add(square(outer(0)) + square(outer(1)), tiny);
  const Tensor shape = arctangent(size(b, 0) / add(size(b, 1), tiny)) - arctangent(size(a, 0) / add(size(a, 1), tiny));
  const Tensor v = square(shape) * static_cast<float>(4 / (std::numbers::pi * std::numbers::pi));
  const Tensor alpha = (v / add(v - overlap, 1 + tiny)).detach();
  return overlap - distance - v * alpha;
}

// Sum over all elements of the binary cross-entropy.
Tensor summed_cross_entropy(const Tensor& logits, const Tensor& targets) { return nn::binary_cross_entropy(logits, targets) * static_cast<float>(logits.numel()); }

float coefficient(const Json& config, const char* name, double otherwise) { return static_cast<float>(nn::config_number(config, name, otherwise)); }

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// Which object a place is responsible for, and how much that counts.
struct Claim {
  int64_t object = -1;
  double overlap = 0, weight = 0;
};

// The claims of one image's places.
std::vector<Claim> align(const std::vector<GridPlace>& places, const std::vector<Corners>& boxes, const float* class_logits, int64_t classes, const nn::Objects& objects,
                         const std::vector<Corners>& truth) {
  constexpr size_t kTaken = 10;
  constexpr double kScorePower = 0.5, kOverlapPower = 6;
  std::vector<Claim> claims(places.size());
  for (size_t j = 0; j < truth.size(); ++j) {
    const Corners& t = truth[j];
    struct Candidate {
      double alignment, overlap;
      size_t place;
    };
    std::vector<Candidate> inside;
    for (size_t i = 0; i < places.size(); ++i) {
      const double x = (places[i].x + 0.5) * places[i].stride, y = (places[i].y + 0.5) * places[i].stride;
      if (!(x > t[0] && x < t[2] && y > t[1] && y < t[3])) continue;
      const double overlap = std::max(0.0, complete_iou(boxes[i], t)), score = logistic(class_logits[static_cast<int64_t>(i) * classes + objects.classes[j]]);
      inside.push_back({std::pow(score, kScorePower) * std::pow(overlap, kOverlapPower), overlap, i});
    }
    const size_t taken = std::min(kTaken, inside.size());
    std::stable_sort(inside.begin(), inside.end(), [](const Candidate& a, const Candidate& b) { return a.alignment > b.alignment; });
    for (size_t k = 0; k < taken; ++k) {
      // A place that several objects want goes to the one that its box covers best.
      Claim& claim = claims[inside[k].place];
      if (inside[k].alignment > 0 && (claim.object < 0 || inside[k].overlap > claim.overlap)) claim = {static_cast<int64_t>(j), inside[k].overlap, inside[k].alignment};
    }
  }
  // The best place of an object counts as much as its overlap, the others in proportion.
  std::vector<double> best(truth.size(), 0), widest(truth.size(), 0);
  for (const Claim& c : claims)
    if (c.object >= 0) {
      best[static_cast<size_t>(c.object)] = std::max(best[static_cast<size_t>(c.object)], c.weight);
      widest[static_cast<size_t>(c.object)] = std::max(widest[static_cast<size_t>(c.object)], c.overlap);
    }
  for (Claim& c : claims)
    if (c.object >= 0) c.weight *= widest[static_cast<size_t>(c.object)] / best[static_cast<size_t>(c.object)];
  return claims;
}

}  // namespace

Tensor yolo_aligned_loss(const Json& config, const YoloInput& input, const Tensor& sides, const Tensor& classes) {
  const int64_t images = classes.size(0), count = classes.size(1), labels = classes.size(2), bins = sides.size(3);
  Tensor numbers = Tensor::zeros({bins});
  std::iota(numbers.data<float>(), numbers.data<float>() + bins, 0.0f);
  const Tensor distances = sum(softmax(sides) * numbers, 3);  // [B,N,4] in strides
  const std::vector<float> logits = contiguous(classes.detach()).to_vector(), now = contiguous(distances.detach()).to_vector();
  Tensor class_targets = Tensor::zeros({images, count, labels});
  std::vector<int64_t> rows, below, above;
  std::vector<float> centres, targets, weights, below_share;
  double total = 0;
  for (int64_t b = 0; b < images; ++b) {
    const nn::Objects& objects = input.objects[static_cast<size_t>(b)];
    const std::vector<Corners> truth = corners_of(objects, input.width, input.height);
    std::vector<Corners> boxes(static_cast<size_t>(count));
    for (size_t i = 0; i < boxes.size(); ++i) {
      const GridPlace& p = input.places[i];
      const float* d = now.data() + (static_cast<size_t>(b * count) + i) * 4;
      boxes[i] = {(p.x + 0.5 - d[0]) * p.stride, (p.y + 0.5 - d[1]) * p.stride, (p.x + 0.5 + d[2]) * p.stride, (p.y + 0.5 + d[3]) * p.stride};
    }
    const std::vector<Claim> claims = align(input.places, boxes, logits.data() + b * count * labels, labels, objects, truth);
    for (size_t i = 0; i < claims.size(); ++i) {
      const Claim& c = claims[i];
      if (c.object < 0) continue;
      const auto row = b * count + static_cast<int64_t>(i);
      class_targets.data<float>()[row * labels + objects.classes[static_cast<size_t>(c.object)]] = static_cast<float>(c.weight);
      total += c.weight;
      rows.push_back(row);
      weights.push_back(static_cast<float>(c.weight));
      const GridPlace& p = input.places[i];
      const Corners& t = truth[static_cast<size_t>(c.object)];
      centres.insert(centres.end(), {p.x + 0.5f, p.y + 0.5f});
      for (size_t k = 0; k < 4; ++k) targets.push_back(static_cast<float>(t[k] / p.stride));
      for (size_t k = 0; k < 4; ++k) {
        const double side = k < 2 ? (k == 0 ? p.x : p.y) + 0.5 - t[k] / p.stride : t[k] / p.stride - ((k == 2 ? p.x : p.y) + 0.5);
        const double kept = std::clamp(side, 0.0, static_cast<double>(bins) - 1.01);
        below.push_back(static_cast<int64_t>(kept));
        above.push_back(static_cast<int64_t>(kept) + 1);
        below_share.push_back(static_cast<float>(std::floor(kept) + 1 - kept));
      }
    }
  }
  const auto share = static_cast<float>(1 / std::max(total, 1.0));
  Tensor loss = summed_cross_entropy(classes, class_targets) * (share * coefficient(config, "class_loss_coefficient", 0.5));
  if (rows.empty()) return loss;
  const auto n = static_cast<int64_t>(rows.size());
  const auto table = [&](const std::vector<float>& values, int64_t width) { return Tensor::from(std::span<const float>(values), {n, width}); };
  const Tensor weight = table(weights, 1), centre = table(centres, 2), d = index_rows(reshape(distances, {images * count, 4}), rows);
  const Tensor mine = cat({centre - narrow(d, 1, 0, 2), centre + narrow(d, 1, 2, 2)}, 1);
  loss = loss + sum(add(neg(complete_iou(mine, table(targets, 4))), 1.0f) * weight) * (share * coefficient(config, "box_loss_coefficient", 7.5));
  // The two bins around each side share its probability.
  const Tensor log_shares = log_softmax(reshape(index_rows(reshape(sides, {images * count, 4 * bins}), rows), {n * 4, bins}));
  Tensor wanted = Tensor::zeros({n * 4, bins});
  for (int64_t i = 0; i < n * 4; ++i) {
    wanted.data<float>()[i * bins + below[static_cast<size_t>(i)]] = below_share[static_cast<size_t>(i)];
    wanted.data<float>()[i * bins + above[static_cast<size_t>(i)]] = 1 - below_share[static_cast<size_t>(i)];
  }
  const Tensor spread = reshape(neg(sum(log_shares * wanted, 1)), {n, 4});
  return loss + sum(spread * weight) * (0.25f * share * coefficient(config, "dfl_loss_coefficient", 1.5));
}

namespace {

// SimOTA for one image: the object of each place, or -1, and their overlap.
std::vector<Claim> transport(const std::vector<GridPlace>& places, const std::vector<Corners>& boxes, const float* objects_logits, const float* class_logits, int64_t classes,
                             const nn::Objects& objects, const std::vector<Corners>& truth) {
  constexpr double kRadius = 2.5, kFar = 1e5, kOverlapWeight = 3;
  constexpr size_t kBest = 10;
  std::vector<Claim> claims(places.size());
  // Places that lie in some object, or near the centre of one, are candidates for all.
  std::vector<size_t> candidates;
  std::vector<bool> both;  // [candidate][object]
  for (size_t i = 0; i < places.size(); ++i) {
    const double x = (places[i].x + 0.5) * places[i].stride, y = (places[i].y + 0.5) * places[i].stride, reach = kRadius * places[i].stride;
    bool any = false;
    std::vector<bool> here;
    for (const Corners& t : truth) {
      const bool inside = x > t[0] && x < t[2] && y > t[1] && y < t[3];
      const bool central = std::abs(x - (t[0] + t[2]) / 2) < reach && std::abs(y - (t[1] + t[3]) / 2) < reach;
      any = any || inside || central;
      here.push_back(inside && central);
    }
    if (!any) continue;
    candidates.push_back(i);
    both.insert(both.end(), here.begin(), here.end());
  }
  const size_t m = candidates.size(), n = truth.size();
  std::vector<double> cost(m * n), overlaps(m * n);
  for (size_t c = 0; c < m; ++c) {
    const size_t i = candidates[c];
    const double object = logistic(objects_logits[i]);
    double none = 0;  // the cross-entropy if no class were right
    std::vector<double> chances(static_cast<size_t>(classes));
    const auto log_of = [](double p) { return std::max(std::log(p), -100.0); };
    for (int64_t k = 0; k < classes; ++k) {
      chances[static_cast<size_t>(k)] = std::sqrt(logistic(class_logits[static_cast<int64_t>(i) * classes + k]) * object);
      none -= log_of(1 - chances[static_cast<size_t>(k)]);
    }
    for (size_t j = 0; j < n; ++j) {
      const double chance = chances[static_cast<size_t>(objects.classes[j])], overlap = iou(boxes[i], truth[j]);
      overlaps[c * n + j] = overlap;
      cost[c * n + j] = none + log_of(1 - chance) - log_of(chance) - kOverlapWeight * std::log(overlap + 1e-8) + (both[c * n + j] ? 0 : kFar);
    }
  }
  std::vector<std::vector<size_t>> wanted(m);  // by candidate: objects that took it
  for (size_t j = 0; j < n; ++j) {
    std::vector<double> best;
    std::vector<size_t> order(m);
    for (size_t c = 0; c < m; ++c) best.push_back(overlaps[c * n + j]);
    std::sort(best.begin(), best.end(), std::greater<>());
    best.resize(std::min(kBest, best.size()));
    const auto taken = std::min(m, static_cast<size_t>(std::max(1.0, std::accumulate(best.begin(), best.end(), 0.0))));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cost[a * n + j] < cost[b * n + j]; });
    for (size_t k = 0; k < taken; ++k) wanted[order[k]].push_back(j);
  }
  for (size_t c = 0; c < m; ++c) {
    if (wanted[c].empty()) continue;
    // One that several took goes to the cheapest object of all.
    size_t object = wanted[c][0];
    if (wanted[c].size() > 1) {
      object = 0;
      for (size_t j = 1; j < n; ++j)
        if (cost[c * n + j] < cost[c * n + object]) object = j;
    }
    claims[candidates[c]] = {static_cast<int64_t>(object), overlaps[c * n + object], 1};
  }
  return claims;
}

}  // namespace

Tensor yolox_loss(const Json& config, const YoloInput& input, const Tensor& boxes, const Tensor& objects, const Tensor& classes) {
  const int64_t images = classes.size(0), count = classes.size(1), labels = classes.size(2);
  const std::vector<float> logits = contiguous(classes.detach()).to_vector(), chances = contiguous(objects.detach()).to_vector(), now = contiguous(boxes.detach()).to_vector();
  Tensor object_targets = Tensor::zeros({images, count, 1});
  std::vector<int64_t> rows;
  std::vector<float> class_targets, truths;
  for (int64_t b = 0; b < images; ++b) {
    const nn::Objects& here = input.objects[static_cast<size_t>(b)];
    const std::vector<Corners> truth = corners_of(here, input.width, input.height);
    if (truth.empty()) continue;
    std::vector<Corners> corners(static_cast<size_t>(count));
    for (size_t i = 0; i < corners.size(); ++i) {
      const float* p = now.data() + (static_cast<size_t>(b * count) + i) * 4;
      corners[i] = {p[0] - p[2] / 2.0, p[1] - p[3] / 2.0, p[0] + p[2] / 2.0, p[1] + p[3] / 2.0};
    }
    const std::vector<Claim> claims = transport(input.places, corners, chances.data() + b * count, logits.data() + b * count * labels, labels, here, truth);
    for (size_t i = 0; i < claims.size(); ++i) {
      if (claims[i].object < 0) continue;
      const auto row = b * count + static_cast<int64_t>(i);
      const auto object = static_cast<size_t>(claims[i].object);
      object_targets.data<float>()[row] = 1;
      rows.push_back(row);
      class_targets.resize(class_targets.size() + static_cast<size_t>(labels), 0.0f);
      class_targets[class_targets.size() - static_cast<size_t>(labels) + static_cast<size_t>(here.classes[object])] = static_cast<float>(claims[i].overlap);
      for (const double v : truth[object]) truths.push_back(static_cast<float>(v));
    }
  }
  const auto n = static_cast<int64_t>(rows.size());
  const float share = 1 / static_cast<float>(std::max<int64_t>(n, 1));
  Tensor loss = summed_cross_entropy(objects, object_targets) * share;
  if (n == 0) return loss;
  const auto taken = [&](const Tensor& x) { return index_rows(reshape(x, {images * count, x.size(2)}), rows); };
  loss = loss + summed_cross_entropy(taken(classes), Tensor::from(std::span<const float>(class_targets), {n, labels})) * share;
  const Tensor a = taken(boxes), half = narrow(a, 1, 2, 2) * 0.5f, mine = cat({narrow(a, 1, 0, 2) - half, narrow(a, 1, 0, 2) + half}, 1);
  const Tensor theirs = Tensor::from(std::span<const float>(truths), {n, 4});
  const auto inner = [&](int64_t i) { return relu(minimum(column(mine, i + 2), column(theirs, i + 2)) - maximum(column(mine, i), column(theirs, i))); };
  const auto area = [](const Tensor& x) { return (column(x, 2) - column(x, 0)) * (column(x, 3) - column(x, 1)); };
  const Tensor both = inner(0) * inner(1), overlap = both / add(area(mine) + area(theirs) - both, static_cast<float>(kTiny));
  return loss + sum(add(neg(square(overlap)), 1.0f)) * (share * coefficient(config, "box_loss_coefficient", 5));
}

}  // namespace mynah
