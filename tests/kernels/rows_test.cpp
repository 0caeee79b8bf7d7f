// Every row kernel of every instruction set against plain f64 loops.
#include "kernels/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "base/random.h"
#include "kernels/isa.h"

namespace mynah::kernels {
namespace {

using Floats = std::vector<float>;
constexpr float kInf = std::numeric_limits<float>::infinity();

Floats random_floats(size_t n, unsigned seed, float low = -2, float high = 2) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Floats v(n);
  for (float& x : v) x = uniform(engine);
  return v;
}

// |got - want| <= tolerance * max(1, |want|), element by element; equal infinities and NaNs agree.
void expect_near(const Floats& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << i;
    } else if (std::isinf(want[i])) {
      ASSERT_EQ(got[i], static_cast<float>(want[i])) << i;
    } else {
      ASSERT_NEAR(got[i], want[i], tolerance * std::max(1.0, std::fabs(want[i]))) << i;
    }
  }
}

class Rows : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = active_isa();
    if (!set_isa(GetParam())) GTEST_SKIP() << "this processor lacks " << isa_name(GetParam());
  }
  void TearDown() override { set_isa(before_); }
  Isa before_ = Isa::generic;
};

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double reference(Unary op, double x) {
  switch (op) {
    case Unary::exp:
      return std::exp(x);
    case Unary::log:
      return std::log(x);
    case Unary::tanh:
      return std::tanh(x);
    case Unary::sigmoid:
      return logistic(x);
    case Unary::silu:
      return x * logistic(x);
    case Unary::gelu:
      return x * phi(x);
    case Unary::gelu_tanh:
      return x * logistic(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    case Unary::quick_gelu:
      return x * logistic(1.702 * x);
    case Unary::relu:
      return x < 0 ? 0 : x;
    case Unary::relu2:
      return x < 0 ? 0 : x * x;
    case Unary::mish:
      return x * std::tanh(std::log1p(std::exp(x)));
    case Unary::softplus:
      return x > 30 ? x : std::log1p(std::exp(x));
    case Unary::sqrt:
      return std::sqrt(x);
    case Unary::rsqrt:
      return 1 / std::sqrt(x);
    case Unary::neg:
      return -x;
    case Unary::abs:
      return std::fabs(x);
    case Unary::square:
      return x * x;
    case Unary::sin:
      return std::sin(x);
    case Unary::cos:
      return std::cos(x);
  }
  return 0;
}

constexpr int kUnaryCount = static_cast<int>(Unary::cos) + 1;
bool positive_only(Unary op) { return op == Unary::log || op == Unary::sqrt || op == Unary::rsqrt; }

TEST_P(Rows, UnaryIsAccurateRelativeToItsValue) {
  for (int k = 0; k < kUnaryCount; ++k) {
    const Unary op = static_cast<Unary>(k);
    SCOPED_TRACE(k);
    for (float range : {0.01f, 1.0f, 4.0f, 9.0f, 60.0f}) {
      const Floats x = random_floats(1003, 7, positive_only(op) ? 1e-3f * range : -range, range);
      Floats y(x.size());
      rows().unary(op, x.data(), y.data(), 1003);
      // The generic set rounds twice where the others fuse, so its tails lose a few more bits.
      const double tolerance = GetParam() == Isa::generic ? 2e-5 : 1e-5;
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = reference(op, x[i]);
        const bool periodic = op == Unary::sin || op == Unary::cos;
        const double size = periodic ? 1.0 : std::max(std::fabs(want), 1e-30);
        ASSERT_NEAR(y[i], want, tolerance * size) << "x " << x[i];
      }
    }
  }
}

TEST_P(Rows, UnaryKeepsSpecialValues) {
  const Floats x = {0.0f, -0.0f, kInf, -kInf, NAN, 1e-40f, 89.0f, -110.0f, 1e30f, -1e30f, 20000.0f, 1e8f, -87.6f};
  for (int k = 0; k < kUnaryCount; ++k) {
    const Unary op = static_cast<Unary>(k);
    SCOPED_TRACE(k);
    Floats y(x.size());
    rows().unary(op, x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const float want = static_cast<float>(reference(op, x[i]));
      // x * gate at -inf is 0 * inf: NaN here as in the reference formula.
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(y[i])) << x[i] << " gave " << y[i];
      } else if (std::isinf(want)) {
        EXPECT_EQ(y[i], want) << x[i];
      } else {
        EXPECT_NEAR(y[i], want,
                    3e-5f * std::fabs(want) + 1e-30f + (op == Unary::sin || op == Unary::cos ? 1e-6f : 0.0f))
            << x[i];
      }
    }
  }
}

