#include "ops/selective_scan.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

using ops::ScanSequence;

constexpr int64_t kChannels = 64;  // that are scanned together: their states stay in the first-level cache

struct Scan {
  Tensor x, step, a, b, c;
  std::vector<ScanSequence> sequences;
  int64_t rows() const { return x.size(0); }
  int64_t channels() const { return x.size(1); }
  int64_t elements() const { return a.size(1); }
  int64_t chunks() const { return (channels() + kChannels - 1) / kChannels; }
};

// The channels [first, first + count) of a scan, with room for a row of each of their numbers. Element s of channel i stands at
// s * kChannels + i, and channels that the last chunk lacks are zeros, so that loops over channels have a fixed length.
class Chunk {
 public:
  Chunk(const Scan& scan, int64_t index)
      : s_(scan), first_(index * kChannels), count_(std::min(kChannels, scan.channels() - first_)), size_(scan.elements() * kChannels),
        a(static_cast<size_t>(size_)), decay(static_cast<size_t>(size_)), x(kChannels), d(kChannels), drive(kChannels) {
    for (int64_t i = 0; i < count_; ++i)
      for (int64_t e = 0; e < scan.elements(); ++e) a[static_cast<size_t>(e * kChannels + i)] = scan.a.data<float>()[(first_ + i) * scan.elements() + e];
  }

  // What row t brings: x, d = softplus(step), drive = d x, and decay = exp(d a).
  void read(int64_t t) {
    load(s_.x, t, x);
    load(s_.step, t, d);
    kernels::rows().unary(kernels::Unary::softplus, d.data(), d.data(), kChannels);
    for (int64_t i = 0; i < kChannels; ++i) drive[static_cast<size_t>(i)] = d[static_cast<size_t>(i)] * x[static_cast<size_t>(i)];
    for (int64_t e = 0; e < s_.elements(); ++e) {
      const float* from = a.data() + e * kChannels;
      float* to = decay.data() + e * kChannels;
      for (int64_t i = 0; i < kChannels; ++i) to[i] = d[static_cast<size_t>(i)] * from[i];
    }
    kernels::rows().unary(kernels::Unary::exp, decay.data(), decay.data(), size_);
  }
  // h = decay h + drive b_t
  void advance(int64_t t, const float* before, float* h) const {
    const float* b = s_.b.data<float>() + t * s_.elements();
    for (int64_t e = 0; e < s_.elements(); ++e)
      for (int64_t i = 0; i < kChannels; ++i) {
        const int64_t at = e * kChannels + i;
        h[at] = decay[static_cast<size_t>(at)] * before[at] + drive[static_cast<size_t>(i)] * b[e];
      }
  }
  void load(const Tensor& rows, int64_t t, std::vector<float>& to) const {
    std::fill(std::copy_n(rows.data<float>() + t * s_.channels() + first_, count_, to.begin()), to.end(), 0.0f);
  }
  void store(const float* from, Tensor& rows, int64_t t) const { std::copy_n(from, count_, rows.data<float>() + t * s_.channels() + first_); }
  void load_state(const float* state, float* h) const {
    std::fill_n(h, size_, 0.0f);
    for (int64_t e = 0; state && e < s_.elements(); ++e) std::copy_n(state + e * s_.channels() + first_, count_, h + e * kChannels);
  }
  void store_state(const float* h, float* state) const {
    for (int64_t e = 0; state && e < s_.elements(); ++e) std::copy_n(h + e * kChannels, count_, state + e * s_.channels() + first_);
  }
  int64_t first() const { return first_; }
  int64_t count() const { return count_; }
  int64_t size() const { return size_; }

 private:
  const Scan& s_;
  int64_t first_, count_, size_;

 public:
  std::vector<float> a, decay;     // [S, kChannels]
  std::vector<float> x, d, drive;  // [kChannels]
};

