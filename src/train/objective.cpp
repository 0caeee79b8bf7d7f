#include "train/objective.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "base/require.h"
#include "mynah/autograd.h"

namespace mynah::train {

void check_recomputed(const Arguments& arguments, const nn::Training& training) {
  if (arguments.gradient_checkpointing && !training.recomputed_any())
    fail(ErrorCode::usage, "--gradient-checkpointing: models of this family keep all activations; leave the flag away, or lower --per-device-train-batch-size");
}

BatchObjective::BatchObjective(const Arguments& arguments) : arguments_(arguments) {}

int64_t BatchObjective::steps_per_epoch() const {
  const int64_t accumulation = arguments_.gradient_accumulation_steps;
  return (batches_per_epoch() + accumulation - 1) / accumulation;
}

// A pass is counted by its micro-batches.
double BatchObjective::epoch(int64_t step) const {
  const int64_t per_epoch = steps_per_epoch(), batches = batches_per_epoch();
  const int64_t made = std::min(step % per_epoch * arguments_.gradient_accumulation_steps, batches);
  return static_cast<double>(step / per_epoch) + static_cast<double>(made) / static_cast<double>(batches);
}

// The last update of a pass may have fewer micro-batches.
std::vector<std::unique_ptr<MicroBatch>> BatchObjective::micro_batches(int64_t step) const {
  const int64_t per_epoch = steps_per_epoch(), epoch = step / per_epoch;
  const int64_t first = step % per_epoch * arguments_.gradient_accumulation_steps;
  const int64_t end = std::min(first + arguments_.gradient_accumulation_steps, batches_per_epoch());
  std::vector<std::unique_ptr<MicroBatch>> batches;
  for (int64_t i = first; i < end; ++i) batches.push_back(micro_batch(epoch, i));
  return batches;
}

int64_t BatchObjective::tokens_of(int64_t step) const {
  int64_t tokens = 0;
  for (const auto& batch : micro_batches(step)) tokens += batch->tokens;
  return tokens;
}

StepResult BatchObjective::accumulate(int64_t step, Metrics* metrics, const std::function<void()>&) {
  const auto batches = micro_batches(step);
  Share share{0, static_cast<int64_t>(batches.size()), step};
  for (const auto& batch : batches) share.targets += batch->targets;
  StepResult result;
  for (size_t i = 0; i < batches.size(); ++i) {
    const nn::Training training(arguments_.seed, static_cast<uint64_t>(step * arguments_.gradient_accumulation_steps) + i, arguments_.gradient_checkpointing, !arguments_.disable_dropout);
    const Tensor part = loss(*batches[i], share, metrics);
    check_recomputed(arguments_, training);
    const double value = part.item();
    result.loss += value;
    result.tokens += batches[i]->tokens;
    // A loss that is not finite is not worth a backward pass; the trainer ends the run.
    if (!std::isfinite(value)) break;
    if (part.requires_grad()) backward(part);
  }
  return result;
}

Json BatchObjective::evaluate_rows(int64_t rows, const std::function<std::unique_ptr<MicroBatch>(const std::vector<int64_t>&)>& collate) {
  const NoGrad no_grad;
  Metrics metrics;
  double total = 0, targets = 0;
  for (int64_t first = 0; first < rows; first += arguments_.per_device_eval_batch_size) {
    std::vector<int64_t> some(static_cast<size_t>(std::min(arguments_.per_device_eval_batch_size, rows - first)));
    std::iota(some.begin(), some.end(), first);
    const auto batch = collate(some);
    if (batch->targets <= 0) continue;
    total += loss(*batch, {batch->targets, 1, 0}, &metrics).item() * batch->targets;
    targets += batch->targets;
  }
  Json means = Json::object(), row = {{"eval_loss", total / targets}};
  metrics.flush_into(&means);
  for (const auto& [name, value] : means.items()) row["eval_" + name] = value;
  return row;
}

std::string BatchObjective::rows_of(int64_t step) const {
  std::string text;
  size_t count = 0;
  for (const auto& batch : micro_batches(step))
    for (const std::string& row : batch->places)
      if (++count <= 8) text += (text.empty() ? "" : ", ") + row;
  return count > 8 ? text + fmt::format(" and {} more", count - 8) : text;
}

// Fisher-Yates with draws that are a function of (seed, epoch, position).
std::vector<uint32_t> row_order(int64_t rows, bool shuffle, uint64_t seed, int64_t epoch) {
  require(rows <= UINT32_MAX, "training: {} rows, at most {} can be put into an order", rows, UINT32_MAX);
  std::vector<uint32_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0u);
  if (!shuffle) return order;
  for (int64_t i = rows - 1; i > 0; --i) {
    const auto bits = philox(seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i), RandomPurpose::data_order);
    const uint64_t draw = (static_cast<uint64_t>(bits[0]) << 32 | bits[1]) % static_cast<uint64_t>(i + 1);
    std::swap(order[static_cast<size_t>(i)], order[draw]);
  }
  return order;
}

std::vector<int64_t> RowBatches::rows(int64_t epoch, int64_t index) const {
  if (epoch_ != epoch) {
    order_ = row_order(rows_, shuffle_, seed_, epoch);
    epoch_ = epoch;
  }
  const int64_t begin = index * size_, end = std::min(begin + size_, rows_);
  MYNAH_CHECK(begin < end);
  return {order_.begin() + begin, order_.begin() + end};
}

}  // namespace mynah::train
