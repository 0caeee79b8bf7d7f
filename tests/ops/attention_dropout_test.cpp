// Dropout within attention: against attention made of plain ops with the mask as it is defined, and the mask by itself.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mynah/autograd.h"
#include "ops/dropped_weights.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

constexpr float kDrop = 0.3f;
constexpr uint64_t kSeed = 0x123456789abcdef, kStream = 7 << 20 | 3;

bool hidden(const Sequence& s, const AttentionConfig& c, int64_t i, int64_t j) {
  const int64_t at = s.k_count - s.q_count + i;  // the query's place among the keys
  return (c.causal && j > at) || (c.window > 0 && (j <= at - c.window || (!c.causal && j >= at + c.window))) ||
         (!c.key_mask.empty() && c.key_mask[static_cast<size_t>(s.k_begin + j)] == 0);
}

// f(head, query, key) of one sequence: [heads, Tq, Tk].
template <class F>
Tensor of_each(const Sequence& s, int64_t heads, F f) {
  Tensor all = Tensor::empty({heads, s.q_count, s.k_count});
  float* to = all.data<float>();
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < s.q_count; ++i)
      for (int64_t j = 0; j < s.k_count; ++j) *to++ = f(h, i, j);
  return all;
}

// distance_bias [H, 2R - 1] -> [H, Tq, Tk]
Tensor by_distance(const Tensor& bias, const Sequence& s) {
  const int64_t reach = (bias.size(1) + 1) / 2;
  std::vector<int64_t> columns;
  for (int64_t i = 0; i < s.q_count; ++i)
    for (int64_t j = 0; j < s.k_count; ++j) columns.push_back(j - (s.k_count - s.q_count + i) + reach - 1);
  const Tensor picked = index_rows(contiguous(transpose(bias, 0, 1)), columns);  // [Tq Tk, H]
  return reshape(contiguous(transpose(picked, 0, 1)), {bias.size(0), s.q_count, s.k_count});
}

// The bias of one sequence [H, Tq or 1, Tk]; tables for a whole batch are as wide as its longest sequence.
Tensor bias_of(const Tensor& bias, int64_t sequence, const Sequence& s) {
  Tensor b = bias.rank() == 4 ? select(bias, 0, sequence) : bias;
  if (b.size(1) > s.q_count) b = narrow(b, 1, 0, s.q_count);
  return b.size(2) > s.k_count ? narrow(b, 2, 0, s.k_count) : b;
}

// Rows [count, H, D] of one sequence as [H, count, D]; key heads are repeated for the query heads that share them.
Tensor heads_first(const Tensor& x, int64_t begin, int64_t count, int64_t heads) {
  const Tensor rows = contiguous(transpose(narrow(x, 0, begin, count), 0, 1));
  std::vector<int64_t> which;
  for (int64_t h = 0; h < heads; ++h) which.push_back(h / (heads / rows.size(0)));
  return index_rows(rows, which);
}

Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& c) {
  const int64_t heads = q.size(1);
  std::vector<Tensor> outs;
  for (size_t n = 0; n < sequences.size(); ++n) {
    const Sequence& s = sequences[n];
    const Tensor qs = heads_first(q, s.q_begin, s.q_count, heads), ks = heads_first(k, s.k_begin, s.k_count, heads), vs = heads_first(v, s.k_begin, s.k_count, heads);
    Tensor scores = matmul(qs, contiguous(transpose(ks, 1, 2))) * (1 / std::sqrt(static_cast<float>(q.size(2))));
    if (c.softcap > 0) scores = softcap(scores, c.softcap);
    if (c.bias.defined()) scores = scores + bias_of(c.bias, static_cast<int64_t>(n), s);
    if (c.distance_bias.defined()) scores = scores + by_distance(c.distance_bias, s);
    if (!c.alibi.empty())
      scores = scores + of_each(s, heads, [&](int64_t h, int64_t i, int64_t j) { return c.alibi[static_cast<size_t>(h)] * static_cast<float>(j - (s.k_count - s.q_count + i)); });
    const Tensor seen = of_each(s, heads, [&](int64_t, int64_t i, int64_t j) { return hidden(s, c, i, j) ? -std::numeric_limits<float>::infinity() : 0.0f; });
    const Tensor mask = of_each(s, heads, [&](int64_t h, int64_t i, int64_t j) {
      return drops_weight(c.dropout, c.dropout_seed, c.dropout_stream, (s.q_begin + i) * heads + h, j) ? 0.0f : 1 / (1 - c.dropout);
    });
    outs.push_back(contiguous(transpose(matmul(softmax(scores + seen) * mask, vs), 0, 1)));
  }
  return cat(outs, 0);
}

