// Keys and values of the tokens a decoder has seen, per layer, in blocks of 64 positions. Blocks come one by one as the
// sequence grows, never move, and may be shared by caches with a common beginning: a shared block is copied before it
// is written. A decoding step allocates only when a block starts.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "mynah/tensor.h"
#include "ops/attention_core.h"

namespace mynah::nn {

struct CacheShape {
  int layers = 0;
  int64_t kv_heads = 0, head_dim = 0;
  DType dtype = DType::f32;  // f32, f16 or bf16; bf16 is multiplied as it is where the processor can, else attention computes in f32
};

class LayerCache {
 public:
  explicit LayerCache(const CacheShape& shape);  // throws for another dtype
  LayerCache(LayerCache&&) = default;
  LayerCache& operator=(LayerCache&&) = default;

  // Appends `count` positions. Row i of k starts at k + i * k_stride and holds kv_heads * head_dim floats; v likewise.
  void append(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int64_t count);
  int64_t length() const { return length_; }
  // Forgets the positions from n on; throws if there are fewer.
  void truncate(int64_t n);
  // A cache that begins with this one's first n positions and shares their blocks.
  LayerCache prefix(int64_t n) const;
  // What attention reads; valid until the cache changes.
  ops::KvBlocks blocks() const { return {k_.data(), v_.data(), shape_.dtype, length_}; }
  size_t bytes() const;  // of its blocks, shared ones included

 private:
  struct Block {
    Tensor keys, values;
  };
  void* writable(int64_t block, bool values);
  void reserve(int64_t length);

  CacheShape shape_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<const void*> k_, v_;  // data of the blocks
  int64_t length_ = 0;
};

class Cache {
 public:
  explicit Cache(const CacheShape& shape);

  LayerCache& layer(int i) { return layers_[static_cast<size_t>(i)]; }
  const LayerCache& layer(int i) const { return layers_[static_cast<size_t>(i)]; }
  int64_t length() const { return layers_.empty() ? 0 : layers_.front().length(); }
  void truncate(int64_t n);
  Cache prefix(int64_t n) const;
  size_t bytes() const;

  std::vector<int32_t> ids;  // of the tokens it holds, kept by families that read the last one again (XLNet)

 private:
  Cache() = default;
  std::vector<LayerCache> layers_;
};

}  // namespace mynah::nn
