#include "nn/causal_lm.h"

#include <numeric>

#include "autograd/record.h"
#include "base/require.h"
#include "ops/attention.h"

namespace mynah::nn {

Tensor split_heads(const Tensor& x, int64_t n, int64_t heads, int64_t head_dim) {
  return record(x.as_strided({n, heads, head_dim}, {x.stride(0), head_dim, 1}), {x}, [n, heads, head_dim](const Tensor& g) {
    return Grads{g.as_strided({n, heads * head_dim}, {heads * head_dim, 1})};
  });
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const TokenBatch& batch, int layer, const AttentionConfig& config) {
  std::vector<Sequence> sequences;
  int64_t row = 0;
  if (batch.caches.empty()) {
    for (const int64_t length : batch.lengths) {
      sequences.push_back({row, length, row, length});
      row += length;
    }
    AttentionConfig masked = config;
    masked.key_mask = batch.key_mask;
    return scaled_dot_product_attention(q, k, v, sequences, masked);
  }
  std::vector<ops::KvBlocks> cached;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    const int64_t length = batch.lengths[i];
    LayerCache& cache = batch.caches[i]->layer(layer);
    cache.append(k.data<float>() + row * k.stride(0), k.stride(0), v.data<float>() + row * v.stride(0), v.stride(0), length);
    sequences.push_back({row, length, 0, cache.length()});
    cached.push_back(cache.blocks());
    row += length;
  }
  return ops::cached_attention(q, sequences, cached, k.size(1), config);
}

namespace {

std::vector<int32_t> integers(const NamedTensors& inputs, const std::string& name, const Shape& shape) {
  const auto it = inputs.find(name);
  if (it == inputs.end()) return {};
  const Tensor& t = it->second;
  require(t.shape() == shape, "forward: {} has shape {}, expected {}", name, t.shape().str(), shape.str());
  require(!is_quantized(t.dtype()), "forward: {} is {}, expected integers", name, mynah::name(t.dtype()));
  std::vector<int32_t> out(static_cast<size_t>(t.numel()));
  const Tensor c = contiguous(t);
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
        require(name == "attention_mask", "forward: {} is f32, expected integers", name);
        out[i] = c.data<float>()[i] != 0;
        break;
      default: out[i] = c.data<uint8_t>()[i];
    }
  return out;
}

// Given positions without a mask mean packed rows: wherever they do not go on by one, another sequence starts.
std::vector<int64_t> packed_lengths(const std::vector<int32_t>& positions, int64_t row_length) {
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (i % static_cast<size_t>(row_length) == 0 || positions[i] != positions[i - 1] + 1) lengths.push_back(0);
    ++lengths.back();
  }
  return lengths;
}

// Mean loss of predicting token t + 1 at t; the last position of each row predicts nothing.
Tensor next_token_loss(const Tensor& logits, const std::vector<int32_t>& labels, int64_t rows, int64_t length) {
  std::vector<int64_t> targets(labels.size(), -100);
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t t = 0; t + 1 < length; ++t) targets[static_cast<size_t>(b * length + t)] = labels[static_cast<size_t>(b * length + t + 1)];
  return cross_entropy(logits, Tensor::from(std::span<const int64_t>(targets), {rows * length}));
}

}  // namespace

NamedTensors CausalLM::forward(const NamedTensors& inputs, const ForwardOptions& options) const {
  for (const auto& [name, tensor] : inputs)
    require(name == "input_ids" || name == "attention_mask" || name == "position_ids" || name == "token_type_ids" || name == "labels",
            "forward: input {} is not known to this model; known: input_ids, attention_mask, position_ids, token_type_ids, labels", name);
  const auto ids = inputs.find("input_ids");
  require(ids != inputs.end(), "forward: input_ids is missing");
  require(ids->second.rank() == 2 && ids->second.numel() > 0, "forward: input_ids has shape {}, expected [batch, tokens]", ids->second.shape().str());
  const Shape shape = ids->second.shape();
  const int64_t rows = shape[0], length = shape[1];

  TokenBatch batch;
  batch.ids = integers(inputs, "input_ids", shape);
  for (const int32_t id : batch.ids) require(id >= 0 && id < vocabulary_size(), "forward: input_ids holds {}, expected 0..{}", id, vocabulary_size() - 1);
  const auto position_ids = inputs.find("position_ids");
  if (position_ids != inputs.end() && position_ids->second.shape() == Shape{1, length} && rows != 1) {
    const auto one = integers(inputs, "position_ids", {1, length});
    for (int64_t b = 0; b < rows; ++b) batch.positions.insert(batch.positions.end(), one.begin(), one.end());
  } else {
    batch.positions = integers(inputs, "position_ids", shape);
  }
  if (batch.positions.empty()) {
    batch.positions.resize(batch.ids.size());
    for (int64_t b = 0; b < rows; ++b) std::iota(batch.positions.begin() + b * length, batch.positions.begin() + (b + 1) * length, 0);
  }
  for (const int32_t p : batch.positions) require(p >= 0, "forward: position_ids holds {}, expected 0 or more", p);
  batch.token_types = integers(inputs, "token_type_ids", shape);
  for (const int32_t m : integers(inputs, "attention_mask", shape)) batch.key_mask.push_back(m != 0);
  batch.lengths = position_ids != inputs.end() && batch.key_mask.empty() ? packed_lengths(batch.positions, length)
                                                                         : std::vector<int64_t>(static_cast<size_t>(rows), length);

  std::vector<Tensor> states;
  const Tensor hidden = body(batch, options.hidden_states ? &states : nullptr);
  const Tensor logits = head(hidden);
  NamedTensors out;
  out["logits"] = reshape(logits, {rows, length, logits.size(1)});
  for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = reshape(states[i], {rows, length, states[i].size(1)});
  if (const auto labels = integers(inputs, "labels", shape); !labels.empty()) out["loss"] = next_token_loss(logits, labels, rows, length);
  return out;
}

}  // namespace mynah::nn