TEST_P(Rows, UnaryBackwardIsTheSlope) {
  for (int k = 0; k < kUnaryCount; ++k) {
    const Unary op = static_cast<Unary>(k);
    SCOPED_TRACE(k);
    const Floats x = random_floats(517, 11, positive_only(op) ? 0.1f : -4.0f, 4.0f), dy = random_floats(517, 12);
    Floats y(x.size()), dx(x.size());
    rows().unary(op, x.data(), y.data(), 517);
    rows().unary_backward(op, x.data(), y.data(), dy.data(), dx.data(), 517);
    std::vector<double> want(x.size());
    for (size_t i = 0; i < x.size(); ++i)
      want[i] = dy[i] * (reference(op, x[i] + 1e-5) - reference(op, x[i] - 1e-5)) / 2e-5;
    expect_near(dx, want, 5e-6);
  }
}

TEST_P(Rows, GluForwardAndBackwardWithStrides) {
  const int64_t rows_count = 3, n = 37, stride = 80;
  const Floats joined = random_floats(rows_count * stride, 3), dy = random_floats(rows_count * n, 4);
  for (Unary act : {Unary::silu, Unary::gelu, Unary::gelu_tanh, Unary::relu, Unary::sigmoid}) {
    Floats y(rows_count * n), d(rows_count * stride, -1.0f);
    rows().glu(act, joined.data(), stride, joined.data() + 40, stride, y.data(), n, rows_count, n);
    rows().glu_backward(act, joined.data(), stride, joined.data() + 40, stride, dy.data(), n, d.data(), stride,
                        d.data() + 40, stride, rows_count, n);
    std::vector<double> want_y(y.size()), want_d(d.size(), -1.0);
    for (int64_t r = 0; r < rows_count; ++r)
      for (int64_t i = 0; i < n; ++i) {
        const double a = joined[r * stride + i], b = joined[r * stride + 40 + i], g = dy[r * n + i];
        want_y[r * n + i] = reference(act, a) * b;
        want_d[r * stride + i] = g * b * (reference(act, a + 1e-6) - reference(act, a - 1e-6)) / 2e-6;
        want_d[r * stride + 40 + i] = g * reference(act, a);
      }
    expect_near(y, want_y, 2e-6);
    expect_near(d, want_d, 5e-6);
  }
}

// Central differences of sum(f(x) * dy) by x, in f64.
std::vector<double> slope(const std::function<std::vector<double>(const std::vector<double>&)>& f, const Floats& x,
                          const Floats& dy) {
  std::vector<double> at(x.begin(), x.end()), d(x.size());
  const auto total = [&] {
    const std::vector<double> y = f(at);
    double t = 0;
    for (size_t i = 0; i < y.size(); ++i) t += y[i] * dy[i];
    return t;
  };
  for (size_t i = 0; i < x.size(); ++i) {
    const double keep = at[i];
    at[i] = keep + 1e-5;
    const double up = total();
    at[i] = keep - 1e-5;
    d[i] = (up - total()) / 2e-5;
    at[i] = keep;
  }
  return d;
}

std::vector<double> rms_reference(const std::vector<double>& x, const Floats& w, double offset, double eps, size_t n) {
  std::vector<double> y(x.size());
  for (size_t r = 0; r < x.size(); r += n) {
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += x[r + i] * x[r + i];
    for (size_t i = 0; i < n; ++i)
      y[r + i] = x[r + i] / std::sqrt(squares / n + eps) * (w.empty() ? 1.0 : offset + w[i]);
  }
  return y;
}

