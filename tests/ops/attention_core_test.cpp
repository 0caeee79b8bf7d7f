// Attention forward and backward against f64 loops, and the promise that a row's bits depend on nothing but itself.
#include "ops/attention_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/isa.h"
#include "mynah/error.h"
#include "ops/dropout_mask.h"
#include "ops/dropped_weights.h"

namespace mynah::ops {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

Floats random_floats(int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Floats v(static_cast<size_t>(n));
  for (float& x : v) x = normal(engine);
  return v;
}

struct AttentionCase {
  std::string name;
  AttentionShape shape;
  std::vector<AttentionSpan> spans;
  AttentionOptions options;
  Floats slopes = {}, bias = {};
  std::vector<uint8_t> key_mask = {};
  bool drops = false;
};

constexpr float kDrop = 0.3f;
constexpr uint64_t kSeed = 11, kStream = 5;

// Two ragged spans over 37 queries and 150 keys unless said otherwise; head sizes are odd on purpose. Each with dropout and without.
std::vector<AttentionCase> cases() {
  const AttentionShape grouped{6, 2, 20}, single{3, 3, 33}, wide{4, 1, 128}, plain{2, 2, 64};
  const std::vector<AttentionSpan> square = {{0, 70, 0, 70}, {70, 5, 70, 5}}, late = {{0, 30, 0, 143}, {30, 7, 143, 7}};
  std::vector<AttentionCase> all;
  all.push_back({"causal", grouped, square, {.scale = 0.3f, .causal = true}});
  all.push_back({"causal_late", single, late, {.scale = 0.2f, .causal = true}});
  all.push_back({"every_key", wide, late, {.scale = 0.1f}});
  all.push_back({"cross", plain, {{0, 9, 0, 131}, {9, 4, 131, 0}, {13, 24, 131, 1}}, {.scale = 0.125f}});
  all.push_back({"window", grouped, late, {.scale = 0.3f, .causal = true, .window = 11}});
  all.push_back({"window_both_sides", plain, square, {.scale = 0.125f, .window = 20}});
  all.push_back({"softcap", single, late, {.scale = 0.4f, .causal = true, .softcap = 2.0f}});
  all.push_back({"slopes", grouped, late, {.scale = 0.3f, .causal = true}, {0.5f, 0.25f, 0.1f, 0.02f, 1.0f, 0.0f}});
  AttentionCase bias{"bias", single, square, {.scale = 0.2f}};
  bias.bias = random_floats(3 * 70 * 70, 5);
  bias.options.bias_head_stride = 70 * 70;
  bias.options.bias_query_stride = 70;
  all.push_back(bias);
  AttentionCase mask{"key_mask", grouped, square, {.scale = 0.3f, .causal = true}};
  mask.key_mask.assign(75, 1);
  for (size_t i : {0u, 1u, 5u, 40u, 70u, 71u}) mask.key_mask[i] = 0;  // the first queries of both spans see nothing
  all.push_back(mask);
  all.push_back({"short", plain, {{0, 32, 0, 32}, {32, 17, 32, 17}, {49, 1, 49, 63}, {50, 24, 112, 33}}, {.scale = 0.125f}});
  all.push_back({"long", {3, 1, 16}, {{0, 80, 0, 1200}}, {.scale = 0.25f, .causal = true}});
  for (size_t i = 0, n = all.size(); i < n; ++i) {
    AttentionCase dropping = all[i];
    dropping.name += "_dropout";
    dropping.drops = true;
    dropping.options.dropout = dropout_mask("test", kDrop, kSeed, kStream);
    all.push_back(dropping);
  }
  return all;
}

struct Data {
  Floats q, k, v, dout;
  int64_t queries = 0, keys = 0;
};

Data make_data(AttentionCase& c) {
  Data d;
  for (AttentionSpan& span : c.spans) {
    d.queries = std::max(d.queries, span.q_begin + span.q_count);
    d.keys = std::max(d.keys, span.k_begin + span.k_count);
    if (!c.key_mask.empty()) span.key_mask = c.key_mask.data() + span.k_begin;
  }
  c.options.alibi_slopes = c.slopes.empty() ? nullptr : c.slopes.data();
  c.options.bias = c.bias.empty() ? nullptr : c.bias.data();
  d.q = random_floats(d.queries * c.shape.heads * c.shape.head_dim, 1);
  d.k = random_floats(d.keys * c.shape.kv_heads * c.shape.head_dim, 2);
  d.v = random_floats(d.keys * c.shape.kv_heads * c.shape.head_dim, 3);
  d.dout = random_floats(static_cast<int64_t>(d.q.size()), 4);
  return d;
}

bool sees(const AttentionCase& c, const AttentionSpan& span, int64_t i, int64_t j) {
  const int64_t at = span.k_count - span.q_count + i;
  if (c.options.causal && j > at) return false;
  if (c.options.window > 0 && (j <= at - c.options.window || j >= at + c.options.window)) return false;
  return !span.key_mask || span.key_mask[j];
}

struct Reference {
  Doubles out, lse, dq, dk, dv, dbias;
};

// One query row of one head: probabilities, output and gradients.
void reference_row(const AttentionCase& c, const Data& d, const AttentionSpan& span, int64_t i, int64_t h, Reference* r) {
  const auto& [H, K, D] = c.shape;
  const AttentionOptions& o = c.options;
  const int64_t query = ((span.q_begin + i) * H + h) * D, at = span.k_count - span.q_count + i;
  const auto key = [&](int64_t j) { return ((span.k_begin + j) * K + h / (H / K)) * D; };
  const auto kept = [&](int64_t j) {
    if (!c.drops) return 1.0;
    return drops_weight(kDrop, kSeed, kStream, (span.q_begin + i) * H + h, j) ? 0 : 1 / (1 - static_cast<double>(kDrop));
  };
  Doubles p(static_cast<size_t>(span.k_count)), slope(p.size(), 1.0);
  double top = -HUGE_VAL, total = 0;
  for (int64_t j = 0; j < span.k_count; ++j) {
    double s = 0;
    for (int64_t e = 0; e < D; ++e) s += double(d.q[query + e]) * d.k[key(j) + e];
    s *= o.scale;
    if (o.softcap > 0) {
      const double t = std::tanh(s / o.softcap);
      s = o.softcap * t;
      slope[j] = 1 - t * t;
    }
    if (o.alibi_slopes) s += double(o.alibi_slopes[h]) * double(j - at);
    if (o.bias) s += o.bias[h * o.bias_head_stride + i * o.bias_query_stride + j];
    p[j] = sees(c, span, i, j) ? s : -HUGE_VAL;
    top = std::max(top, p[j]);
  }
  for (double& x : p) total += x = top == -HUGE_VAL ? 0 : std::exp(x - top);
  r->lse[(span.q_begin + i) * H + h] = total > 0 ? top + std::log(total) : -HUGE_VAL;
  if (total == 0) return;
  double delta = 0;
  for (int64_t j = 0; j < span.k_count; ++j)
    for (int64_t e = 0; e < D; ++e) {
      r->out[query + e] += (p[j] / total) * kept(j) * d.v[key(j) + e];
      delta += d.dout[query + e] * (p[j] / total) * kept(j) * d.v[key(j) + e];
    }
  for (int64_t j = 0; j < span.k_count; ++j) {
    double dp = 0;
    for (int64_t e = 0; e < D; ++e) dp += double(d.dout[query + e]) * d.v[key(j) + e];
    const double ds = (p[j] / total) * (kept(j) * dp - delta), raw = ds * slope[j] * o.scale;
    if (o.bias) r->dbias[h * o.bias_head_stride + i * o.bias_query_stride + j] += ds;
    for (int64_t e = 0; e < D; ++e) {
      r->dv[key(j) + e] += (p[j] / total) * kept(j) * d.dout[query + e];
      r->dq[query + e] += raw * d.k[key(j) + e];
      r->dk[key(j) + e] += raw * d.q[query + e];
    }
  }
}

Reference reference(const AttentionCase& c, const Data& d) {
  Reference r{Doubles(d.q.size()), Doubles(d.queries * c.shape.heads),
              Doubles(d.q.size()), Doubles(d.k.size()),
              Doubles(d.k.size()), Doubles(c.bias.size())};
  for (const AttentionSpan& span : c.spans)
    for (int64_t i = 0; i < span.q_count; ++i)
      for (int64_t h = 0; h < c.shape.heads; ++h) reference_row(c, d, span, i, h, &r);
  return r;
}

void expect_near(const Floats& got, const Doubles& want, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 1;
  for (double x : want)
    if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(want[i]))
      ASSERT_EQ(got[i], static_cast<float>(want[i])) << what << " " << i;
    else
      ASSERT_NEAR(got[i], want[i], tolerance * largest) << what << " " << i;
  }
}

