// Elementwise binary ops with broadcasting, and where.
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {

namespace ops {

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<int64_t, Shape::kMaxRank> dims{};
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    require(da == db || da == 1 || db == 1, "{}: shapes {} and {} do not broadcast", op, a.str(), b.str());
    dims[i] = da == 1 ? db : da;
  }
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank)));
}

Tensor reduce_to(const Tensor& g, const Shape& shape) {
  if (g.shape() == shape) return g;
  Tensor out = Tensor::zeros(shape);
  // The target seen with g's rank: stride 0 along summed dimensions.
  const Shape full = contiguous_strides(shape);
  std::array<int64_t, Shape::kMaxRank> strides{}, index{};
  const int extra = g.rank() - shape.rank();
  for (int i = extra; i < g.rank(); ++i) strides[i] = shape[i - extra] == 1 ? 0 : full[i - extra];
  const float* from = g.data<float>();
  float* to = out.data<float>();
  const int64_t inner = columns(g), step = g.rank() ? strides[g.rank() - 1] : 0;
  for (int64_t row = 0, n = inner ? g.numel() / inner : 0; row < n; ++row) {
    int64_t at = 0;
    for (int d = 0; d + 1 < g.rank(); ++d) at += index[d] * strides[d];
    if (step == 1) kernels::rows().axpy(1.0f, from + row * inner, to + at, inner);
    else to[at] += static_cast<float>(kernels::rows().sum(from + row * inner, inner));
    for (int d = g.rank() - 2; d >= 0 && ++index[d] == g.size(d); --d) index[d] = 0;
  }
  return out;
}

}  // namespace ops