TEST_P(Rows, RmsNorm) {
  for (int64_t n : {1, 5, 16, 67, 576}) {
    const Floats x = random_floats(3 * n, 21), w = random_floats(n, 22), dy = random_floats(3 * n, 23);
    for (float offset : {0.0f, 1.0f}) {
      Floats y(3 * n), dx(3 * n), dw(n, 0.5f);
      rows().rms_norm(x.data(), w.data(), offset, 1e-3f, y.data(), 3, n);
      const auto f = [&](const std::vector<double>& at) { return rms_reference(at, w, offset, 1e-3f, n); };
      expect_near(y, f({x.begin(), x.end()}), 1e-6);
      rows().rms_norm_backward(x.data(), w.data(), offset, 1e-3f, dy.data(), dx.data(), dw.data(), 3, n);
      if (n <= 67) expect_near(dx, slope(f, x, dy), 2e-5);
      const std::vector<double> plain = rms_reference({x.begin(), x.end()}, {}, 0, 1e-3f, n);
      std::vector<double> want_dw(n, 0.5);
      for (int64_t i = 0; i < 3 * n; ++i) want_dw[i % n] += dy[i] * plain[i];
      expect_near(dw, want_dw, 2e-6);
    }
    Floats y(3 * n);
    rows().rms_norm(x.data(), nullptr, 0, 1e-3f, y.data(), 3, n);
    expect_near(y, rms_reference({x.begin(), x.end()}, {}, 0, 1e-3f, n), 1e-6);
  }
}

TEST_P(Rows, LayerNorm) {
  for (int64_t n : {2, 19, 64, 131}) {
    const Floats x = random_floats(3 * n, 31, 3.0f, 6.0f), w = random_floats(n, 32), b = random_floats(n, 33),
                 dy = random_floats(3 * n, 34);
    const auto f = [&](const std::vector<double>& at) {
      std::vector<double> y(at.size());
      for (size_t r = 0; r < at.size(); r += n) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < n; ++i) mean += at[r + i] / n;
        for (int64_t i = 0; i < n; ++i) variance += (at[r + i] - mean) * (at[r + i] - mean) / n;
        for (int64_t i = 0; i < n; ++i) y[r + i] = (at[r + i] - mean) / std::sqrt(variance + 1e-5) * w[i] + b[i];
      }
      return y;
    };
    Floats y(3 * n), mean(3), rstd(3), dx(3 * n), dw(n), db(n);
    rows().layer_norm(x.data(), w.data(), b.data(), 1e-5f, y.data(), mean.data(), rstd.data(), 3, n);
    const std::vector<double> want = f({x.begin(), x.end()});
    expect_near(y, want, 3e-6);
    rows().layer_norm_backward(x.data(), w.data(), mean.data(), rstd.data(), dy.data(), dx.data(), dw.data(), db.data(),
                               3, n);
    expect_near(dx, slope(f, x, dy), 3e-5);
    std::vector<double> want_dw(n), want_db(n);
    for (int64_t i = 0; i < 3 * n; ++i) {
      want_dw[i % n] += dy[i] * (want[i] - b[i % n]) / w[i % n];
      want_db[i % n] += dy[i];
    }
    expect_near(dw, want_dw, 1e-5);
    expect_near(db, want_db, 1e-6);
    Floats in_place = x;
    rows().layer_norm(in_place.data(), w.data(), b.data(), 1e-5f, in_place.data(), nullptr, nullptr, 3, n);
    EXPECT_EQ(in_place, y);
  }
}

std::vector<double> softmax_reference(const std::vector<double>& x, size_t n) {
  std::vector<double> y(x.size());
  for (size_t r = 0; r < x.size(); r += n) {
    double top = -HUGE_VAL, total = 0;
    for (size_t i = 0; i < n; ++i) top = std::max(top, x[r + i]);
    for (size_t i = 0; i < n; ++i) total += y[r + i] = std::exp(x[r + i] - top);
    for (size_t i = 0; i < n; ++i) y[r + i] /= total;
  }
  return y;
}