struct DroppingCase {
  std::string name;
  std::vector<Sequence> sequences;
  int64_t heads, kv_heads;
  AttentionConfig config;
  Shape bias = {}, distance_bias = {};
};

std::vector<DroppingCase> cases() {
  const std::vector<Sequence> square = {{0, 70, 0, 70}, {70, 5, 70, 5}, {75, 33, 75, 33}}, cross = {{0, 9, 0, 131}, {9, 4, 131, 17}, {13, 24, 148, 30}};
  AttentionConfig causal, full, window, capped, masked, slopes, both;
  full.causal = false;
  window.window = 11;
  capped.softcap = 1.5f;
  masked.causal = false;
  masked.key_mask.assign(178, 1);
  for (const size_t j : {0u, 3u, 64u, 99u, 140u}) masked.key_mask[j] = 0;
  slopes.alibi = {0.5f, 0.25f, 0.1f, 0.02f};
  both.causal = false;
  both.window = 20;
  both.softcap = 2;
  return {{"causal", square, 4, 4, causal},        {"grouped heads", square, 6, 2, causal}, {"every key", cross, 4, 1, full},
          {"window", square, 4, 2, window},        {"softcap", square, 2, 2, capped},       {"key mask", cross, 4, 2, masked},
          {"slopes", square, 4, 4, slopes},        {"window on both sides", square, 2, 1, both},
          {"bias of the pairs", square, 4, 2, full, {4, 70, 70}}, {"bias of each sequence", cross, 2, 2, full, {3, 2, 24, 131}},
          {"bias of the keys", cross, 4, 4, masked, {4, 1, 131}}, {"bias of the distance", square, 4, 2, causal, {}, {4, 151}}};
}

struct Result {
  std::vector<std::vector<float>> all;  // the output and the gradients of all inputs
};

Result run(const DroppingCase& c, decltype(&plain_attention) attention, int64_t dim) {
  int64_t queries = 0, keys = 0;
  for (const Sequence& s : c.sequences) queries += s.q_count, keys += s.k_count;
  std::vector<Tensor> inputs = {sample_tensor({queries, c.heads, dim}), sample_tensor({keys, c.kv_heads, dim}, 1), sample_tensor({keys, c.kv_heads, dim}, 2)};
  for (Tensor& x : inputs) x = requires_grad(x);
  AttentionConfig config = c.config;
  config.dropout = kDrop;
  config.dropout_seed = kSeed;
  config.dropout_stream = kStream;
  if (!config.key_mask.empty()) config.key_mask.resize(static_cast<size_t>(keys), 1);
  if (c.bias.rank() > 0) inputs.push_back(config.bias = requires_grad(sample_tensor(c.bias, 3)));
  if (c.distance_bias.rank() > 0) inputs.push_back(config.distance_bias = requires_grad(sample_tensor(c.distance_bias, 4)));
  const Tensor y = attention(inputs[0], inputs[1], inputs[2], c.sequences, config);
  backward(y, sample_tensor(y.shape(), 99));
  Result result{{y.to_vector()}};
  for (const Tensor& x : inputs) result.all.push_back(grad(x).to_vector());
  return result;
}

