// Keys and values of the tokens a decoder has seen, per layer, in blocks of 64 positions. Blocks come one by one as the
// sequence grows, never move, and may be shared by caches with a common beginning: a shared block is copied before it
// is written. A decoding step allocates only when a block starts. Recurrent models keep a state per layer instead.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mynah/tensor.h"
#include "ops/attention_core.h"

namespace mynah::nn {

struct CacheShape {
  int layers = 0;
  int64_t kv_heads = 0, head_dim = 0;
  DType dtype = DType::f32;  // f32, f16 or bf16; bf16 is multiplied as it is where the processor can, else attention computes in f32
  int64_t state = 0;         // > 0: a layer has a recurrent state of so many f32 and no keys and values
};

class LayerCache {
 public:
  explicit LayerCache(const CacheShape& shape);  // throws for another dtype
  LayerCache(LayerCache&&) = default;
  LayerCache& operator=(LayerCache&&) = default;

  // Appends `count` positions. Row i of k starts at k + i * k_stride and holds kv_heads * head_dim floats; v likewise.
  void append(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int64_t count);
  // The same for several caches at once, side by side on the thread pool: counts[i] rows for caches[i], after those of the caches before it.
  static void append(std::span<LayerCache* const> caches, const float* k, int64_t k_stride, const float* v, int64_t v_stride, std::span<const int64_t> counts);
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
  // The first `positions` of a block, for one that is to part from it.
  struct Copy {
    const Block* from;
    Block* to;
    int64_t positions;
  };
  void reserve(int64_t length);
  // Makes the block with its first `positions` this cache's own. What `copies` then holds has to be carried out before the block is read
  // or written; until then another cache keeps what it is copied from.
  void part(int64_t block, int64_t positions, std::vector<Copy>* copies);
  void make_room(int64_t count, std::vector<Copy>* copies);
  void carry_out(const Copy& copy) const;
  void write(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int64_t count);

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
  // The recurrent state of layer i: zeros before the first token. Who has changed all layers' says how many tokens went in.
  std::span<float> state(int i) { return states_[static_cast<size_t>(i)]; }
  void advance(int64_t tokens) { read_ += tokens; }
  int64_t length() const { return layers_.empty() ? read_ : layers_.front().length(); }
  // To which of the lengths up to n it can be cut: n, but a recurrent state holds on to all tokens or none.
  int64_t reach(int64_t n) const { return layers_.empty() && n < read_ ? 0 : n; }
  // These throw for an n that it cannot be cut to.
  void truncate(int64_t n);
  Cache prefix(int64_t n) const;
  size_t bytes() const;

  std::vector<int32_t> ids;  // of the tokens it holds, kept by families that read the last one again (XLNet)

 private:
  Cache() = default;
  std::vector<LayerCache> layers_;
  std::vector<std::vector<float>> states_;  // in place of layers_
  int64_t read_ = 0;                        // tokens that the states have read
};

}  // namespace mynah::nn
