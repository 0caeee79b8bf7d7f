#include "nn/detection_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::nn {

std::vector<Objects> read_objects(const Inputs& inputs, int64_t images, int64_t classes, bool masks) {
  std::vector<Objects> all;
  for (int64_t i = 0; i < images; ++i) {
    const std::string name = "labels." + std::to_string(i);
    Objects o;
    o.classes = inputs.integers(name + ".class_labels", inputs.tensor(name + ".class_labels").shape());
    for (const int32_t c : o.classes) require(c >= 0 && c < classes, "forward: {}.class_labels holds {}, expected 0..{}", name, c, classes - 1);
    const auto n = static_cast<int64_t>(o.classes.size());
    require(inputs.tensor(name + ".boxes").shape() == Shape({n, 4}), "forward: {}.boxes has shape {}, expected [{},4]", name,
            inputs.tensor(name + ".boxes").shape().str(), n);
    o.boxes = to(inputs.tensor(name + ".boxes"), DType::f32).to_vector();
    if (masks) {
      o.masks = inputs.floats(name + ".masks", {n, -1, -1});
      require(n == 0 || o.masks.numel() > 0, "forward: {}.masks is empty", name);
    }
    all.push_back(std::move(o));
  }
  return all;
}

// Shortest augmenting paths with potentials, one row at a time (Jonker and Volgenant, 1987); needs rows <= columns.
static std::vector<int64_t> assign_rows(const std::vector<double>& cost, int64_t rows, int64_t columns) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  std::vector<double> u(static_cast<size_t>(rows) + 1), v(static_cast<size_t>(columns) + 1);
  std::vector<int64_t> row_of(static_cast<size_t>(columns) + 1, 0);  // 1-based; 0: free
  for (int64_t row = 1; row <= rows; ++row) {
    std::vector<double> nearest(static_cast<size_t>(columns) + 1, kFar);
    std::vector<int64_t> from(static_cast<size_t>(columns) + 1, 0);
    std::vector<bool> done(static_cast<size_t>(columns) + 1, false);
    row_of[0] = row;
    int64_t at = 0;
    do {
      done[static_cast<size_t>(at)] = true;
      const int64_t r = row_of[static_cast<size_t>(at)];
      double step = kFar;
      int64_t next = 0;
      for (int64_t c = 1; c <= columns; ++c) {
        const auto j = static_cast<size_t>(c);
        if (done[j]) continue;
        const double reduced = cost[static_cast<size_t>((r - 1) * columns + c - 1)] - u[static_cast<size_t>(r)] - v[j];
        if (reduced < nearest[j]) nearest[j] = reduced, from[j] = at;
        if (nearest[j] < step) step = nearest[j], next = c;
      }
      for (int64_t c = 0; c <= columns; ++c) {
        const auto j = static_cast<size_t>(c);
        if (done[j]) u[static_cast<size_t>(row_of[j])] += step, v[j] -= step;
        else nearest[j] -= step;
      }
      at = next;
    } while (row_of[static_cast<size_t>(at)] != 0);
    for (; at != 0; at = from[static_cast<size_t>(at)]) row_of[static_cast<size_t>(at)] = row_of[static_cast<size_t>(from[static_cast<size_t>(at)])];
  }
  std::vector<int64_t> out(static_cast<size_t>(rows), -1);
  for (int64_t c = 1; c <= columns; ++c)
    if (row_of[static_cast<size_t>(c)] > 0) out[static_cast<size_t>(row_of[static_cast<size_t>(c)] - 1)] = c - 1;
  return out;
}

std::vector<int64_t> assign(const std::vector<double>& cost, int64_t rows, int64_t columns) {
  require(static_cast<int64_t>(cost.size()) == rows * columns, "assign: {} costs for {} x {}", cost.size(), rows, columns);
  for (const double c : cost) require(std::isfinite(c), "assign: a cost is not finite");
  if (rows <= columns) return assign_rows(cost, rows, columns);
  std::vector<double> turned(cost.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) turned[static_cast<size_t>(c * rows + r)] = cost[static_cast<size_t>(r * columns + c)];
  std::vector<int64_t> out(static_cast<size_t>(rows), -1);
  const auto rows_of = assign_rows(turned, columns, rows);
  for (int64_t c = 0; c < columns; ++c) out[static_cast<size_t>(rows_of[static_cast<size_t>(c)])] = c;
  return out;
}