TEST_P(Rows, SoftmaxFamily) {
  for (int64_t n : {1, 3, 16, 50, 257}) {
    const Floats x = random_floats(2 * n, 41, -9, 9), dy = random_floats(2 * n, 42);
    const auto soft = [&](const std::vector<double>& at) { return softmax_reference(at, n); };
    const auto log_soft = [&](const std::vector<double>& at) {
      std::vector<double> y = softmax_reference(at, n);
      for (double& v : y) v = std::log(v);
      return y;
    };
    Floats y(2 * n), l(2 * n), lse(2), dx(2 * n);
    rows().softmax(x.data(), y.data(), 2, n);
    expect_near(y, soft({x.begin(), x.end()}), 1e-6);
    rows().softmax_backward(y.data(), dy.data(), dx.data(), 2, n);
    expect_near(dx, slope(soft, x, dy), 2e-6);
    rows().log_softmax(x.data(), l.data(), 2, n);
    expect_near(l, log_soft({x.begin(), x.end()}), 1e-6);
    rows().log_softmax_backward(l.data(), dy.data(), dx.data(), 2, n);
    expect_near(dx, slope(log_soft, x, dy), 1e-5);
    rows().logsumexp(x.data(), lse.data(), 2, n);
    const std::vector<double> want = log_soft({x.begin(), x.end()});
    EXPECT_NEAR(lse[0], x[0] - want[0], 1e-5);
    EXPECT_NEAR(lse[1], x[n] - want[n], 1e-5);
  }
}

TEST_P(Rows, SoftmaxOfMaskedAndHugeRows) {
  const Floats x = {-kInf, -kInf, -kInf, 1e30f, -kInf, 1e30f, -kInf, 0.0f, -2000.0f};
  Floats y(9), lse(3);
  rows().softmax(x.data(), y.data(), 3, 3);
  EXPECT_EQ(y, (Floats{0, 0, 0, 0.5f, 0, 0.5f, 0, 1, 0}));
  rows().logsumexp(x.data(), lse.data(), 3, 3);
  EXPECT_EQ(lse[0], -kInf);
  EXPECT_EQ(lse[1], 1e30f);
  EXPECT_EQ(lse[2], 0.0f);
}

TEST_P(Rows, LogitStats) {
  for (const int64_t n : {1, 19, 4096, 9001}) {
    Floats x = random_floats(n, 52, -6, 6);
    if (n > 1) x[1] = -kInf;  // a token that may not come
    double top = -kInf, total = 0, entropy = 0, squares = 0, sum = 0;
    for (const float v : x) top = std::max<double>(top, v);
    for (const float v : x) total += std::exp(v - top);
    for (const float v : x) {
      const double p = std::exp(v - top) / total;
      entropy -= p > 0 ? p * std::log(p) : 0;
      squares += p * p;
      sum += v;
    }
    const LogitStats got = rows().logit_stats(x.data(), n);
    EXPECT_NEAR(got.entropy, entropy, 1e-5);
    EXPECT_NEAR(got.log_sum_squares, std::log(squares), 1e-5);
    EXPECT_EQ(got.best, std::max_element(x.begin(), x.end()) - x.begin());
    if (n == 1) EXPECT_NEAR(got.mean, sum, 1e-6);
    else EXPECT_EQ(got.mean, -kInf);
    if (n > 2) {  // of two equal ones the first
      x[static_cast<size_t>(n - 1)] = x[static_cast<size_t>(got.best)];
      EXPECT_EQ(rows().logit_stats(x.data(), n).best, std::min(got.best, n - 1));
    }
  }
  const Floats plain = {1, 2, 6};
  EXPECT_NEAR(rows().logit_stats(plain.data(), 3).mean, 3, 1e-6);
}

TEST_P(Rows, CrossEntropy) {
  const int64_t n = 77;
  const Floats x = random_floats(3 * n, 51, -5, 5);
  const std::vector<int64_t> target = {76, -1, 12};
  Floats loss(3), grad(3 * n), loss_only(3);
  rows().cross_entropy(x.data(), target.data(), 0.25f, loss.data(), grad.data(), 3, n);
  rows().cross_entropy(x.data(), target.data(), 0.25f, loss_only.data(), nullptr, 3, n);
  EXPECT_EQ(loss, loss_only);
  std::vector<double> p = softmax_reference({x.begin(), x.end()}, n), want(3 * n);
  for (int64_t r : {0, 2}) {
    EXPECT_NEAR(loss[r], -std::log(p[r * n + target[r]]), 2e-6);
    for (int64_t i = 0; i < n; ++i) want[r * n + i] = 0.25 * (p[r * n + i] - (i == target[r] ? 1 : 0));
  }
  EXPECT_EQ(loss[1], 0.0f);
  expect_near(grad, want, 1e-7);
}

