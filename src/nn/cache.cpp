#include "nn/cache.h"

#include <algorithm>
#include <cstring>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"

namespace mynah::nn {
namespace {

using kernels::kKeyBlock;
using kernels::KvElement;

KvElement element_of(DType dtype) {
  return dtype == DType::f32 ? KvElement::f32 : dtype == DType::f16 ? KvElement::f16 : KvElement::bf16;
}

}  // namespace

LayerCache::LayerCache(const CacheShape& shape) : shape_(shape) {
  require(shape.dtype == DType::f32 || shape.dtype == DType::f16 || shape.dtype == DType::bf16,
          "cache: dtype is {}, expected f32, f16 or bf16", name(shape.dtype));
  require(shape.kv_heads > 0 && shape.head_dim > 0, "cache: got {} kv heads of size {}, expected at least one of each",
          shape.kv_heads, shape.head_dim);
}

void LayerCache::reserve(int64_t length) {
  while (static_cast<int64_t>(blocks_.size()) * kKeyBlock < length) {
    auto block = std::make_shared<Block>();
    block->keys = Tensor::zeros({shape_.kv_heads * kernels::key_block_elements(shape_.head_dim)}, shape_.dtype);
    block->values = Tensor::zeros({shape_.kv_heads * kernels::value_block_elements(shape_.head_dim)}, shape_.dtype);
    k_.push_back(block->keys.raw());
    v_.push_back(block->values.raw());
    blocks_.push_back(std::move(block));
  }
}

void LayerCache::part(int64_t index, int64_t positions, std::vector<Copy>* copies) {
  const size_t i = static_cast<size_t>(index);
  if (blocks_[i].use_count() == 1) return;
  auto copy = std::make_shared<Block>();
  for (auto member : {&Block::keys, &Block::values}) {
    const Tensor& from = *blocks_[i].*member;
    (*copy).*member = Tensor::empty(from.shape(), from.dtype());
  }
  copies->push_back({blocks_[i].get(), copy.get(), positions});
  k_[i] = copy->keys.raw();
  v_[i] = copy->values.raw();
  blocks_[i] = std::move(copy);
}

// Places that nobody has written may hold anything, but for the values that are read in pairs, of which none may be a NaN.
void LayerCache::carry_out(const Copy& copy) const {
  const bool pairs = shape_.dtype == DType::bf16;
  const int64_t bytes = static_cast<int64_t>(block_bytes(shape_.dtype)), together = pairs ? 2 : 1;
  const int64_t key_bytes = bytes * together, row = kKeyBlock * key_bytes, line = 64;
  const int64_t used = (copy.positions * key_bytes + line - 1) / line * line;
  const auto* from = static_cast<const std::byte*>(copy.from->keys.raw());
  auto* to = static_cast<std::byte*>(copy.to->keys.raw());
  const int64_t all = static_cast<int64_t>(copy.to->keys.nbytes());
  for (int64_t at = 0; at < all; at += row)
    for (int64_t i = at; i < at + used; i += line) std::memcpy(to + i, from + i, line);
  from = static_cast<const std::byte*>(copy.from->values.raw());
  to = static_cast<std::byte*>(copy.to->values.raw());
  const int64_t head = kernels::value_block_elements(shape_.head_dim) * bytes;
  const int64_t written = (copy.positions + together - 1) / together * together * (head / kKeyBlock);
  for (int64_t h = 0; h < shape_.kv_heads; ++h, from += head, to += head) {
    std::memcpy(to, from, static_cast<size_t>(written));
    if (pairs) std::memset(to + written, 0, static_cast<size_t>(head - written));
  }
}

void LayerCache::make_room(int64_t count, std::vector<Copy>* copies) {
  reserve(length_ + count);
  // Only the block that is begun can be another's, too.
  if (length_ % kKeyBlock != 0) part(length_ / kKeyBlock, length_ % kKeyBlock, copies);
}

void LayerCache::write(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int64_t count) {
  const KvElement element = element_of(shape_.dtype);
  const int64_t dim = shape_.head_dim, bytes = static_cast<int64_t>(block_bytes(shape_.dtype));
  const int64_t k_head = kernels::key_block_elements(dim) * bytes, v_head = kernels::value_block_elements(dim) * bytes;
  const int64_t first = length_ / kKeyBlock, last = (length_ + count - 1) / kKeyBlock;
  parallel_for(last - first + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = first + begin; block < first + end; ++block) {
      const int64_t from = std::max(length_, block * kKeyBlock),
                    to = std::min(length_ + count, (block + 1) * kKeyBlock);
      const int64_t row = from - length_, slot = from - block * kKeyBlock;
      auto* keys = static_cast<std::byte*>(blocks_[static_cast<size_t>(block)]->keys.raw());
      auto* values = static_cast<std::byte*>(blocks_[static_cast<size_t>(block)]->values.raw());
      for (int64_t h = 0; h < shape_.kv_heads; ++h) {
        kernels::attention().pack_keys(element, k + row * k_stride + h * dim, k_stride, to - from, dim, slot,
                                       keys + h * k_head);
        kernels::attention().pack_values(element, v + row * v_stride + h * dim, v_stride, to - from, dim, slot,
                                         values + h * v_head);
      }
    }
  });
  length_ += count;
}