namespace {

// Generalised intersection over union (arXiv:1902.09630) of pairs of boxes [n,4] given by centres and sizes: [n,1].
Tensor generalized_iou(const Tensor& a, const Tensor& b) {
  const auto column = [](const Tensor& x, int64_t i) { return narrow(x, 1, i, 1); };
  const auto low = [&](const Tensor& x, int64_t i) { return column(x, i) - column(x, i + 2) * 0.5f; };
  const auto high = [&](const Tensor& x, int64_t i) { return column(x, i) + column(x, i + 2) * 0.5f; };
  const auto area = [&](const Tensor& x) { return (high(x, 0) - low(x, 0)) * (high(x, 1) - low(x, 1)); };
  const auto inner = [&](int64_t i) { return relu(minimum(high(a, i), high(b, i)) - maximum(low(a, i), low(b, i))); };
  const auto outer = [&](int64_t i) { return maximum(high(a, i), high(b, i)) - minimum(low(a, i), low(b, i)); };
  const Tensor both = inner(0) * inner(1), either = area(a) + area(b) - both, hull = outer(0) * outer(1);
  return both / either - (hull - either) / hull;
}

}  // namespace

Tensor detection_loss(const Json& config, const Tensor& logits, const Tensor& boxes, const std::vector<Objects>& objects, Matches* matches) {
  const int64_t images = logits.size(0), queries = logits.size(1), classes = logits.size(2);
  const auto weight = [&](const char* key, double otherwise) { return config_number(config, key, otherwise); };
  std::vector<int64_t> matched;        // rows of the predictions that have an object
  std::vector<float> targets;          // their boxes
  std::vector<int64_t> with_object(static_cast<size_t>(images * queries), -100), without(static_cast<size_t>(images * queries), classes - 1);
  size_t count = 0;
  {
    NoGrad no_grad;
    const auto probability = softmax(logits.detach()).to_vector(), box = contiguous(boxes.detach()).to_vector();
    for (int64_t b = 0; b < images; ++b) {
      const Objects& o = objects[static_cast<size_t>(b)];
      const auto n = static_cast<int64_t>(o.classes.size());
      count += o.classes.size();
      if (n == 0) continue;
      std::vector<float> mine, theirs;  // every pair of query and object
      for (int64_t q = 0; q < queries; ++q)
        for (int64_t j = 0; j < n; ++j) {
          mine.insert(mine.end(), box.begin() + (b * queries + q) * 4, box.begin() + (b * queries + q + 1) * 4);
          theirs.insert(theirs.end(), o.boxes.begin() + j * 4, o.boxes.begin() + (j + 1) * 4);
        }
      const auto iou = generalized_iou(Tensor::from(std::span<const float>(mine), {queries * n, 4}), Tensor::from(std::span<const float>(theirs), {queries * n, 4})).to_vector();
      std::vector<double> cost(static_cast<size_t>(queries * n));
      for (int64_t q = 0; q < queries; ++q)
        for (int64_t j = 0; j < n; ++j) {
          const auto i = static_cast<size_t>(q * n + j);
          double distance = 0;
          for (size_t k = 0; k < 4; ++k) distance += std::abs(static_cast<double>(mine[i * 4 + k]) - theirs[i * 4 + k]);
          const double chance = probability[static_cast<size_t>((b * queries + q) * classes + o.classes[static_cast<size_t>(j)])];
          cost[i] = weight("bbox_cost", 5) * distance - weight("class_cost", 1) * chance - weight("giou_cost", 2) * iou[i];
        }
      const auto object_of = assign(cost, queries, n);
      for (int64_t q = 0; q < queries; ++q) {
        const int64_t j = object_of[static_cast<size_t>(q)];
        if (j < 0) continue;
        const int64_t row = b * queries + q;
        matched.push_back(row);
        if (matches) matches->objects.push_back(j);
        targets.insert(targets.end(), o.boxes.begin() + j * 4, o.boxes.begin() + (j + 1) * 4);
        with_object[static_cast<size_t>(row)] = o.classes[static_cast<size_t>(j)];
        without[static_cast<size_t>(row)] = -100;
      }
    }
  }
  if (matches) matches->rows = matched;
  // Weighted cross-entropy: predictions without an object count eos_coefficient.
  const Tensor rows = reshape(logits, {images * queries, classes});
  const auto sum_of = [&](const std::vector<int64_t>& labels) { return cross_entropy(rows, Tensor::from(std::span<const int64_t>(labels), {images * queries}), -100, 1); };
  const auto eos = static_cast<float>(weight("eos_coefficient", 0.1)), taken = static_cast<float>(matched.size());
  const float total = taken + eos * (static_cast<float>(images * queries) - taken);
  Tensor loss = sum_of(without) * (eos / total);
  if (matched.empty()) return loss;
  loss = loss + sum_of(with_object) * (1 / total);
  const Tensor mine = index_rows(reshape(boxes, {images * queries, 4}), matched), theirs = Tensor::from(std::span<const float>(targets), {static_cast<int64_t>(matched.size()), 4});
  const float share = 1 / static_cast<float>(std::max<size_t>(count, 1));
  loss = loss + sum(abs(mine - theirs)) * (share * static_cast<float>(weight("bbox_loss_coefficient", 5)));
  return loss + sum(add(neg(generalized_iou(mine, theirs)), 1.0f)) * (share * static_cast<float>(weight("giou_loss_coefficient", 2)));
}

