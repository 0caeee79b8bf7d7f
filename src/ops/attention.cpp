// Scaled dot product attention over ragged sequences: checks, the tape, and the way to the kernels' drivers.
#include "ops/attention.h"

#include <array>
#include <cmath>

#include "ops/dropout_mask.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// x [N, H, D] as rows of heads: a slice of joined q, k, v rows needs no copy, for heads are dense and rows strided.
Tensor head_rows(const Tensor& x) {
  const bool sliced = x.dtype() == DType::f32 && x.stride(2) == 1 && (x.stride(1) == x.size(2) || x.size(1) == 1);
  return sliced ? x : ops::input(x);
}
ops::HeadRows rows_of(const Tensor& x) { return {x.data<float>(), x.stride(0)}; }
ops::MutableHeadRows rows_of(Tensor& x) { return {x.data<float>(), x.stride(0)}; }

bool has_bias(const AttentionConfig& config) { return config.bias.defined() || config.distance_bias.defined(); }
// The bias of either kind, as the kernels read it.
Tensor bias_of(const AttentionConfig& config) {
  require(!config.bias.defined() || !config.distance_bias.defined(), "attention: bias and distance_bias exclude each other");
  return has_bias(config) ? ops::input(config.bias.defined() ? config.bias : config.distance_bias) : Tensor();
}

// `bias` is bias_of(config).
ops::AttentionOptions options_of(const AttentionConfig& config, int64_t heads, int64_t head_dim, const Tensor& bias) {
  require(config.alibi.empty() || static_cast<int64_t>(config.alibi.size()) == heads,
          "attention: got {} slopes for {} heads", config.alibi.size(), heads);
  ops::AttentionOptions options;
  options.scale = config.scale != 0 ? config.scale : 1 / std::sqrt(static_cast<float>(head_dim));
  options.causal = config.causal;
  options.window = config.window;
  options.softcap = config.softcap;
  options.precision = config.precision;
  options.dropout = ops::dropout_mask("attention", config.dropout, config.dropout_seed, config.dropout_stream);
  options.alibi_slopes = config.alibi.empty() ? nullptr : config.alibi.data();
  if (!bias.defined()) return options;
  const bool distance = config.distance_bias.defined();
  require(distance ? bias.rank() == 2 && bias.size(0) == heads && bias.size(1) % 2 == 1
                   : (bias.rank() == 3 || bias.rank() == 4) && bias.size(-3) == heads,
          "attention: {} has shape {}, expected {} for {} heads", distance ? "distance_bias" : "bias", bias.shape().str(),
          distance ? "[H, 2R - 1]" : "[H, Tq, Tk] or [S, H, Tq, Tk]", heads);
  options.bias = bias.data<float>();
  options.bias_head_stride = distance ? bias.size(1) : bias.size(-2) * bias.size(-1);
  // One query further, every distance is one less; a bias of the keys is the same for all queries.
  options.bias_query_stride = distance ? -1 : bias.size(-2) == 1 ? 0 : bias.size(-1);
  return options;
}

// Where each sequence reads the bias, which must reach over all of it.
void place_bias(const AttentionConfig& config, const Tensor& bias, std::vector<ops::AttentionSpan>& spans) {
  if (!bias.defined()) return;
  for (size_t i = 0; i < spans.size(); ++i) {
    ops::AttentionSpan& s = spans[i];
    if (config.distance_bias.defined()) {
      const int64_t reach = bias.size(1) / 2, first = s.k_count - s.q_count;
      require(s.k_count - 1 <= reach && first >= 0, "attention: distance_bias reaches over {} positions, a sequence has {} keys and {} queries",
              reach + 1, s.k_count, s.q_count);
      s.bias_offset = reach - first;
    } else {
      require((s.q_count <= bias.size(-2) || bias.size(-2) == 1) && s.k_count <= bias.size(-1) && (bias.rank() == 3 || static_cast<int64_t>(i) < bias.size(0)),
              "attention: bias has shape {}, sequence {} has {} queries and {} keys", bias.shape().str(), i, s.q_count, s.k_count);
      if (bias.rank() == 4) s.bias_offset = static_cast<int64_t>(i) * bias.stride(0);
    }
  }
}

std::vector<ops::AttentionSpan> spans_of(std::span<const Sequence> sequences, int64_t queries, int64_t keys,
                                         const uint8_t* mask) {
  std::vector<ops::AttentionSpan> spans;
  for (const Sequence& s : sequences) {
    require(s.q_begin >= 0 && s.q_count >= 0 && s.q_begin + s.q_count <= queries && s.k_begin >= 0 && s.k_count >= 0 &&
                s.k_begin + s.k_count <= keys,
            "attention: a sequence has queries {}+{} of {} and keys {}+{} of {}", s.q_begin, s.q_count, queries,
            s.k_begin, s.k_count, keys);
    spans.push_back({s.q_begin, s.q_count, s.k_begin, s.k_count, nullptr, mask ? mask + s.k_begin : nullptr});
  }
  return spans;
}

// What the backward pass needs besides q, k, v and the output; key_mask and slopes live in config.
struct Saved {
  AttentionConfig config;
  std::vector<Sequence> sequences;
  Tensor lse;
};