void LayerCache::append(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int64_t count) {
  LayerCache* const self = this;
  append({&self, 1}, k, k_stride, v, v_stride, {&count, 1});
}

void LayerCache::append(std::span<LayerCache* const> caches, const float* k, int64_t k_stride, const float* v, int64_t v_stride,
                        std::span<const int64_t> counts) {
  struct Share {
    LayerCache* cache;
    int64_t row, count;
  };
  thread_local std::vector<Share> kept_shares;  // so that a decoding step allocates nothing
  thread_local std::vector<Copy> kept_copies;
  auto &shares = kept_shares;  // of this thread, also where others read them
  auto& copies = kept_copies;
  shares.clear();
  copies.clear();
  int64_t row = 0;
  for (size_t i = 0; i < caches.size(); row += counts[i++]) {
    if (counts[i] <= 0) continue;
    caches[i]->make_room(counts[i], &copies);
    shares.push_back({caches[i], row, counts[i]});
  }
  if (shares.empty()) return;
  // First what parts from others, which may be written to as soon as it has been read.
  parallel_for(static_cast<int64_t>(copies.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) shares[0].cache->carry_out(copies[static_cast<size_t>(i)]);
  });
  parallel_for(static_cast<int64_t>(shares.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Share& s = shares[static_cast<size_t>(i)];
      s.cache->write(k + s.row * k_stride, k_stride, v + s.row * v_stride, v_stride, s.count);
    }
  });
}

void LayerCache::truncate(int64_t n) {
  require(n >= 0 && n <= length_, "cache: cannot keep {} of {} positions", n, length_);
  const size_t keep = static_cast<size_t>((n + kKeyBlock - 1) / kKeyBlock);
  blocks_.resize(keep);
  k_.resize(keep);
  v_.resize(keep);
  const bool shorter = n < length_;
  length_ = n;
  if (!shorter || n % 2 == 0) return;
  // bf16 values are read in pairs of positions: the forgotten half of the last pair must not hold a NaN.
  const std::vector<float> zero(static_cast<size_t>(shape_.head_dim));
  std::vector<Copy> copies;
  part(n / kKeyBlock, n % kKeyBlock, &copies);
  for (const Copy& copy : copies) carry_out(copy);
  auto* values = static_cast<std::byte*>(blocks_.back()->values.raw());
  const int64_t head = kernels::value_block_elements(shape_.head_dim) * static_cast<int64_t>(block_bytes(shape_.dtype));
  for (int64_t h = 0; h < shape_.kv_heads; ++h)
    kernels::attention().pack_values(element_of(shape_.dtype), zero.data(), 0, 1, shape_.head_dim, n % kKeyBlock,
                                     values + h * head);
}

LayerCache LayerCache::prefix(int64_t n) const {
  require(n >= 0 && n <= length_, "cache: a prefix of {} positions was asked for, there are {}", n, length_);
  LayerCache copy(shape_);
  copy.blocks_ = blocks_;
  copy.k_ = k_;
  copy.v_ = v_;
  copy.length_ = length_;
  copy.truncate(n);
  return copy;
}

size_t LayerCache::bytes() const {
  // All are of one size: the scheduler asks after every token.
  return blocks_.empty() ? 0 : blocks_.size() * (blocks_.front()->keys.nbytes() + blocks_.front()->values.nbytes());
}

Cache::Cache(const CacheShape& shape) {
  if (shape.state > 0) states_.assign(static_cast<size_t>(shape.layers), std::vector<float>(static_cast<size_t>(shape.state)));
  for (int i = 0; shape.state == 0 && i < shape.layers; ++i) layers_.emplace_back(shape);
}

void Cache::truncate(int64_t n) {
  if (!states_.empty()) {
    require(n == 0 || n == read_, "cache: a recurrent state of {} tokens cannot be cut to {}", read_, n);
    for (auto& state : states_)
      if (n == 0) std::fill(state.begin(), state.end(), 0.0f);
    read_ = n;
  }
  for (LayerCache& layer : layers_) layer.truncate(n);
  if (static_cast<int64_t>(ids.size()) > n) ids.resize(static_cast<size_t>(n));
}

Cache Cache::prefix(int64_t n) const {
  Cache copy;
  for (const LayerCache& layer : layers_) copy.layers_.push_back(layer.prefix(n));
  copy.states_ = states_;
  copy.read_ = read_;
  copy.ids.assign(ids.begin(), ids.begin() + std::min<int64_t>(n, static_cast<int64_t>(ids.size())));
  if (!states_.empty()) copy.truncate(n);
  return copy;
}

size_t Cache::bytes() const {
  size_t total = 0;
  for (const LayerCache& layer : layers_) total += layer.bytes();
  for (const auto& state : states_) total += state.size() * sizeof(float);
  return total;
}

}  // namespace mynah::nn