TEST_P(Rows, BinaryAndScalars) {
  const int64_t n = 43;
  const Floats a = random_floats(2 * n, 61), b = random_floats(2 * n, 62, 0.5f, 2.0f);
  const auto want = [](Binary op, float x, float y) -> float {
    switch (op) {
      case Binary::add:
        return x + y;
      case Binary::sub:
        return x - y;
      case Binary::mul:
        return x * y;
      case Binary::div:
        return x / y;
      case Binary::max:
        return std::max(x, y);
      case Binary::min:
        return std::min(x, y);
    }
    return 0;
  };
  for (Binary op : {Binary::add, Binary::sub, Binary::mul, Binary::div, Binary::max, Binary::min}) {
    Floats both(2 * n), right(2 * n), left(2 * n), row(2 * n);
    rows().binary(op, a.data(), b.data(), both.data(), 2 * n);
    rows().binary_scalar(op, a.data(), 0.75f, right.data(), 2 * n);
    rows().scalar_binary(op, 0.75f, b.data(), left.data(), 2 * n);
    rows().binary_row(op, a.data(), b.data(), row.data(), 2, n);
    for (int64_t i = 0; i < 2 * n; ++i) {
      EXPECT_EQ(both[i], want(op, a[i], b[i]));
      EXPECT_EQ(right[i], want(op, a[i], 0.75f));
      EXPECT_EQ(left[i], want(op, 0.75f, b[i]));
      EXPECT_EQ(row[i], want(op, a[i], b[i % n]));
    }
  }
  const Floats nan = {NAN, 1, 2}, plain = {1, NAN, 2};
  Floats y(3);
  rows().binary(Binary::max, nan.data(), plain.data(), y.data(), 3);
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  EXPECT_EQ(y[2], 2.0f);
}

TEST_P(Rows, WhatStandsAroundConvolutions) {
  for (int64_t n : {1, 15, 16, 33}) {
    const Floats x = random_floats(n, 65), more = random_floats(n, 66);
    for (const bool added : {false, true})
      for (const bool relu : {false, true}) {
        Floats y = x;
        rows().shift(added ? more.data() : nullptr, 0.25f, relu, y.data(), n);
        for (int64_t i = 0; i < n; ++i) {
          const float sum = x[i] + 0.25f + (added ? more[i] : 0.0f);
          EXPECT_EQ(y[i], relu ? std::max(sum, 0.0f) : sum);
        }
      }
    Floats y(n);
    rows().leaky_relu(0.1f, x.data(), y.data(), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(y[i], std::max(x[i], x[i] * 0.1f));
  }
}

// An element is dropped just where its bits are below the threshold: thresholds at and above the bits of each lane show all of them.
TEST_P(Rows, DropoutHasTheBitsOfPhilox) {
  const auto key = [](uint64_t seed) { return philox_key(seed, RandomPurpose::dropout); };
  const Floats x = random_floats(150, 3);
  for (const uint64_t first : {uint64_t{0}, uint64_t{64}, uint64_t{0xfffffffc0}, uint64_t{1} << 40})
    for (const uint64_t stream : {uint64_t{5}, uint64_t{0x9e3779b97f4a7c15}}) {
      const uint64_t seed = 0xfedcba9876543210 + stream;
      std::vector<uint32_t> bits;
      for (uint64_t e = first; bits.size() < x.size(); e += 4)
        for (const uint32_t word : philox(seed, stream, e / 4, RandomPurpose::dropout)) bits.push_back(word);
      for (size_t lane = 0; lane < 64; ++lane)
        for (const uint32_t threshold : {bits[lane], bits[lane] + 1}) {
          const DropoutMask mask{{key(seed)[0], key(seed)[1]}, stream, threshold, 1.25f};
          Floats y(x.size() + 1, 9.0f);
          rows().dropout(mask, first, x.data(), y.data(), static_cast<int64_t>(x.size()));
          for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], bits[i] < threshold ? 0.0f : x[i] * 1.25f) << "element " << i << " behind " << first;
          ASSERT_EQ(y.back(), 9.0f);
        }
    }
}