void forward(const Scan& scan, int64_t index, Tensor& y) {
  Chunk chunk(scan, index);
  std::vector<float> h(static_cast<size_t>(chunk.size())), out(kChannels);
  int64_t t = 0;
  for (const ScanSequence& sequence : scan.sequences) {
    chunk.load_state(sequence.state, h.data());
    for (const int64_t end = t + sequence.count; t < end; ++t) {
      chunk.read(t);
      chunk.advance(t, h.data(), h.data());
      const float* c = scan.c.data<float>() + t * scan.elements();
      std::fill(out.begin(), out.end(), 0.0f);
      for (int64_t e = 0; e < scan.elements(); ++e)
        for (int64_t i = 0; i < kChannels; ++i) out[static_cast<size_t>(i)] += h[static_cast<size_t>(e * kChannels + i)] * c[e];
      chunk.store(out.data(), y, t);
    }
    chunk.store_state(h.data(), sequence.state);
  }
}

struct Gradients {
  Tensor x, step, a;
  std::vector<Tensor> b, c;  // of each chunk's channels alone
};

// With G_t the gradient of h_t: G_t = g_t c_t + exp(d_{t+1} a) G_{t+1}. From it come those of b (G d x), c (g h), x (G d b) and, through
// E_t = G_t exp(d_t a) h_{t-1}, of a (E d) and d (E a + G x b). The states are computed once more and kept.
void backward(const Scan& scan, const Tensor& g, int64_t index, Gradients& out) {
  const int64_t elements = scan.elements();
  Chunk chunk(scan, index);
  std::vector<float> gradient(static_cast<size_t>(chunk.size())), da(gradient.size()), gy(kChannels), dx(kChannels), dd(kChannels), slope(kChannels), states;
  Tensor &db = out.b[static_cast<size_t>(index)], &dc = out.c[static_cast<size_t>(index)];
  int64_t first = 0;
  for (const ScanSequence& sequence : scan.sequences) {
    states.assign(static_cast<size_t>((sequence.count + 1) * chunk.size()), 0.0f);
    for (int64_t t = 0; t < sequence.count; ++t) {
      chunk.read(first + t);
      chunk.advance(first + t, states.data() + t * chunk.size(), states.data() + (t + 1) * chunk.size());
    }
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    for (int64_t t = sequence.count; t-- > 0;) {
      const int64_t row = first + t;
      const float *b = scan.b.data<float>() + row * elements, *c = scan.c.data<float>() + row * elements;
      chunk.read(row);
      chunk.load(g, row, gy);
      std::fill(dx.begin(), dx.end(), 0.0f);
      std::fill(dd.begin(), dd.end(), 0.0f);
      for (int64_t e = 0; e < elements; ++e) {
        const float *before = states.data() + t * chunk.size() + e * kChannels, *after = before + chunk.size(), *a = chunk.a.data() + e * kChannels;
        float b_sum = 0, c_sum = 0;
        for (int64_t i = 0; i < kChannels; ++i) {
          const auto at = static_cast<size_t>(i);
          float& now = gradient[static_cast<size_t>(e * kChannels + i)];
          now += gy[at] * c[e];
          c_sum += gy[at] * after[i];
          b_sum += now * chunk.drive[at];
          dx[at] += now * b[e];
          const float faded = now * chunk.decay[static_cast<size_t>(e * kChannels + i)], moved = faded * before[i];
          da[static_cast<size_t>(e * kChannels + i)] += moved * chunk.d[at];
          dd[at] += moved * a[i];
          now = faded;
        }
        db.data<float>()[row * elements + e] = b_sum;
        dc.data<float>()[row * elements + e] = c_sum;
      }
      for (size_t i = 0; i < static_cast<size_t>(kChannels); ++i) {
        dd[i] += dx[i] * chunk.x[i];
        dx[i] *= chunk.d[i];
      }
      chunk.load(scan.step, row, slope);
      kernels::rows().unary_backward(kernels::Unary::softplus, slope.data(), nullptr, dd.data(), dd.data(), kChannels);
      chunk.store(dx.data(), out.x, row);
      chunk.store(dd.data(), out.step, row);
    }
    first += sequence.count;
  }
  for (int64_t i = 0; i < chunk.count(); ++i)
    for (int64_t e = 0; e < elements; ++e) out.a.data<float>()[(chunk.first() + i) * elements + e] = da[static_cast<size_t>(e * kChannels + i)];
}