TEST(AttentionDropout, IsThatOfPlainOps) {
  for (const DroppingCase& c : cases())
    for (const int64_t dim : {8, 21}) {
      SCOPED_TRACE(c.name);
      const Result got = run(c, scaled_dot_product_attention, dim), want = run(c, plain_attention, dim);
      ASSERT_EQ(got.all.size(), want.all.size());
      for (size_t t = 0; t < got.all.size(); ++t) {
        float largest = 1;
        for (const float x : want.all[t]) largest = std::max(largest, std::abs(x));
        ASSERT_EQ(got.all[t].size(), want.all[t].size());
        for (size_t i = 0; i < got.all[t].size(); ++i) ASSERT_NEAR(got.all[t][i], want.all[t][i], 1e-5f * largest) << "tensor " << t << ", element " << i;
      }
    }
}

// Equal scores, and values that are unit vectors: the output is the mask itself.
std::vector<float> mask_of(uint64_t seed, uint64_t stream, float p, int64_t rows, int64_t keys) {
  Tensor v = Tensor::zeros({keys, 1, keys});
  for (int64_t j = 0; j < keys; ++j) v.data<float>()[j * keys + j] = static_cast<float>(keys) * (1 - p);
  AttentionConfig config;
  config.causal = false;
  config.dropout = p;
  config.dropout_seed = seed;
  config.dropout_stream = stream;
  return scaled_dot_product_attention(Tensor::zeros({rows, 1, keys}), Tensor::zeros({keys, 1, keys}), v, std::vector<Sequence>{{0, rows, 0, keys}}, config).to_vector();
}

// Shares within five standard deviations of what they would be by chance.
void expect_share(int64_t count, int64_t of, double p) {
  EXPECT_NEAR(static_cast<double>(count) / static_cast<double>(of), p, 5 * std::sqrt(p * (1 - p) / static_cast<double>(of)));
}

TEST(AttentionDropout, DropsItsShareOfEveryRowAndKeyAndNeighboursApart) {
  constexpr int64_t kRows = 500, kKeys = 200;
  for (const float p : {0.1f, 0.5f}) {
    const auto mask = mask_of(kSeed, kStream, p, kRows, kKeys);
    const auto dropped = [&](int64_t row, int64_t key) { return mask[static_cast<size_t>(row * kKeys + key)] == 0; };
    int64_t all = 0, below = 0, beside = 0, next_sixteen = 0;
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t j = 0; j < kKeys; ++j) {
        ASSERT_TRUE(dropped(r, j) || std::abs(mask[static_cast<size_t>(r * kKeys + j)] - 1) < 1e-5f);
        all += dropped(r, j);
        below += r + 1 < kRows && dropped(r, j) && dropped(r + 1, j);
        beside += j + 1 < kKeys && dropped(r, j) && dropped(r, j + 1);
        next_sixteen += j + 16 < kKeys && dropped(r, j) && dropped(r, j + 16);
      }
    const double square = static_cast<double>(p) * static_cast<double>(p);
    expect_share(all, kRows * kKeys, p);
    expect_share(below, (kRows - 1) * kKeys, square);
    expect_share(beside, kRows * (kKeys - 1), square);
    expect_share(next_sixteen, kRows * (kKeys - 16), square);
    for (int64_t r = 0; r < kRows; ++r) {
      int64_t of_row = 0;
      for (int64_t j = 0; j < kKeys; ++j) of_row += dropped(r, j);
      expect_share(of_row, kKeys, p);
    }
    for (int64_t j = 0; j < kKeys; ++j) {
      int64_t of_key = 0;
      for (int64_t r = 0; r < kRows; ++r) of_key += dropped(r, j);
      expect_share(of_key, kRows, p);
    }
    EXPECT_NE(mask, mask_of(kSeed + 1, kStream, p, kRows, kKeys));
    EXPECT_NE(mask, mask_of(kSeed, kStream + 1, p, kRows, kKeys));
  }
}

TEST(AttentionDropout, RefusesWhatIsNoProbability) {
  EXPECT_THROW(mask_of(1, 2, 1.0f, 1, 1), Error);
  EXPECT_THROW(mask_of(1, 2, -0.1f, 1, 1), Error);
}

}  // namespace
}  // namespace mynah