TEST_P(Rows, SumsAndSearches) {
  for (int64_t n : {1, 15, 16, 17, 100, 4096, 10001}) {
    const Floats x = random_floats(n, 71), y = random_floats(n, 72);
    double total = 0, squares = 0, product = 0;
    float top = -kInf;
    for (int64_t i = 0; i < n; ++i) {
      total += x[i];
      squares += double(x[i]) * x[i];
      product += double(x[i]) * y[i];
      top = std::max(top, x[i]);
    }
    EXPECT_NEAR(rows().sum(x.data(), n), total, 1e-6 * n);
    EXPECT_NEAR(rows().sum_squares(x.data(), n), squares, 1e-6 * n);
    EXPECT_NEAR(rows().dot(x.data(), y.data(), n), product, 1e-6 * n);
    EXPECT_EQ(rows().max(x.data(), n), top);
    EXPECT_EQ(x[rows().argmax(x.data(), n)], top);
    EXPECT_FALSE(rows().any_nonfinite(x.data(), n));
    Floats bad = x;
    bad[n - 1] = n % 2 ? NAN : -kInf;
    EXPECT_TRUE(rows().any_nonfinite(bad.data(), n));
    bad[n - 1] = NAN;
    EXPECT_TRUE(std::isnan(rows().max(bad.data(), n)));
  }
  const Floats ties = {1, 3, 2, 3, 3}, below = {-5, -4, -4}, nothing = {-kInf, -kInf};
  EXPECT_EQ(rows().argmax(ties.data(), 5), 1);
  EXPECT_EQ(rows().argmax(below.data(), 3), 1);
  EXPECT_EQ(rows().argmax(nothing.data(), 2), 0);
}

TEST_P(Rows, AxpyScaleColumnSum) {
  const int64_t n = 35, stride = 40;
  const Floats x = random_floats(5 * stride, 81);
  Floats y = random_floats(5 * stride, 82), out(n, 1.0f), scaled(5 * stride);
  std::vector<double> want(5 * stride), want_out(n, 1.0);
  for (int64_t i = 0; i < 5 * stride; ++i) want[i] = y[i] + 1.5 * x[i];
  for (int64_t r = 0; r < 5; ++r)
    for (int64_t i = 0; i < n; ++i) want_out[i] += x[r * stride + i];
  rows().axpy(1.5f, x.data(), y.data(), 5 * stride);
  expect_near(y, want, 2e-7);
  rows().column_sum(x.data(), stride, out.data(), 5, n);
  expect_near(out, want_out, 1e-6);
  rows().scale(-0.5f, x.data(), scaled.data(), 5 * stride);
  for (int64_t i = 0; i < 5 * stride; ++i) EXPECT_EQ(scaled[i], -0.5f * x[i]);
}

TEST_P(Rows, RopeTurnsPairsAndBack) {
  for (bool interleaved : {false, true})
    for (int64_t rot : {8, 22, 44}) {
      const RopeShape shape{3, 2, 44, rot, interleaved, false};
      const int64_t stride = 100;
      const Floats x = random_floats(3 * stride, 91), angle = random_floats(3 * rot / 2, 92);
      Floats cosine(angle.size()), sine(angle.size()), y(3 * 88, 7.0f);
      for (size_t i = 0; i < angle.size(); ++i) cosine[i] = std::cos(angle[i]), sine[i] = std::sin(angle[i]);
      rows().rope(shape, x.data(), stride, cosine.data(), sine.data(), y.data(), 88);
      std::vector<double> want(3 * 88);
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t h = 0; h < 2; ++h) {
          const float* in = x.data() + r * stride + h * 44;
          double* out = want.data() + r * 88 + h * 44;
          for (int64_t i = rot; i < 44; ++i) out[i] = in[i];
          for (int64_t i = 0; i < rot / 2; ++i) {
            const int64_t p = interleaved ? 2 * i : i, q = interleaved ? 2 * i + 1 : i + rot / 2;
            const double t = angle[r * (rot / 2) + i];
            out[p] = in[p] * std::cos(t) - in[q] * std::sin(t);
            out[q] = in[q] * std::cos(t) + in[p] * std::sin(t);
          }
        }
      expect_near(y, want, 1e-6);
      RopeShape back = shape;
      back.inverse = true;
      rows().rope(back, y.data(), 88, cosine.data(), sine.data(), y.data(), 88);
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t i = 0; i < 88; ++i) ASSERT_NEAR(y[r * 88 + i], x[r * stride + i], 1e-6);
    }
}