namespace {

using kernels::Binary;

constexpr int64_t kGrain = 1 << 14;  // elements per piece of work

constexpr const char* kNames[] = {"add", "sub", "mul", "div", "maximum", "minimum"};

// y = a op b, not recorded; a and b contiguous f32 of shapes that broadcast to `shape`.
Tensor apply(Binary op, const Tensor& a, const Tensor& b, const Shape& shape) {
  const auto& k = kernels::rows();
  Tensor y = Tensor::empty(shape);
  float* out = y.data<float>();
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const int64_t n = y.numel();
  if (a.shape() == b.shape()) {
    parallel_for(n, kGrain, [&](int64_t i, int64_t end) { k.binary(op, pa + i, pb + i, out + i, end - i); });
  } else if (b.numel() == 1) {
    parallel_for(n, kGrain, [&](int64_t i, int64_t end) { k.binary_scalar(op, pa + i, *pb, out + i, end - i); });
  } else if (a.shape() == shape && b.numel() == ops::columns(b) && ops::columns(b) == ops::columns(a)) {
    const int64_t c = ops::columns(a);
    parallel_for(ops::rows(a), ops::row_grain(c), [&](int64_t r, int64_t end) { k.binary_row(op, pa + r * c, pb, out + r * c, end - r, c); });
  } else {
    const Tensor ea = contiguous(expand(a, shape)), eb = contiguous(expand(b, shape));
    k.binary(op, ea.data<float>(), eb.data<float>(), out, n);
  }
  return y;
}

Grads gradients(Binary op, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& g) {
  NoGrad no_grad;
  const bool want_a = a.requires_grad(), want_b = b.requires_grad();
  Tensor da, db;
  switch (op) {
    case Binary::add:
      if (want_a) da = g;
      if (want_b) db = g;
      break;
    case Binary::sub:
      if (want_a) da = g;
      if (want_b) db = neg(g);
      break;
    case Binary::mul:
      if (want_a) da = mul(g, b);
      if (want_b) db = mul(g, a);
      break;
    case Binary::div:
      if (want_a) da = div(g, b);
      if (want_b) db = neg(div(mul(g, y), b));
      break;
    case Binary::max:
    case Binary::min: {
      // Ties give half to each, as in PyTorch.
      da = Tensor::empty(g.shape());
      db = Tensor::empty(g.shape());
      const Tensor ea = contiguous(expand(a.detach(), g.shape())), eb = contiguous(expand(b.detach(), g.shape()));
      const float *left = ea.data<float>(), *right = eb.data<float>(), *given = g.data<float>();
      float *to_a = da.data<float>(), *to_b = db.data<float>();
      for (int64_t i = 0, n = g.numel(); i < n; ++i) {
        const float x = left[i], z = right[i];
        const float share = x == z ? 0.5f : ((x > z) == (op == Binary::max) ? 1.0f : 0.0f);
        to_a[i] = share * given[i];
        to_b[i] = (1 - share) * given[i];
      }
      break;
    }
  }
  if (da.defined()) da = want_a ? ops::reduce_to(da, a.shape()) : Tensor();
  if (db.defined()) db = want_b ? ops::reduce_to(db, b.shape()) : Tensor();
  return {da, db};
}

Tensor binary(Binary op, const Tensor& left, const Tensor& right) {
  const Tensor a = ops::input(left), b = ops::input(right);
  const Shape shape = ops::broadcast_shape(kNames[static_cast<int>(op)], a.shape(), b.shape());
  Tensor y = apply(op, a, b, shape);
  if (!tracked({&a, &b})) return y;
  const Tensor kept = op == Binary::div ? y : Tensor();
  return record(y, {a, b}, [op, a, b, kept](const Tensor& g) { return gradients(op, a, b, kept, g); });
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return binary(Binary::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return binary(Binary::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return binary(Binary::mul, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary(Binary::div, a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return binary(Binary::max, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return binary(Binary::min, a, b); }

Tensor add(const Tensor& x, float b) {
  const Tensor a = ops::input(x);
  Tensor y = Tensor::empty(a.shape());
  parallel_for(a.numel(), kGrain, [&](int64_t i, int64_t end) {
    kernels::rows().binary_scalar(Binary::add, a.data<float>() + i, b, y.data<float>() + i, end - i);
  });
  return record(y, {a}, [](const Tensor& g) { return Grads{g}; });
}

Tensor mul(const Tensor& x, float b) {
  const Tensor a = ops::input(x);
  Tensor y = Tensor::empty(a.shape());
  parallel_for(a.numel(), kGrain, [&](int64_t i, int64_t end) { kernels::rows().scale(b, a.data<float>() + i, y.data<float>() + i, end - i); });
  return record(y, {a}, [b](const Tensor& g) { return Grads{mul(g, b)}; });
}

Tensor where(const Tensor& condition, const Tensor& left, const Tensor& right) {
  require(block_bytes(condition.dtype()) == 1, "where: the condition is {}, expected bool or u8", name(condition.dtype()));
  const Tensor a = ops::input(left), b = ops::input(right);
  const Shape shape = ops::broadcast_shape("where", ops::broadcast_shape("where", condition.shape(), a.shape()), b.shape());
  const Tensor c = contiguous(expand(condition, shape)), ea = contiguous(expand(a.detach(), shape)), eb = contiguous(expand(b.detach(), shape));
  Tensor y = Tensor::empty(shape);
  const uint8_t* chosen = c.data<uint8_t>();
  const float *if_true = ea.data<float>(), *if_false = eb.data<float>();
  float* to = y.data<float>();
  for (int64_t i = 0, n = y.numel(); i < n; ++i) to[i] = chosen[i] ? if_true[i] : if_false[i];
  return record(y, {a, b}, [c, sa = a.shape(), sb = b.shape()](const Tensor& g) {
    Tensor da = Tensor::empty(g.shape()), db = Tensor::empty(g.shape());
    const uint8_t* from_a = c.data<uint8_t>();
    const float* given = g.data<float>();
    float *to_a = da.data<float>(), *to_b = db.data<float>();
    for (int64_t i = 0, n = g.numel(); i < n; ++i) {
      to_a[i] = from_a[i] ? given[i] : 0;
      to_b[i] = from_a[i] ? 0 : given[i];
    }
    return Grads{ops::reduce_to(da, sa), ops::reduce_to(db, sb)};
  });
}

namespace {

template <Tensor (*F)(const Tensor&, const Tensor&)>
std::vector<OpSample> binary_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return F(in[0], in[1]); };
  const Tensor a = sample_tensor({3, 4, 5}, 0), positive = sample_tensor({3, 4, 5}, 1, 3.0f, 0.3f);
  return {{"same shape", {a, positive}, call},
          {"row", {a, sample_tensor({5}, 2, 3.0f, 0.3f)}, call},
          {"scalar", {a, sample_tensor({}, 3, 3.0f, 0.3f)}, call},
          {"column", {a, sample_tensor({4, 1}, 4, 3.0f, 0.3f)}, call},
          {"both broadcast", {sample_tensor({4, 1}, 5), sample_tensor({1, 5}, 6, 3.0f, 0.3f)}, call},
          {"benchmark", {sample_tensor({512, 1536}, 0), sample_tensor({512, 1536}, 1, 3.0f, 0.3f)}, call, -1, false, 512 * 1536.0}};
}
std::vector<OpSample> scalar_samples() {
  return {{"add", {sample_tensor({3, 5})}, [](const auto& in) { return add(in[0], 1.5f); }},
          {"mul", {sample_tensor({3, 5})}, [](const auto& in) { return mul(in[0], -2.5f); }}};
}
std::vector<OpSample> where_samples() {
  Tensor condition = Tensor::empty({4, 5}, DType::boolean);
  for (int i = 0; i < 20; ++i) condition.data<uint8_t>()[i] = i % 3 == 0;
  return {{"broadcast", {sample_tensor({4, 5}, 0), sample_tensor({5}, 1)}, [condition](const auto& in) { return where(condition, in[0], in[1]); }}};
}

}  // namespace

extern const OpEntry op_add{"add", "a, b broadcast", "PyTorch", binary_samples<add>};
extern const OpEntry op_sub{"sub", "a, b broadcast", "PyTorch", binary_samples<sub>};
extern const OpEntry op_mul{"mul", "a, b broadcast", "PyTorch", binary_samples<mul>};
extern const OpEntry op_div{"div", "a, b broadcast", "PyTorch", binary_samples<div>};
extern const OpEntry op_maximum{"maximum", "a, b broadcast; ties share the gradient", "PyTorch", binary_samples<maximum>};
extern const OpEntry op_minimum{"minimum", "a, b broadcast; ties share the gradient", "PyTorch", binary_samples<minimum>};
extern const OpEntry op_scalar{"add, mul (scalar)", "x, number -> x's shape", "PyTorch", scalar_samples};
extern const OpEntry op_where{"where", "condition, a, b broadcast", "PyTorch", where_samples};

}  // namespace mynah
