#include "nn/inputs.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "base/require.h"
#include "mynah/ops.h"

namespace mynah::nn {

Inputs::Inputs(const NamedTensors& tensors, const std::vector<std::string_view>& known) : tensors_(tensors) {
  const auto matches = [](const std::string& name, std::string_view pattern) {
    return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
  };
  for (const auto& [name, tensor] : tensors)
    require(std::any_of(known.begin(), known.end(), [&](std::string_view pattern) { return matches(name, pattern); }), "forward: input {} is not known to this model; known: {}", name,
            fmt::join(known, ", "));
}

const Tensor& Inputs::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  require(it != tensors_.end(), "forward: {} is missing", name);
  return it->second;
}

std::vector<int32_t> Inputs::integers(const std::string& name, const Shape& shape) const {
  if (!has(name)) return {};
  const Tensor& t = tensor(name);
  require(t.shape() == shape, "forward: {} has shape {}, expected {}", name, t.shape().str(), shape.str());
  require(!is_quantized(t.dtype()), "forward: {} is {}, expected integers", name, mynah::name(t.dtype()));
  std::vector<int32_t> out(static_cast<size_t>(t.numel()));
  const Tensor c = contiguous(t);
  const bool mask = name.ends_with("mask");
  for (size_t i = 0; i < out.size(); ++i)
    switch (c.dtype()) {
      case DType::i64: {
        const int64_t v = c.data<int64_t>()[i];
        require(v >= INT32_MIN && v <= INT32_MAX, "forward: {} holds {}, which is out of range", name, v);
        out[i] = static_cast<int32_t>(v);
        break;
      }
      case DType::i32: out[i] = c.data<int32_t>()[i]; break;
      case DType::f32:  // masks may be numbers, ids may not
        require(mask, "forward: {} is f32, expected integers", name);
        out[i] = c.data<float>()[i] != 0;
        break;
      case DType::i8:
      case DType::u8:
      case DType::boolean: out[i] = c.data<uint8_t>()[i]; break;
      default: fail(ErrorCode::failure, "forward: {} is {}, expected integers", name, mynah::name(c.dtype()));
    }
  return out;
}

std::vector<int32_t> Inputs::ids(const std::string& name, const Shape& shape, int64_t vocabulary) const {
  std::vector<int32_t> out = integers(name, shape);
  for (const int32_t id : out) require(id >= 0 && id < vocabulary, "forward: {} holds {}, expected 0..{}", name, id, vocabulary - 1);
  return out;
}

std::vector<uint8_t> Inputs::mask(const std::string& name, const Shape& shape) const {
  std::vector<uint8_t> out;
  for (const int32_t m : integers(name, shape)) out.push_back(m != 0);
  return out;
}

bool Inputs::flag(const std::string& name) const {
  if (!has(name)) return false;
  require(tensor(name).numel() == 1, "forward: {} has shape {}, expected one element", name, tensor(name).shape().str());
  return integers(name, tensor(name).shape())[0] != 0;
}

std::vector<int32_t> Inputs::positions(const std::string& name, int64_t rows, int64_t length) const {
  std::vector<int32_t> out;
  const bool shared = has(name) && rows != 1 && tensor(name).shape() == Shape{1, length};
  std::vector<int32_t> row = integers(name, shared ? Shape{1, length} : Shape{rows, length});
  if (!row.empty() && !shared) out = std::move(row);
  if (row.empty() && out.empty()) {
    row.resize(static_cast<size_t>(length));
    std::iota(row.begin(), row.end(), 0);
  }
  for (int64_t b = 0; out.size() < static_cast<size_t>(rows * length) && b < rows; ++b) out.insert(out.end(), row.begin(), row.end());
  for (const int32_t p : out) require(p >= 0, "forward: {} holds {}, expected 0 or more", name, p);
  return out;
}

Tensor Inputs::floats(const std::string& name, const Shape& shape) const {
  const Tensor& t = tensor(name);
  bool fits = t.rank() == shape.rank();
  for (int i = 0; fits && i < shape.rank(); ++i) fits = shape[i] < 0 ? t.size(i) > 0 : t.size(i) == shape[i];
  require(fits, "forward: {} has shape {}, expected {}", name, t.shape().str(), shape.str());
  return to(t, DType::f32);
}

Shape Inputs::shape_of(const std::string& name, int rank, std::string_view what) const {
  const Tensor& t = tensor(name);
  require(t.rank() == rank && t.numel() > 0, "forward: {} has shape {}, expected {}", name, t.shape().str(), what);
  return t.shape();
}

}  // namespace mynah::nn
