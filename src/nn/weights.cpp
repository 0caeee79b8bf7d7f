#include "nn/weights.h"

#include <algorithm>

#include "base/file.h"
#include "base/random.h"
#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "ops/packed_matrix.h"
#include "tensor/quantize.h"

namespace mynah::nn {

LoadedWeight RandomSource::load(const std::string& name, const Shape& shape, Init init) {
  if (init.kind == Init::constant) return {Tensor::full(shape, init.value), name, {}};
  Tensor value = Tensor::empty(shape);
  fill_normal(value.data<float>(), value.numel(), 0, init.value, seed_, name);
  return {value, name, {}};
}

std::map<std::string, Tensor> disk_gradients(const WeightList& list) {
  std::map<std::string, Tensor> all;
  std::map<std::string, std::map<int64_t, Tensor>> stacks;
  for (const Parameter& p : list.parameters) {
    const Tensor g = grad(p.value);
    if (p.part >= 0) stacks[p.disk_name][p.part] = g.defined() ? unsqueeze(g, 0) : Tensor::zeros(unsqueeze(p.value.detach(), 0).shape());
    else if (g.defined()) all[p.disk_name] = contiguous(p.to_disk ? p.to_disk(g) : g);
  }
  for (const auto& [name, parts] : stacks) {
    std::vector<Tensor> in_order;
    for (const auto& [part, g] : parts) in_order.push_back(g);
    all[name] = cat(in_order, 0);
  }
  return all;
}

Weights Weights::operator/(std::string_view name) const {
  Weights part(*source_, *list_, path(name));
  part.frozen_ = frozen_;
  return part;
}

Weights Weights::frozen(std::function<bool(std::string_view name)> which) const {
  Weights same = *this;
  same.frozen_ = which ? std::move(which) : [](std::string_view) { return true; };
  return same;
}

namespace {

Tensor as_type(const Tensor& x, DType type) { return to(is_quantized(x.dtype()) ? dequantize(x) : x, type); }

Shape swapped(const Shape& s) { return {s[1], s[0]}; }

}  // namespace

// Finds a weight, checks its shape, converts it and enters it into the list. A problem is noted, so that one message can name
// all of them, and a stand-in of the right shape is returned.
LoadedWeight Weights::load(const std::string& name, const Shape& shape, Init init, Use use) const {
  LoadedWeight weight = source_->load(name, shape, init);
  if (!weight.value.defined()) {
    list_->problems.push_back(name + ": missing");
    weight.value = Tensor::zeros(shape);
    return weight;
  }
  list_->used.push_back(weight.disk_name);
  const Shape expected = weight.transposed ? swapped(shape) : shape;
  if (!(weight.value.shape() == expected)) {
    list_->problems.push_back(fmt::format("{}: shape {}, expected {}", weight.disk_name, weight.value.shape().str(), expected.str()));
    weight.value = Tensor::zeros(expected);
    return weight;
  }
  if (!is_floating(weight.value.dtype()) && !is_quantized(weight.value.dtype())) {
    list_->problems.push_back(fmt::format("{}: type {}, expected floating-point numbers", weight.disk_name, mynah::name(weight.value.dtype())));
    weight.value = Tensor::zeros(expected);
    return weight;
  }
  const bool trained = list_->trainable && (!list_->trains || list_->trains(name));
  // What the optimiser writes to is f32, also in the midst of a quantised file whose other weights stay as they are.
  const MatrixType type = use == Use::matrix && !(trained && list_->matrices == MatrixType::stored) ? list_->matrices : MatrixType::f32;
  if (type != MatrixType::stored && type != MatrixType::int8) {
    const Tensor stored = weight.value;
    if (type == MatrixType::bf16) weight.value = as_type(stored, DType::bf16);
    if (type != MatrixType::bf16 || list_->trainable) weight.value = as_type(weight.value, DType::f32);
    if (stored.dtype() != weight.value.dtype()) source_->done_with(stored);
  }
  if (use == Use::matrix && (type == MatrixType::int8 || weight.value.dtype() != DType::f32) && list_->narrowest != DType::bf16)
    list_->narrowest = type != MatrixType::int8 && weight.value.dtype() == DType::f16 ? DType::f16 : DType::bf16;
  if (trained) {
    list_->trained_bytes += weight.value.nbytes();
    if (list_->most_bytes > 0 && list_->trained_bytes > list_->most_bytes)
      fail(ErrorCode::does_not_fit, "memory: weights of more than {:.1f} GB; with gradients and optimiser that is more than the machine has; use a smaller model or --lora-r",
           static_cast<double>(list_->most_bytes) / 1e9);
    Tensor copy = Tensor::empty(weight.value.shape());  // the optimiser writes to it, so it cannot be the mapped file
    std::memcpy(copy.raw(), weight.value.raw(), copy.nbytes());
    MappedFile::drop_any(weight.value.raw(), weight.value.nbytes());
    const bool fixed = use == Use::buffer || (frozen_ && frozen_(name));
    weight.value = fixed ? copy : requires_grad(copy);
    (fixed ? list_->buffers : list_->parameters).push_back({name, weight.disk_name, weight.value, weight.to_disk, weight.part});
  }
  return weight;
}

Tensor Weights::tensor(std::string_view name, const Shape& shape, Init init) const { return load(path(name), shape, init, Use::parameter).value; }

Tensor Weights::buffer(std::string_view name, const Shape& shape, Init init) const { return load(path(name), shape, init, Use::buffer).value; }

Matrix Weights::dense(std::string_view name, std::vector<Tensor> parts) const {
  Matrix::Kept kept = list_->trainable ? Matrix::Kept::as_is : Matrix::Kept::packed;
  if (list_->matrices == MatrixType::int8) kept = Matrix::Kept::int8;
  const bool trained = std::any_of(parts.begin(), parts.end(), [](const Tensor& t) { return t.requires_grad(); });
  if (!trained && list_->trainable && list_->adapters) kept = Matrix::Kept::frozen;
  if (!trained && list_->in_4_bits && list_->in_4_bits(path(name))) kept = Matrix::Kept::nf4;
  return Matrix(std::move(parts), kept);
}

Matrix Weights::with_adapters(Matrix matrix, const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in) const {
  if (!list_->adapters) return matrix;
  std::vector<std::shared_ptr<const LowRank>> adapters;
  bool any = false;
  int64_t first = 0;
  for (size_t i = 0; i < names.size(); first += outs[i], ++i) {
    adapters.push_back(list_->adapters->adapter(path(names[i]), outs[i], in, [&] { return matrix.values(first, outs[i]); }));
    any = any || adapters.back();
  }
  if (any) matrix.attach(std::move(adapters), outs);
  return matrix;
}

Matrix Weights::matrix(std::string_view name, int64_t out, int64_t in, Init init, bool in_out) const {
  const LoadedWeight w = load(path(name) + ".weight", in_out ? Shape{in, out} : Shape{out, in}, init, Use::matrix);
  const bool stored_in_out = in_out != w.transposed;
  Matrix matrix;
  if (!is_quantized(w.value.dtype())) matrix = dense(name, {stored_in_out ? transpose(w.value, 0, 1) : w.value});
  // Blocks run along the last dimension of the file, which must be the input's.
  else if (stored_in_out) matrix = dense(name, {transpose(dequantize(w.value), 0, 1)});
  else matrix = ops::PackedMatrix::pack(std::vector<Tensor>{w.value}, [this](const Tensor& t) { source_->done_with(t); });
  return with_adapters(std::move(matrix), {std::string(name)}, {out}, in);
}

Matrix Weights::join(const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in, Init init) const {
  std::vector<Tensor> parts;
  bool all_quantized = true;
  for (size_t i = 0; i < names.size(); ++i) {
    parts.push_back(load(path(names[i]) + ".weight", {outs[i], in}, init, Use::matrix).value);
    all_quantized = all_quantized && is_quantized(parts.back().dtype());
  }
  if (all_quantized)
    return with_adapters(ops::PackedMatrix::pack(parts, [this](const Tensor& t) { source_->done_with(t); }), names, outs, in);
  for (Tensor& part : parts)
    if (is_quantized(part.dtype())) part = dequantize(part);
  return with_adapters(dense(names[0], parts), names, outs, in);
}

}  // namespace mynah::nn
