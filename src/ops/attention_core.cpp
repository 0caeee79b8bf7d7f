#include "ops/attention_core.h"


#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/isa.h"
#include "kernels/rows.h"
#include "ops/attention_rows.h"

namespace mynah::ops {
namespace {

using kernels::AttentionState;
using kernels::AttentionTile;
using kernels::kAttentionRows;
using kernels::kChunkBlocks;
using kernels::kKeyBlock;
using kernels::KvElement;

KvElement element_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return KvElement::f32;
    case DType::f16:
      return KvElement::f16;
    case DType::bf16:
      return KvElement::bf16;
    default:
      fail(ErrorCode::failure, "attention: keys are {}, expected f32, f16 or bf16", name(dtype));
  }
}
int64_t element_bytes(KvElement element) { return element == KvElement::f32 ? 4 : 2; }
int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where the keys of a span are, and its share of the work.
struct SpanWork {
  const void* const* k;  // null: a span of one tile and one block, whose task packs its keys and values itself
  const void* const* v;
  KvElement element;
  int64_t first_block;  // number of packed blocks of the spans before
  int64_t tiles;        // of one kv head
  int64_t parts;        // 1, or the number of chunks that are computed apart
  int64_t first_task;   // number of (kv head, tile) pairs of the spans before
  int64_t first_part;   // number of (kv head, tile, part) triples of the spans before
};

// What the calling thread keeps from call to call, so that a decoding step allocates nothing.
struct CallScratch {
  std::vector<SpanWork> work;
  std::vector<const void*> pointers;
  FloatBuffer blocks, states;
};

// What each working thread keeps.
struct WorkerScratch {
  RowArrays rows;
  FloatBuffer q, states, keys, values;
  const void *own_keys[1], *own_values[1];  // the block of a task that packs it itself
  std::vector<uint16_t> q_bf16;
  std::vector<float> zeros;  // of a head
  float* out[kAttentionRows];
  float lse[kAttentionRows];
};
thread_local CallScratch call_scratch;
thread_local WorkerScratch worker_scratch;

int64_t state_floats(int64_t dim) { return kAttentionRows * (1 + kernels::kSumLanes + kernels::padded_value_dim(dim)); }
AttentionState state_at(float* p) { return {p, p + kAttentionRows, p + kAttentionRows * (1 + kernels::kSumLanes)}; }

struct Forward {
  const AttentionShape& shape;
  HeadRows q, k, v;
  std::span<const AttentionSpan> spans;
  const AttentionOptions& options;
  MutableHeadRows out;
  float* lse;
  CallScratch& scratch;

  void pack_block(const AttentionSpan& span, KvElement element, int64_t block, int64_t head, void* to_k, void* to_v) const;
  void pack_rows();
  void plan();
  void run();
  // One kv head's tile: its rows, and what the kernel reads of them.
  struct Place {
    const SpanWork& work;
    const AttentionSpan& span;
    int64_t kv_head, row, rows, part;
  };
  Place place(int64_t index, bool by_part) const;
  AttentionTile load_tile(const Place& place) const;
  void attend_chunk(const Place& place, const AttentionTile& tile, int64_t chunk, const AttentionState& state) const;
  void attend_tile(const Place& place) const;
  void merge_parts(const Place& place, int64_t first_state) const;
  void finish(const Place& place, const AttentionState& state) const;
};

// A kv head's keys and values of one block. bf16 pairs are multiplied whole: the partner of a last key is zero.
void Forward::pack_block(const AttentionSpan& span, KvElement element, int64_t block, int64_t head, void* to_k, void* to_v) const {
  const kernels::AttentionTable& kernel = kernels::attention();
  const int64_t dim = shape.head_dim, row = span.k_begin + block * kKeyBlock, keys = std::min(kKeyBlock, span.k_count - block * kKeyBlock);
  kernel.pack_keys(element, k.data + row * k.stride + head * dim, k.stride, keys, dim, 0, to_k);
  kernel.pack_values(element, v.data + row * v.stride + head * dim, v.stride, keys, dim, 0, to_v);
  if (element != KvElement::bf16 || keys % 2 == 0) return;
  std::vector<float>& zeros = worker_scratch.zeros;
  zeros.resize(static_cast<size_t>(dim));
  kernel.pack_values(element, zeros.data(), 0, 1, dim, keys, to_v);
}