// True if every one of `rows` rows is in one of the sequences, as queries or as keys.
bool cover(std::span<const Sequence> sequences, int64_t rows, int64_t Sequence::*begin, int64_t Sequence::*count) {
  int64_t next = 0;
  for (const Sequence& s : sequences) {
    if (s.*begin != next) return false;
    next += s.*count;
  }
  return next == rows;
}

// Room for the gradients of q, k and v: slices of one tensor where q, k and v are slices of one.
struct HeadGradients {
  HeadGradients(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<int64_t>& columns, std::span<const Sequence> sequences) {
    const bool all_q = cover(sequences, q.size(0), &Sequence::q_begin, &Sequence::q_count), all_k = cover(sequences, k.size(0), &Sequence::k_begin, &Sequence::k_count);
    const auto room = [](const Shape& shape, bool written) { return written ? Tensor::empty(shape) : Tensor::zeros(shape); };
    if (columns.empty()) {
      dq = room(q.shape(), all_q);
      dk = room(k.shape(), all_k);
      dv = room(v.shape(), all_k);
      return;
    }
    whole = room({q.size(0), q.stride(0)}, all_q && all_k);
    const auto part = [&](const Tensor& t, int64_t column) { return whole.as_strided(t.shape(), t.strides(), column); };
    dq = part(q, columns[0]);
    dk = part(k, columns[1]);
    dv = part(v, columns[2]);
  }
  Grads all() const { return whole.defined() ? Grads{whole} : Grads{dq, dk, dv}; }

  Tensor whole, dq, dk, dv;
};

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                                    std::span<const Sequence> sequences, const AttentionConfig& config) {
  require(q_in.rank() == 3 && k_in.rank() == 3 && v_in.shape() == k_in.shape() && q_in.size(2) == k_in.size(2) &&
              k_in.size(1) > 0 && q_in.size(1) % k_in.size(1) == 0,
          "attention: q {}, k {}, v {}; expected [Nq,H,D] and [Nk,Hkv,D] twice, H a multiple of Hkv",
          q_in.shape().str(), k_in.shape().str(), v_in.shape().str());
  require(config.key_mask.empty() || static_cast<int64_t>(config.key_mask.size()) == k_in.size(0),
          "attention: key_mask has {} entries, k has {} rows", config.key_mask.size(), k_in.size(0));
  const Tensor q = head_rows(q_in), k = head_rows(k_in), v = head_rows(v_in);
  const ops::AttentionShape shape{q.size(1), k.size(1), q.size(2)};
  const uint8_t* mask = config.key_mask.empty() ? nullptr : config.key_mask.data();
  const Tensor bias = bias_of(config);
  auto spans = spans_of(sequences, q.size(0), k.size(0), mask);
  place_bias(config, bias, spans);
  int64_t covered = 0;
  for (const Sequence& s : sequences) covered += s.q_count;
  Tensor y = covered == q.size(0) ? Tensor::empty(q.shape()) : Tensor::zeros(q.shape());
  const Tensor& tracked_bias = config.bias.defined() ? config.bias : config.distance_bias;
  const bool save = bias.defined() ? tracked({&q, &k, &v, &tracked_bias}) : tracked({&q, &k, &v});
  Tensor lse = save ? Tensor::empty({q.size(0), shape.heads}) : Tensor();
  ops::attention_forward(shape, rows_of(q), rows_of(k), rows_of(v), spans,
                         options_of(config, shape.heads, shape.head_dim, bias), rows_of(y),
                         save ? lse.data<float>() : nullptr);
  if (!save) return y;
  Saved saved{config, {sequences.begin(), sequences.end()}, lse};
  if (saved.config.bias.defined()) saved.config.bias = saved.config.bias.detach();
  if (saved.config.distance_bias.defined()) saved.config.distance_bias = saved.config.distance_bias.detach();
  const Whole joined = whole_of(std::array{q, k, v});
  std::vector<Tensor> inputs = joined.matrix.defined() ? std::vector{joined.matrix} : std::vector{q, k, v};
  const bool wants_bias = bias.defined() && tracked({&tracked_bias});
  if (wants_bias) inputs.push_back(tracked_bias);
  return record(y, inputs,
                [saved = std::move(saved), shape, wants_bias, columns = joined.columns, bias = bias.defined() ? bias.detach() : Tensor(), q = q.detach(), k = k.detach(),
                 v = v.detach(), y = y.detach()](const Tensor& g) {
                  HeadGradients to(q, k, v, columns, saved.sequences);
                  const uint8_t* hidden = saved.config.key_mask.empty() ? nullptr : saved.config.key_mask.data();
                  auto parts = spans_of(saved.sequences, q.size(0), k.size(0), hidden);
                  place_bias(saved.config, bias, parts);
                  Tensor dbias = wants_bias ? Tensor::zeros(bias.shape()) : Tensor();
                  const Tensor dy = head_rows(g);
                  ops::attention_backward(shape, rows_of(q), rows_of(k), rows_of(v), rows_of(y),
                                          saved.lse.data<float>(), rows_of(dy), parts,
                                          options_of(saved.config, shape.heads, shape.head_dim, bias),
                                          {rows_of(to.dq), rows_of(to.dk), rows_of(to.dv), wants_bias ? dbias.data<float>() : nullptr});
                  Grads grads = to.all();
                  if (wants_bias) grads.push_back(dbias);
                  return grads;
                });
}