TEST_P(Rows, AdamWFollowsItsFormula) {
  const int64_t n = 29;
  Floats p = random_floats(n, 101), m(n), v(n);
  std::vector<double> wp(p.begin(), p.end()), wm(n), wv(n);
  for (int t = 1; t <= 4; ++t) {
    const Floats g = random_floats(n, 110 + t);
    const AdamWStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - std::pow(0.9, t), 1 - std::pow(0.95, t), 0.5f};
    rows().adamw(step, p.data(), g.data(), m.data(), v.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      const double gi = 0.5 * g[i];
      wp[i] *= 1 - step.lr * step.weight_decay;
      wm[i] = 0.9 * wm[i] + 0.1 * gi;
      wv[i] = 0.95 * wv[i] + 0.05 * gi * gi;
      wp[i] -= step.lr / step.bias1 * wm[i] / (std::sqrt(wv[i]) / std::sqrt(step.bias2) + step.eps);
    }
  }
  expect_near(p, wp, 1e-6);
  expect_near(m, wm, 1e-6);
  expect_near(v, wv, 1e-6);
}

TEST_P(Rows, ConversionsRoundToNearestEven) {
  const Floats x = {1.0f,          1.00390625f, 1.01171875f, 3.4e38f, kInf,  -kInf, 65504.0f, 65519.0f, 65520.0f, 1e-7f,
                    5.9604645e-8f, -0.0f,       NAN,         0.1f,    -2.7f, 1e-3f, 1.0f,     2.0f,     3.0f};
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<uint16_t> h(n);
  Floats back(n);
  rows().f32_to_bf16(x.data(), h.data(), n);
  rows().bf16_to_f32(h.data(), back.data(), n);
  EXPECT_EQ(h[0], 0x3f80);
  EXPECT_EQ(h[1], 0x3f80);  // half way, to even
  EXPECT_EQ(h[2], 0x3f82);
  EXPECT_EQ(back[3], kInf);
  EXPECT_EQ(back[5], -kInf);
  EXPECT_TRUE(std::isnan(back[12]));
  EXPECT_NEAR(back[14], -2.7f, 0.01f);
  rows().f32_to_f16(x.data(), h.data(), n);
  rows().f16_to_f32(h.data(), back.data(), n);
  EXPECT_EQ(back[6], 65504.0f);
  EXPECT_EQ(back[7], 65504.0f);
  EXPECT_EQ(back[8], kInf);
  EXPECT_EQ(h[10], 1);
  EXPECT_EQ(h[11], 0x8000);
  EXPECT_TRUE(std::isnan(back[12]));
  EXPECT_NEAR(back[13], 0.1f, 1e-4f);
}

TEST(RowsAcrossSets, Avx2AndAvx512GiveTheSameBits) {
  const Isa before = active_isa();
  if (!isa_supported(Isa::avx512)) GTEST_SKIP();
  const int64_t n = 1009;
  const Floats x = random_floats(n, 200, -8, 8), w = random_floats(n, 201);
  std::vector<Floats> results;
  for (const Isa isa : kIsas) {
    if (isa == Isa::generic || !set_isa(isa)) continue;
    Floats all, y(n);
    for (int k = 0; k < kUnaryCount; ++k) {
      rows().unary(static_cast<Unary>(k), x.data(), y.data(), n);
      if (!positive_only(static_cast<Unary>(k))) all.insert(all.end(), y.begin(), y.end());
    }
    rows().softmax(x.data(), y.data(), 1, n);
    all.insert(all.end(), y.begin(), y.end());
    rows().rms_norm(x.data(), w.data(), 0, 1e-5f, y.data(), 1, n);
    all.insert(all.end(), y.begin(), y.end());
    results.push_back(all);
  }
  set_isa(before);
  for (const Floats& r : results) EXPECT_EQ(std::memcmp(r.data(), results[0].data(), r.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, Rows, testing::ValuesIn(kIsas),
                         [](const auto& set) { return std::string(isa_name(set.param)); });

}  // namespace
}  // namespace mynah::kernels