Tensor mask_loss(const Json& config, const Tensor& masks, const std::vector<Objects>& objects, const Matches& matches) {
  if (matches.rows.empty()) return Tensor::zeros({});
  const int64_t queries = masks.size(1), count = static_cast<int64_t>(matches.rows.size());
  int64_t height = 0, width = 0, all = 0;
  for (const Objects& o : objects) {
    all += static_cast<int64_t>(o.classes.size());
    if (o.classes.empty()) continue;
    height = std::max(height, o.masks.size(1));
    width = std::max(width, o.masks.size(2));
  }
  // Masks of smaller pictures have zeros on the right and below.
  Tensor targets = Tensor::zeros({count, height, width});
  for (int64_t i = 0; i < count; ++i) {
    const Tensor& from = objects[static_cast<size_t>(matches.rows[static_cast<size_t>(i)] / queries)].masks;
    const std::vector<float> values = select(from, 0, matches.objects[static_cast<size_t>(i)]).to_vector();
    for (int64_t y = 0; y < from.size(1); ++y)
      std::copy_n(values.begin() + y * from.size(2), from.size(2), targets.data<float>() + (i * height + y) * width);
  }
  targets = reshape(targets, {count, height * width});
  const Tensor mine = index_rows(reshape(masks, {masks.size(0) * queries, 1, masks.size(2), masks.size(3)}), matches.rows);
  const Tensor x = reshape(interpolate(mine, height, width, Interpolation::bilinear), {count, height * width});
  const float share = 1 / static_cast<float>(std::max<int64_t>(all, 1));
  const auto without = [](const Tensor& y) { return add(neg(y), 1.0f); };
  const Tensor p = sigmoid(x), cross_entropy = relu(x) - x * targets + log(add(exp(neg(abs(x))), 1.0f));
  const Tensor missed = without(p * targets + without(p) * without(targets));
  constexpr float kAlpha = 0.25f;
  const Tensor focal = (targets * kAlpha + without(targets) * (1 - kAlpha)) * cross_entropy * square(missed);
  const Tensor dice = without(div(add(sum(p * targets, 1) * 2.0f, 1.0f), add(sum(p, 1) + sum(targets, 1), 1.0f)));
  return sum(mean(focal, 1)) * (share * static_cast<float>(config_number(config, "mask_loss_coefficient", 1))) +
         sum(dice) * (share * static_cast<float>(config_number(config, "dice_loss_coefficient", 1)));
}

}  // namespace mynah::nn
