// Optimiser steps, in the arithmetic of the reference implementations.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"
#include "mynah/autograd.h"
#include "mynah/train.h"

namespace mynah {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements per piece of work

bool does_decay(const Decays& decays, const std::string& name, const Tensor& t) {
  return decays ? decays(name, t) : t.rank() >= 2;
}

constexpr int64_t kPiece = 1 << 16;  // elements

// Elements [begin, begin + count) of a parameter, and their gradients.
struct Piece {
  size_t parameter;
  int64_t begin, count;
  float* gradient;
};

// All parameters that have a gradient, in order: small ones do not wait for each other.
std::vector<Piece> pieces_of(const NamedParameters& parameters, int64_t most) {
  std::vector<Piece> pieces;
  for (size_t p = 0; p < parameters.size(); ++p)
    if (Tensor g = grad(parameters[p].second); g.defined())
      for (int64_t begin = 0; begin < g.numel(); begin += most) pieces.push_back({p, begin, std::min(most, g.numel() - begin), g.data<float>() + begin});
  return pieces;
}
// Calls body(index, piece) for each, by all threads.
template <class Body>
void each_piece(const std::vector<Piece>& pieces, Body&& body) {
  parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t i, int64_t) { body(static_cast<size_t>(i), pieces[static_cast<size_t>(i)]); });
}

// What gradients of this norm are to be multiplied with.
double clip_scale(double norm, double max_norm) { return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1; }

}  // namespace

Optimizer::Optimizer(NamedParameters parameters, double learning_rate)
    : parameters_(std::move(parameters)), learning_rate_(learning_rate) {
  for (const auto& [name, tensor] : parameters_)
    require(tensor.requires_grad(), "optimiser: {} is not trainable; open the model with trainable = true", name);
}

void Optimizer::zero_grad() {
  for (const auto& [name, tensor] : parameters_) mynah::zero_grad(tensor);
}

struct AdamW::Slot {
  Tensor parameter, m, v;
  bool decays;
};

AdamW::AdamW(NamedParameters parameters, const AdamWConfig& config, const Decays& decays)
    : Optimizer(std::move(parameters), config.learning_rate), config_(config) {
  for (const auto& [name, t] : parameters_)
    slots_.push_back({t, Tensor::zeros(t.shape()), Tensor::zeros(t.shape()), does_decay(decays, name, t)});
}
AdamW::~AdamW() = default;

NamedParameters AdamW::state() const {
  NamedParameters all;
  for (size_t i = 0; i < slots_.size(); ++i) {
    all.emplace_back(parameters_[i].first + ".m", slots_[i].m);
    all.emplace_back(parameters_[i].first + ".v", slots_[i].v);
  }
  return all;
}

double Optimizer::clip(double max_norm) { return clip_grad_norm(parameters_, max_norm); }

double AdamW::clip(double max_norm) {
  const double norm = clip_grad_norm(parameters_, 0);
  gradient_scale_ = clip_scale(norm, max_norm);
  return norm;
}

void AdamW::step() {
  ++steps_;
  kernels::AdamWStep s{};
  s.lr = learning_rate_;
  s.beta1 = config_.beta1;
  s.beta2 = config_.beta2;
  s.eps = config_.epsilon;
  s.bias1 = 1 - std::pow(config_.beta1, static_cast<double>(steps_));
  s.bias2 = 1 - std::pow(config_.beta2, static_cast<double>(steps_));
  s.grad_scale = static_cast<float>(std::exchange(gradient_scale_, 1));
  each_piece(pieces_of(parameters_, kGrain), [&](size_t, const Piece& piece) {
    Slot& slot = slots_[piece.parameter];
    kernels::AdamWStep mine = s;
    mine.weight_decay = slot.decays ? config_.weight_decay : 0;
    kernels::rows().adamw(mine, slot.parameter.data<float>() + piece.begin, piece.gradient, slot.m.data<float>() + piece.begin, slot.v.data<float>() + piece.begin, piece.count);
  });
}

struct Sgd::Slot {
  Tensor parameter, buffer;
  bool decays;
};

Sgd::Sgd(NamedParameters parameters, const SgdConfig& config, const Decays& decays)
    : Optimizer(std::move(parameters), config.learning_rate), config_(config) {
  if (!(config.momentum >= 0 && config.momentum < 1)) fail(ErrorCode::usage, "SGD: momentum is {}, expected 0 or more and below 1", config.momentum);
  if (config.nesterov && config.momentum == 0) fail(ErrorCode::usage, "SGD: nesterov looks ahead by the momentum, and that is 0; give a momentum");
  for (const auto& [name, t] : parameters_)
    slots_.push_back({t, config.momentum != 0 ? Tensor::zeros(t.shape()) : Tensor(), does_decay(decays, name, t)});
}
Sgd::~Sgd() = default;

NamedParameters Sgd::state() const {
  NamedParameters all;
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].buffer.defined()) all.emplace_back(parameters_[i].first + ".momentum", slots_[i].buffer);
  return all;
}