namespace ops {

Tensor cached_attention(const Tensor& q_in, std::span<const Sequence> sequences, std::span<const KvBlocks> cached,
                        int64_t kv_heads, const AttentionConfig& config) {
  require(q_in.rank() == 3 && kv_heads > 0, "attention: q {}, expected [Nq,H,D]", q_in.shape().str());
  require(config.key_mask.empty(), "attention: a key mask with a cache, expected none");
  require(sequences.size() == cached.size(), "attention: {} sequences with {} caches", sequences.size(), cached.size());
  const Tensor q = head_rows(q_in);
  const AttentionShape shape{q.size(1), kv_heads, q.size(2)};
  Tensor y = Tensor::empty(q.shape());
  thread_local std::vector<AttentionSpan> spans;  // kept, so that a decoding step allocates nothing
  spans.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& s = sequences[i];
    require(s.q_begin >= 0 && s.q_count >= 0 && s.q_begin + s.q_count <= q.size(0),
            "attention: a sequence has queries {}+{} of {}", s.q_begin, s.q_count, q.size(0));
    spans.push_back({s.q_begin, s.q_count, 0, s.k_count, &cached[i]});
  }
  const Tensor bias = bias_of(config);
  place_bias(config, bias, spans);
  AttentionOptions options = options_of(config, shape.heads, shape.head_dim, bias);
  options.precision = DType::bf16;  // where the cache is
  attention_forward(shape, rows_of(q), {}, {}, spans, options, rows_of(y), nullptr);
  return y;
}

}  // namespace ops

namespace {

std::vector<OpSample> samples() {
  const auto call = [](std::vector<Sequence> sequences, AttentionConfig config) {
    return [=](const std::vector<Tensor>& in) {
      return scaled_dot_product_attention(in[0], in[1], in[2], sequences, config);
    };
  };
  const auto inputs = [](int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, int64_t dim) {
    return std::vector<Tensor>{sample_tensor({queries, heads, dim}), sample_tensor({keys, kv_heads, dim}, 1),
                               sample_tensor({keys, kv_heads, dim}, 2)};
  };
  AttentionConfig full, window, capped, masked, dropping;
  full.causal = false;
  window.window = 2;
  capped.softcap = 1.5f;
  capped.alibi = {0.5f, 0.25f};
  masked.causal = false;
  masked.key_mask = {1, 0, 1, 1, 1};
  dropping.dropout = 0.4f;
  dropping.dropout_seed = 7;
  const auto biased = [](std::vector<Sequence> sequences, AttentionConfig config, bool distance) {
    return [=](const std::vector<Tensor>& in) mutable {
      (distance ? config.distance_bias : config.bias) = in[3];
      return scaled_dot_product_attention(in[0], in[1], in[2], sequences, config);
    };
  };
  const auto with_bias = [&](std::vector<Tensor> in, const Shape& shape) {
    in.push_back(sample_tensor(shape, 3));
    return in;
  };
  return {{"causal, grouped heads", inputs(5, 5, 4, 2, 6), call({{0, 2, 0, 2}, {2, 3, 2, 3}}, {})},
          {"every key", inputs(3, 5, 2, 2, 4), call({{0, 3, 0, 5}}, full)},
          {"window", inputs(4, 5, 2, 1, 4), call({{0, 4, 0, 5}}, window)},
          {"softcap and slopes", inputs(4, 4, 2, 2, 4), call({{0, 4, 0, 4}}, capped)},
          {"key mask", inputs(4, 5, 2, 2, 4), call({{0, 4, 0, 5}}, masked)},
          {"dropout", inputs(5, 20, 4, 2, 6), call({{0, 2, 0, 2}, {2, 3, 2, 18}}, dropping)},
          {"bias of the pairs", with_bias(inputs(4, 5, 4, 2, 4), {4, 3, 4}), biased({{0, 3, 0, 4}, {3, 1, 4, 1}}, full, false)},
          {"bias of each sequence", with_bias(inputs(4, 5, 2, 2, 4), {2, 2, 3, 4}), biased({{0, 3, 0, 4}, {3, 1, 4, 1}}, full, false)},
          {"bias of the keys", with_bias(inputs(4, 5, 4, 2, 4), {4, 1, 4}), biased({{0, 3, 0, 4}, {3, 1, 4, 1}}, full, false)},
          {"bias of the distance", with_bias(inputs(5, 6, 4, 2, 4), {4, 9}), biased({{0, 3, 0, 4}, {3, 2, 4, 2}}, {}, true)}};
}

}  // namespace

extern const OpEntry op_scaled_dot_product_attention{"scaled_dot_product_attention",
                                                     "q [Nq, H, D], k and v [Nk, Hkv, D] -> [Nq, H, D]",
                                                     "arXiv:1706.03762, arXiv:2205.14135", samples};

}  // namespace mynah