// The sum of all chunks' parts, in order.
Tensor total(const std::vector<Tensor>& parts) {
  Tensor all = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) kernels::rows().axpy(1, parts[i].data<float>(), all.data<float>(), all.numel());
  return all;
}

}  // namespace

Tensor ops::selective_scan(const Tensor& x, const Tensor& step, const Tensor& a, const Tensor& b, const Tensor& c, std::span<const ScanSequence> sequences) {
  require(x.rank() == 2 && x.shape() == step.shape() && a.rank() == 2 && a.size(0) == x.size(1) && b.shape() == c.shape() && b.shape() == Shape({x.size(0), a.size(1)}),
          "selective_scan: x {}, step {}, a {}, b {}, c {}; expected [N,C], [N,C], [C,S], [N,S], [N,S]", x.shape().str(), step.shape().str(), a.shape().str(), b.shape().str(),
          c.shape().str());
  int64_t rows = 0;
  for (const ScanSequence& s : sequences) rows += s.count;
  require(rows == x.size(0), "selective_scan: sequences have {} rows, x has {}", rows, x.size(0));
  Scan scan{input(x), input(step), input(a), input(b), input(c), {sequences.begin(), sequences.end()}};
  Tensor y = Tensor::empty(x.shape());
  thread_pool().run(scan.chunks(), [&](int64_t i) { forward(scan, i, y); });
  if (!tracked({&scan.x, &scan.step, &scan.a, &scan.b, &scan.c})) return y;
  for (const ScanSequence& s : sequences) require(s.state == nullptr, "selective_scan: a scan that goes on from a state cannot be trained");
  return record(y, {scan.x, scan.step, scan.a, scan.b, scan.c}, [scan](const Tensor& g_in) {
    const Tensor g = input(g_in);
    Gradients out{Tensor::empty(scan.x.shape()), Tensor::empty(scan.x.shape()), Tensor::empty(scan.a.shape()), {}, {}};
    for (int64_t i = 0; i < scan.chunks(); ++i) {
      out.b.push_back(Tensor::empty(scan.b.shape()));
      out.c.push_back(Tensor::empty(scan.c.shape()));
    }
    thread_pool().run(scan.chunks(), [&](int64_t i) { backward(scan, g, i, out); });
    return Grads{out.x, out.step, out.a, total(out.b), total(out.c)};
  });
}

namespace {

std::vector<OpSample> samples() {
  static const std::vector<ScanSequence> two = {{4, nullptr}, {3, nullptr}}, one = {{512, nullptr}};
  const auto inputs = [](int64_t rows, int64_t channels, int64_t elements) {
    return std::vector<Tensor>{sample_tensor({rows, channels}), sample_tensor({rows, channels}, 1), sample_tensor({channels, elements}, 2, -2, 0.2f),
                               sample_tensor({rows, elements}, 3), sample_tensor({rows, elements}, 4)};
  };
  const auto scan = [](std::span<const ScanSequence> sequences) {
    return [sequences](const std::vector<Tensor>& in) { return ops::selective_scan(in[0], in[1], in[2], in[3], in[4], sequences); };
  };
  return {{"two sequences", inputs(7, 5, 3), scan(two)},
          {"more channels than are scanned together", inputs(7, kChannels + 6, 2), scan(two)},
          {"benchmark", inputs(512, 1536, 16), scan(one), -1, false, 512.0 * 1536 * 16 * 6}};
}

}  // namespace

extern const OpEntry op_selective_scan{"selective_scan", "x and step [N, C], a [C, S], b and c [N, S] -> [N, C]", "arXiv:2312.00752", samples};

}  // namespace mynah