struct Result {
  Floats out, lse;
};

Result forward(const AttentionCase& c, const Data& d) {
  const int64_t row = c.shape.heads * c.shape.head_dim, key = c.shape.kv_heads * c.shape.head_dim;
  Result r{Floats(d.q.size()), Floats(d.queries * c.shape.heads)};
  attention_forward(c.shape, {d.q.data(), row}, {d.k.data(), key}, {d.v.data(), key}, c.spans, c.options,
                    {r.out.data(), row}, r.lse.data());
  return r;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

class AttentionCore : public ::testing::TestWithParam<kernels::Isa> {
 protected:
  void SetUp() override {
    before_ = kernels::active_isa();
    if (!kernels::set_isa(GetParam())) GTEST_SKIP() << "this processor lacks " << kernels::isa_name(GetParam());
  }
  void TearDown() override {
    kernels::set_isa(before_);
    set_threads(0);
  }
  kernels::Isa before_ = kernels::Isa::generic;
};

TEST_P(AttentionCore, ForwardMatchesTheDefinition) {
  for (AttentionCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Data d = make_data(c);
    const Reference want = reference(c, d);
    const Result got = forward(c, d);
    expect_near(got.out, want.out, 2e-6, "out");
    expect_near(got.lse, want.lse, 2e-6, "lse");
  }
}

TEST_P(AttentionCore, BackwardMatchesTheDefinition) {
  for (AttentionCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Data d = make_data(c);
    const Reference want = reference(c, d);
    const Result f = forward(c, d);
    const int64_t row = c.shape.heads * c.shape.head_dim, key = c.shape.kv_heads * c.shape.head_dim;
    std::vector<Floats> results;
    for (int threads : {1, 2}) {
      set_threads(threads);
      Floats dq(d.q.size()), dk(d.k.size()), dv(d.k.size()), dbias(c.bias.size());
      attention_backward(
          c.shape, {d.q.data(), row}, {d.k.data(), key}, {d.v.data(), key}, {f.out.data(), row}, f.lse.data(),
          {d.dout.data(), row}, c.spans, c.options,
          {{dq.data(), row}, {dk.data(), key}, {dv.data(), key}, c.bias.empty() ? nullptr : dbias.data()});
      expect_near(dq, want.dq, 5e-6, "dq");
      expect_near(dk, want.dk, 5e-6, "dk");
      expect_near(dv, want.dv, 5e-6, "dv");
      expect_near(dbias, want.dbias, 5e-6, "dbias");
      for (const Floats& x : {dq, dk, dv, dbias}) results.push_back(x);
    }
    for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(same_bits(results[i], results[i + 4])) << i;
  }
}

TEST_P(AttentionCore, ThreadsDoNotChangeABit) {
  for (AttentionCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Data d = make_data(c);
    set_threads(1);
    const Result one = forward(c, d);
    set_threads(2);
    const Result two = forward(c, d);
    EXPECT_TRUE(same_bits(one.out, two.out) && same_bits(one.lse, two.lse));
    set_threads(64);  // far more threads than tiles: long spans are cut along the keys
    const Result many = forward(c, d);
    EXPECT_TRUE(same_bits(one.out, many.out) && same_bits(one.lse, many.lse));
  }
}

// Every query row on its own, and in pieces of 7, gives what the whole span gives: prefill, chunked prefill and
// decoding.
TEST_P(AttentionCore, QueriesAloneEqualQueriesTogether) {
  for (AttentionCase& c : cases())
    for (DType precision : {DType::f32, DType::bf16}) {
      if (!c.bias.empty()) continue;  // the bias of a piece would start elsewhere
      SCOPED_TRACE(c.name);
      c.options.precision = precision;
      const Data d = make_data(c);
      const Result whole = forward(c, d);
      for (int64_t piece : {1, 7}) {
        AttentionCase cut = c;
        cut.options.alibi_slopes = cut.slopes.empty() ? nullptr : cut.slopes.data();
        cut.spans.clear();
        for (const AttentionSpan& span : c.spans)
          for (int64_t i = 0; i < span.q_count; i += piece) {
            AttentionSpan part = span;
            part.q_begin = span.q_begin + i;
            part.q_count = std::min(piece, span.q_count - i);
            // Causal rows see no further than themselves, so a piece has no later keys: as when they are not there yet.
            if (c.options.causal)
              part.k_count = span.k_count - span.q_count + i + part.q_count;
            else if (c.options.window > 0)
              continue;  // its last query must stand at its last key
            cut.spans.push_back(part);
          }
        if (cut.spans.empty()) continue;
        const Result parts = forward(cut, d);
        EXPECT_TRUE(same_bits(whole.out, parts.out) && same_bits(whole.lse, parts.lse)) << piece;
      }
    }
}

TEST_P(AttentionCore, Bf16PrecisionIsCloseToTheDefinition) {
  for (AttentionCase& c : cases()) {
    SCOPED_TRACE(c.name);
    c.options.precision = DType::bf16;
    const Data d = make_data(c);
    expect_near(forward(c, d).out, reference(c, d).out, 2e-2, "out");
  }
}

// A block that is packed anew holds what an earlier one left behind its keys: none of it may count.
TEST_P(AttentionCore, NothingIsLeftOfEarlierKeys) {
  set_threads(1);  // the same thread packs both
  for (const DType precision : {DType::f32, DType::bf16}) {
    AttentionCase full{"full", {2, 2, 20}, {{0, 20, 0, 64}}, {.scale = 0.2f, .precision = precision}};
    AttentionCase few{"few", {2, 2, 20}, {{0, 20, 0, 5}}, {.scale = 0.2f, .precision = precision}};
    const Data d = make_data(few);
    const Floats want = forward(few, d).out;
    Data infinite = make_data(full);
    std::fill(infinite.k.begin(), infinite.k.end(), HUGE_VALF);
    std::fill(infinite.v.begin(), infinite.v.end(), NAN);
    forward(full, infinite);
    EXPECT_TRUE(same_bits(forward(few, d).out, want)) << name(precision);
  }
}

TEST(AttentionCoreSets, SetsWithFusedMultiplyAddAgreeBitForBit) {
  const kernels::Isa before = kernels::active_isa();
  for (AttentionCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Data d = make_data(c);
    std::vector<Result> results;
    for (const kernels::Isa isa : kernels::kIsas)
      if (isa != kernels::Isa::generic && kernels::set_isa(isa)) results.push_back(forward(c, d));
    for (const Result& r : results) EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.lse, results[0].lse));
  }
  kernels::set_isa(before);
}

TEST(AttentionCoreChecks, RefusesWhatCannotBe) {
  Floats x(64);
  const AttentionSpan span{0, 1, 0, 1}, negative{0, -1, 0, 1};
  const auto call = [&](AttentionShape shape, AttentionSpan s, AttentionOptions o) {
    attention_forward(shape, {x.data(), 8}, {x.data(), 8}, {x.data(), 8}, {&s, 1}, o, {x.data(), 8}, nullptr);
  };
  EXPECT_THROW(call({3, 2, 4}, span, {}), Error);
  EXPECT_THROW(call({2, 2, 4}, negative, {}), Error);
  EXPECT_THROW(call({2, 2, 4}, span, {.precision = DType::f16}), Error);
  KvBlocks cache{nullptr, nullptr, DType::f32, 0};
  EXPECT_THROW(call({2, 2, 4}, {0, 1, 0, 1, &cache}, {}), Error);
  EXPECT_NO_THROW(attention_forward({2, 2, 4}, {}, {}, {}, {}, {}, {}, nullptr));
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionCore,
                         ::testing::ValuesIn(kernels::kIsas),
                         [](const auto& set) { return std::string(kernels::isa_name(set.param)); });

}  // namespace
}  // namespace mynah::ops