// d = g + decay * p; buffer = momentum * buffer + d; p -= lr * buffer, or with nesterov lr * (d + momentum * buffer). The buffer starts as
// the first d, which is what momentum * 0 + d gives.
void Sgd::step() {
  ++steps_;
  for (Slot& slot : slots_) {
    const Tensor g = grad(slot.parameter);
    if (!g.defined()) continue;
    const float decay = slot.decays ? static_cast<float>(config_.weight_decay) : 0;
    const auto momentum = static_cast<float>(config_.momentum), rate = static_cast<float>(learning_rate_);
    float *p = slot.parameter.data<float>(), *buffer = slot.buffer.defined() ? slot.buffer.data<float>() : nullptr;
    const float* q = g.data<float>();
    parallel_for(g.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float d = q[i] + decay * p[i];
        if (buffer) {
          buffer[i] = momentum * buffer[i] + d;
          d = config_.nesterov ? d + momentum * buffer[i] : buffer[i];
        }
        p[i] -= rate * d;
      }
    });
  }
}

struct Adafactor::Slot {
  Tensor parameter, row, column, full;  // row and column means of squares for matrices, all of them for the rest
  bool decays;
};

Adafactor::Adafactor(NamedParameters parameters, double learning_rate, double weight_decay, const Decays& decays)
    : Optimizer(std::move(parameters), learning_rate), weight_decay_(weight_decay) {
  for (const auto& [name, t] : parameters_) {
    Slot slot{t, {}, {}, {}, does_decay(decays, name, t)};
    if (t.rank() >= 2) {
      slot.row = Tensor::zeros({t.numel() / t.size(-1)});
      slot.column = Tensor::zeros({t.numel() / t.size(-2)});
    } else {
      slot.full = Tensor::zeros(t.shape());
    }
    slots_.push_back(slot);
  }
}
Adafactor::~Adafactor() = default;

NamedParameters Adafactor::state() const {
  NamedParameters all;
  for (size_t i = 0; i < slots_.size(); ++i)
    for (const auto& [what, tensor] :
         {std::pair{".row", slots_[i].row}, {".column", slots_[i].column}, {".full", slots_[i].full}})
      if (tensor.defined()) all.emplace_back(parameters_[i].first + what, tensor);
  return all;
}

void Adafactor::step() {
  ++steps_;
  constexpr double kEpsilon = 1e-30, kClip = 1.0, kDecayRate = -0.8;
  const double beta = 1 - std::pow(static_cast<double>(steps_), kDecayRate);
  for (Slot& slot : slots_) {
    const Tensor g = grad(slot.parameter);
    if (!g.defined()) continue;
    const float* q = g.data<float>();
    float* p = slot.parameter.data<float>();
    const int64_t n = g.numel();
    std::vector<float> update(static_cast<size_t>(n));
    if (slot.row.defined()) {
      const int64_t columns = g.size(-1), rows = g.size(-2), matrices = n / columns / rows;
      for (int64_t b = 0; b < matrices; ++b) {
        float *row = slot.row.data<float>() + b * rows, *column = slot.column.data<float>() + b * columns;
        const float* at = q + b * rows * columns;
        std::vector<double> sums(static_cast<size_t>(columns));
        double row_mean = 0;
        for (int64_t i = 0; i < rows; ++i) {
          double sum = 0;
          for (int64_t j = 0; j < columns; ++j) {
            const double square = static_cast<double>(at[i * columns + j]) * at[i * columns + j] + kEpsilon;
            sum += square;
            sums[static_cast<size_t>(j)] += square;
          }
          row[i] = static_cast<float>(beta * row[i] + (1 - beta) * sum / static_cast<double>(columns));
          row_mean += row[i];
        }
        row_mean /= static_cast<double>(rows);
        for (int64_t j = 0; j < columns; ++j)
          column[j] = static_cast<float>(beta * column[j] + (1 - beta) * sums[static_cast<size_t>(j)] / static_cast<double>(rows));
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < columns; ++j)
            update[static_cast<size_t>((b * rows + i) * columns + j)] =
                at[i * columns + j] * static_cast<float>(1 / std::sqrt(row[i] / row_mean) / std::sqrt(static_cast<double>(column[j])));
      }
    } else {
      float* full = slot.full.data<float>();
      for (int64_t i = 0; i < n; ++i) {
        full[i] = static_cast<float>(beta * full[i] + (1 - beta) * (static_cast<double>(q[i]) * q[i] + kEpsilon));
        update[static_cast<size_t>(i)] = q[i] / std::sqrt(full[i]);
      }
    }
    const double rms = std::sqrt(kernels::rows().sum_squares(update.data(), n) / static_cast<double>(n));
    const auto factor = static_cast<float>(learning_rate_ / std::max(1.0, rms / kClip));
    const float keep = slot.decays ? static_cast<float>(1 - weight_decay_ * learning_rate_) : 1.0f;
    for (int64_t i = 0; i < n; ++i) p[i] = p[i] * keep - factor * update[static_cast<size_t>(i)];
  }
}

// Squares are summed over pieces of fixed size, then in order: the same bits for any number of threads.
double clip_grad_norm(const NamedParameters& parameters, double max_norm) {
  const std::vector<Piece> pieces = pieces_of(parameters, kPiece);
  std::vector<double> parts(pieces.size());
  each_piece(pieces, [&](size_t i, const Piece& piece) { parts[i] = kernels::rows().sum_squares(piece.gradient, piece.count); });
  const double norm = std::sqrt(std::accumulate(parts.begin(), parts.end(), 0.0)), scale = clip_scale(norm, max_norm);
  if (scale < 1) each_piece(pieces, [&](size_t, const Piece& piece) { kernels::rows().scale(static_cast<float>(scale), piece.gradient, piece.gradient, piece.count); });
  return norm;
}

}  // namespace mynah