// Packs the keys and values of spans without a cache, but for those that a task packs itself.
void Forward::pack_rows() {
  const KvElement element = options.precision == DType::bf16 ? KvElement::bf16 : KvElement::f32;
  const int64_t bytes = element_bytes(element), dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  const int64_t k_bytes = kernels::key_block_elements(dim) * bytes,
                v_bytes = kernels::value_block_elements(dim) * bytes;
  int64_t blocks = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    SpanWork& work = scratch.work[s];
    work.first_block = blocks;
    if (spans[s].cache) continue;
    work.element = element;
    work.k = work.v = nullptr;
    if (spans[s].k_count > kKeyBlock || spans[s].q_count * group > kAttentionRows) blocks += divide_up(spans[s].k_count, kKeyBlock);
  }
  if (blocks == 0) return;
  std::byte* base =
      reinterpret_cast<std::byte*>(scratch.blocks.get(divide_up(blocks * shape.kv_heads * (k_bytes + v_bytes), 4)));
  scratch.pointers.resize(static_cast<size_t>(2 * blocks));
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* at = base + b * shape.kv_heads * (k_bytes + v_bytes);
    scratch.pointers[static_cast<size_t>(b)] = at;
    scratch.pointers[static_cast<size_t>(blocks + b)] = at + shape.kv_heads * k_bytes;
  }
  for (size_t s = 0; s < spans.size(); ++s) {
    SpanWork& work = scratch.work[s];
    const int64_t end = s + 1 < spans.size() ? scratch.work[s + 1].first_block : blocks;
    if (work.first_block == end) continue;
    work.k = scratch.pointers.data() + work.first_block;
    work.v = scratch.pointers.data() + blocks + work.first_block;
  }
  parallel_for(blocks * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    size_t s = 0;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / shape.kv_heads, head = i % shape.kv_heads;
      while (s + 1 < spans.size() && scratch.work[s + 1].first_block <= block) ++s;
      const SpanWork& work = scratch.work[s];
      const int64_t of_span = block - work.first_block;
      pack_block(spans[s], element, of_span, head, static_cast<std::byte*>(const_cast<void*>(work.k[of_span])) + head * k_bytes,
                 static_cast<std::byte*>(const_cast<void*>(work.v[of_span])) + head * v_bytes);
    }
  });
}

// Long spans with few tiles (decoding) are also cut along the keys, at chunk boundaries: the merge order stays the
// same.
void Forward::plan() {
  const int64_t group = shape.heads / shape.kv_heads;
  int64_t tasks = 0, parts = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    SpanWork& work = scratch.work[s];
    work.tiles = divide_up(spans[s].q_count * group, kAttentionRows);
    tasks += work.tiles * shape.kv_heads;
  }
  const int64_t threads = thread_pool().threads();
  const bool few = threads > 1 && tasks < 4 * threads;
  tasks = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    SpanWork& work = scratch.work[s];
    work.parts = few ? std::max<int64_t>(1, divide_up(spans[s].k_count, kKeyBlock * kChunkBlocks)) : 1;
    work.first_task = tasks;
    work.first_part = parts;
    tasks += work.tiles * shape.kv_heads;
    parts += work.tiles * shape.kv_heads * work.parts;
  }
}

Forward::Place Forward::place(int64_t index, bool by_part) const {
  size_t s = spans.size() - 1;
  while ((by_part ? scratch.work[s].first_part : scratch.work[s].first_task) > index) --s;
  const SpanWork& work = scratch.work[s];
  int64_t i = index - (by_part ? work.first_part : work.first_task);
  const int64_t part = by_part ? i % work.parts : 0;
  if (by_part) i /= work.parts;
  const int64_t tile = work.tiles - 1 - i / shape.kv_heads;  // late tiles see the most keys: start with them
  const int64_t rows = spans[s].q_count * (shape.heads / shape.kv_heads), row = tile * kAttentionRows;
  return {work, spans[s], i % shape.kv_heads, row, std::min(kAttentionRows, rows - row), part};
}

AttentionTile Forward::load_tile(const Place& at) const {
  WorkerScratch& worker = worker_scratch;
  const RowGroup group{shape, at.span, options, at.kv_head};
  worker.rows.fill(group, at.row, at.rows);
  AttentionTile tile = worker.rows.tile(group, 0, at.rows);
  const int64_t width = kernels::padded_key_dim(shape.head_dim), bytes = element_bytes(at.work.element);
  float* rows = worker.q.get(kAttentionRows * width);
  kernels::attention().pack_queries(q.data + group.offset(0, q.stride), q.stride, group.group(), at.row, at.rows, shape.head_dim, options.scale, rows);
  tile.q = rows;
  if (options.precision == DType::bf16 && at.work.element == KvElement::bf16 &&
      kernels::has_bf16_pairs(kernels::active_isa())) {
    worker.q_bf16.resize(static_cast<size_t>(kAttentionRows * width));
    kernels::rows().f32_to_bf16(rows, worker.q_bf16.data(), at.rows * width);
    tile.q_bf16 = worker.q_bf16.data();
  }
  tile.element = at.work.element;
  if (!at.work.k) {
    float* keys = worker.keys.get(kernels::key_block_elements(shape.head_dim));
    float* values = worker.values.get(kernels::value_block_elements(shape.head_dim));
    pack_block(at.span, at.work.element, 0, at.kv_head, keys, values);
    worker.own_keys[0] = keys;
    worker.own_values[0] = values;
    tile.k = worker.own_keys;
    tile.v = worker.own_values;
    return tile;
  }
  tile.k = at.work.k;
  tile.v = at.work.v;
  tile.k_offset = at.kv_head * kernels::key_block_elements(shape.head_dim) * bytes;
  tile.v_offset = at.kv_head * kernels::value_block_elements(shape.head_dim) * bytes;
  return tile;
}

void Forward::attend_chunk(const Place& at, const AttentionTile& tile, int64_t chunk,
                           const AttentionState& state) const {
  const int64_t blocks = divide_up(at.span.k_count, kKeyBlock), begin = chunk * kChunkBlocks;
  kernels::attention().attend(tile, begin, std::min(blocks, begin + kChunkBlocks), state);
}

void Forward::attend_tile(const Place& at) const {
  const AttentionTile tile = load_tile(at);
  const int64_t floats = state_floats(shape.head_dim), chunk_keys = kKeyBlock * kChunkBlocks;
  float* memory = worker_scratch.states.get(2 * floats);
  const AttentionState total = state_at(memory), part = state_at(memory + floats);
  const int64_t first = *std::min_element(tile.first, tile.first + at.rows) / chunk_keys;
  const int64_t last = divide_up(*std::max_element(tile.last, tile.last + at.rows), chunk_keys);
  attend_chunk(at, tile, first, total);
  for (int64_t chunk = first + 1; chunk < last; ++chunk) {
    attend_chunk(at, tile, chunk, part);
    kernels::attention().merge(total, part, at.rows, shape.head_dim);
  }
  finish(at, total);
}

void Forward::merge_parts(const Place& at, int64_t first_state) const {
  const int64_t floats = state_floats(shape.head_dim);
  float* memory = scratch.states.get(0) + first_state * floats;
  for (int64_t part = 1; part < at.work.parts; ++part)
    kernels::attention().merge(state_at(memory), state_at(memory + part * floats), at.rows, shape.head_dim);
  finish(at, state_at(memory));
}

void Forward::finish(const Place& at, const AttentionState& state) const {
  WorkerScratch& worker = worker_scratch;
  const RowGroup group{shape, at.span, options, at.kv_head};
  for (int64_t r = 0; r < at.rows; ++r) worker.out[r] = out.data + group.offset(at.row + r, out.stride);
  kernels::attention().finish(state, at.rows, shape.head_dim, worker.out, lse ? worker.lse : nullptr);
  if (lse)
    for (int64_t r = 0; r < at.rows; ++r) lse[group.index(at.row + r)] = worker.lse[r];
}

void Forward::run() {
  scratch.work.resize(spans.size());
  for (size_t s = 0; s < spans.size(); ++s)
    if (const KvBlocks* cache = spans[s].cache) {
      scratch.work[s].k = cache->k;
      scratch.work[s].v = cache->v;
      scratch.work[s].element = element_of(cache->dtype);
    }
  pack_rows();
  plan();
  const SpanWork& last = scratch.work.back();
  const int64_t tasks = last.first_task + last.tiles * shape.kv_heads,
                parts = last.first_part + last.tiles * shape.kv_heads * last.parts;
  if (parts == tasks) {
    thread_pool().run(tasks, [this](int64_t i) { attend_tile(place(i, false)); });
    return;
  }
  const int64_t floats = state_floats(shape.head_dim);
  float* memory = scratch.states.get(parts * floats);
  thread_pool().run(parts, [&](int64_t i) {
    const Place at = place(i, true);
    attend_chunk(at, load_tile(at), at.part, state_at(memory + i * floats));
  });
  thread_pool().run(tasks, [&](int64_t i) {
    const Place at = place(i, false);
    merge_parts(at, at.work.first_part + (i - at.work.first_task) * at.work.parts);
  });
}

}  // namespace

void attention_forward(const AttentionShape& shape, HeadRows q, HeadRows k, HeadRows v,
                       std::span<const AttentionSpan> spans, const AttentionOptions& options, MutableHeadRows out,
                       float* lse) {
  check_attention(shape, spans, options);
  if (spans.empty()) return;
  Forward{shape, q, k, v, spans, options, out, lse, call_scratch}.run();
}

}  // namespace mynah::ops
