#include "ops/gemm.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/gemv.h"
#include "ops/divide.h"
#include "ops/huge_memory.h"

namespace mynah::ops {
namespace {

using kernels::Arithmetic;
using kernels::Element;
using kernels::GemmSource;

// Products below this many multiplications run on the calling thread: waking another costs more.
constexpr int64_t kSmallWork = 100'000;
// Packed B of one round: 4 MiB of 32-bit words, which the last-level cache holds beside the rest.
constexpr int64_t kRoundWords = int64_t{1} << 20, kRoundUnits = 1024;
// Height of a packed block of A: with all the units of a round it fills half of the second-level cache at most.
constexpr int64_t kBlockRows = 112, kTileBlockRows = 256;  // processors with tiles have caches of 2 MiB
constexpr int64_t kPackedWords = 8 << 10;  // of B that a task packs
constexpr int64_t kTasksPerThread = 8;
constexpr int64_t kTaskColumns = 256, kTaskRows = 42;  // smaller tasks would pack too often

// Products of this kind by tiles (kernels/gemm.h): of how many rows and units; else 1.
int64_t tile_of(const kernels::GemmTable& table, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::bf16 && table.bf16_tile > 0 ? table.bf16_tile : 1;
}
// Packed words of k.
int64_t units_of(int64_t k, int64_t group, int64_t tile) { return round_up(ceil_div(k, group), tile); }
// [0, n) in as few equal pieces of at most `most` as will do, each but the last a multiple of `step`.
int64_t even_piece(int64_t n, int64_t most, int64_t step) { return round_up(ceil_div(n, ceil_div(n, most)), step); }

// A buffer of packed words that grows and is then reused by its thread, so that warm products allocate nothing.
class Scratch {
 public:
  float* words(int64_t count) {
    if (count > size_) {
      data_.reset();
      data_.reset(static_cast<float*>(::operator new(static_cast<size_t>(count) * sizeof(float), kAlign)));
      size_ = count;
    }
    return data_.get();
  }

 private:
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(float* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

thread_local Scratch scratch_a, scratch_b, scratch_all_a;
thread_local bool in_bf16 = false;

Element element_of(DType dtype, const char* which) {
  require(is_floating(dtype), "gemm: {} is {}, expected f32, bf16 or f16", which, name(dtype));
  return dtype == DType::f32 ? Element::f32 : dtype == DType::bf16 ? Element::bf16 : Element::f16;
}
int64_t bytes_of(Element element) { return element == Element::f32 ? 4 : 2; }

GemmSource part(const GemmSource& s, int64_t lane, int64_t k) {
  GemmSource r = s;
  r.lanes -= lane;
  r.data = static_cast<const char*>(s.data) + (lane * s.lane_stride + k * s.k_stride) * bytes_of(s.element);
  return r;
}

struct Product {
  int64_t m, n, k;
  GemmSource a, b;
  Arithmetic arithmetic;
  int64_t group;  // k's per packed word
  int64_t tile;   // rows of a panel of A and units that go together; 1: any number
  float* c;
  int64_t ldc;
  bool accumulate;
  const float* bias;
  const DecodedMatrix* decoded = nullptr;  // in place of b
  bool by_rows = false;                    // columns of B are rows of `decoded`; else they are its columns

  bool small() const { return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) < kSmallWork; }
};

template <class Body>
void run_tasks(bool small, int64_t tasks, Body&& body) {
  if (small || tasks == 1) {
    for (int64_t i = 0; i < tasks; ++i) body(i);
  } else {
    thread_pool().run(tasks, body);
  }
}

// ---- few rows: B is read in place

void few_rows(const Product& p) {
  const kernels::GemvTable& table = kernels::gemv();
  kernels::GemvBlock block{p.b, p.n, p.k, nullptr, 0, static_cast<int>(p.m), p.c, p.ldc, p.accumulate, p.bias};
  if (p.arithmetic == Arithmetic::f32 && p.a.element == Element::f32 && p.a.k_stride == 1 &&
      reinterpret_cast<uintptr_t>(p.a.data) % alignof(float) == 0) {
    block.x = static_cast<const float*>(p.a.data);
    block.x_stride = p.a.lane_stride;
  } else {
    block.x_stride = ceil_div(p.k, p.group);
    float* x = scratch_a.words(p.m * block.x_stride);
    for (int64_t i = 0; i < p.m; ++i)
      table.prepare(p.arithmetic, p.a.element, part(p.a, i, 0).data, p.a.k_stride, p.k, x + i * block.x_stride);
    block.x = x;
  }
  // Tasks of whole strips, large enough that starting one costs little.
  constexpr int64_t kTaskBytes = 128 << 10;
  const int64_t step = p.b.k_stride != 1 && p.n >= 2048 ? 256 : 128;
  const int64_t column_bytes = p.k * bytes_of(p.b.element);
  const int64_t columns = thread_pool().threads() == 1 ? p.n : round_up(ceil_div(kTaskBytes, column_bytes), step);
  run_tasks(p.small(), ceil_div(p.n, columns), [&](int64_t task) {
    kernels::GemvBlock piece = block;
    const int64_t first = task * columns;
    piece.n = std::min(columns, p.n - first);
    piece.w = part(p.b, first, 0);
    piece.y += first;
    if (piece.bias) piece.bias += first;
    table.multiply(piece);
  });
}

// ---- many rows: rounds of (columns x k), in which B is packed once for all threads and then used by tasks that pack
// their own blocks of A

struct Round {
  const Product& p;
  const kernels::GemmTable& table;
  int64_t column, columns;  // of B and C
  int64_t unit, units;      // of k
  const float* packed_b;
};

int64_t elements(const Product& p, int64_t unit, int64_t units) {
  return std::min(p.k, (unit + units) * p.group) - unit * p.group;
}

// How many columns and k of B a piece of `decoded` has.
int64_t piece_columns(const Product& p) { return p.by_rows ? DecodedMatrix::kPieceRows : DecodedMatrix::kPieceColumns; }
int64_t piece_depth(const Product& p) { return p.by_rows ? DecodedMatrix::kPieceColumns : DecodedMatrix::kPieceRows; }

void pack_decoded(const Round& r, float* to) {
  const Product& p = r.p;
  const int64_t wide = piece_columns(p), deep = piece_depth(p), panel = r.units * r.table.lanes, all = elements(p, r.unit, r.units);
  const int64_t across = ceil_div(r.columns, wide);
  run_tasks(p.small(), across * ceil_div(all, deep), [&](int64_t task) {
    alignas(64) static thread_local float piece[DecodedMatrix::kPieceRows * DecodedMatrix::kPieceColumns];
    const int64_t column = task % across * wide, columns = std::min(wide, r.columns - column), k = task / across * deep, depth = std::min(deep, all - k);
    const int64_t first_column = r.column + column, first_k = r.unit * p.group + k;
    if (p.by_rows) p.decoded->decode(first_column, columns, first_k, depth, piece);
    else p.decoded->decode(first_k, depth, first_column, columns, piece);
    const GemmSource source{piece, Element::f32, columns, p.by_rows ? depth : 1, p.by_rows ? 1 : columns};
    r.table.pack(p.arithmetic, source, columns, r.table.lanes, depth, to + column / r.table.lanes * panel + k / p.group * r.table.lanes, panel);
  });
}

void pack_b(const Round& r, float* to) {
  if (r.p.decoded) return pack_decoded(r, to);
  const int64_t grain = r.table.lanes * std::max<int64_t>(2, kPackedWords / (r.units * r.table.lanes));
  run_tasks(r.p.small(), ceil_div(r.columns, grain), [&](int64_t task) {
    const int64_t first = task * grain, panel = r.units * r.table.lanes;
    r.table.pack(r.p.arithmetic, part(r.p.b, r.column + first, r.unit * r.p.group), std::min(grain, r.columns - first),
                 r.table.lanes, elements(r.p, r.unit, r.units), to + first / r.table.lanes * panel, panel);
  });
}

// A block of rows of A as panels of words.
struct PackedRows {
  int64_t tile_rows, panel;  // rows and words of a panel
  int64_t words;             // of the block
  PackedRows(const Round& r, int64_t rows)
      : tile_rows(r.p.tile > 1 ? r.p.tile : even_piece(rows, r.table.tile_rows, 1)), panel(r.units * r.table.lanes), words(ceil_div(rows, tile_rows) * panel) {}

  void pack(const Round& r, int64_t row, int64_t rows, float* to) const {
    const GemmSource a = part(r.p.a, row, r.unit * r.p.group);
    if (r.p.tile > 1) r.table.pack_tiles(a, rows, elements(r.p, r.unit, r.units), to, panel);
    else r.table.pack(r.p.arithmetic, a, rows, tile_rows, elements(r.p, r.unit, r.units), to, panel);
  }
};

// A part of C; `packed_a` has its rows of A, or is null.
void multiply_task(const Round& r, int64_t row, int64_t rows, int64_t column, int64_t columns, const float* packed_a = nullptr) {
  const Product& p = r.p;
  const PackedRows form(r, rows);
  if (!packed_a) {
    float* own = scratch_a.words(form.words);
    form.pack(r, row, rows, own);
    packed_a = own;
  }
  kernels::GemmBlock block{};
  block.units = r.units;
  block.a = packed_a;
  block.a_panel = form.panel;
  block.rows = rows;
  block.tile_rows = form.tile_rows;
  block.b = r.packed_b + column / r.table.lanes * form.panel;
  block.b_panel = form.panel;
  block.columns = columns;
  block.c = p.c + row * p.ldc + r.column + column;
  block.ldc = p.ldc;
  block.add_to_c = p.accumulate || r.unit > 0;
  const bool last = (r.unit + r.units) * p.group >= p.k;
  block.bias = last && p.bias ? p.bias + r.column + column : nullptr;
  r.table.multiply(p.arithmetic, block);
}

// How C [p.m, all_columns] is cut into tasks.
struct Cut {
  int64_t rows, columns;  // of a task, but for the last ones
  int64_t down, across;   // tasks

  Cut(const Product& p, int64_t all_columns, int lanes) {
    const int64_t wanted = p.small() ? 1 : thread_pool().threads() == 1 ? 1 : kTasksPerThread * thread_pool().threads();
    const int64_t width_step = 4 * lanes;
    rows = even_piece(p.m, p.tile > 1 ? kTileBlockRows : kBlockRows, p.tile);
    columns = round_up(all_columns, width_step);
    const auto tasks = [&] { return ceil_div(p.m, rows) * ceil_div(all_columns, columns); };
    while (tasks() < wanted && columns > kTaskColumns) columns = round_up(columns / 2, width_step);
    while (tasks() < wanted && rows > kTaskRows) rows = round_up(ceil_div(rows, 2), p.tile);
    down = ceil_div(p.m, rows);
    across = ceil_div(all_columns, columns);
  }
  // Calls body(row, rows, column, columns) for each task.
  template <class Body>
  void each(const Product& p, int64_t all_columns, Body&& body) const {
    run_tasks(p.small(), down * across, [&](int64_t task) {
      const int64_t row = task / across * rows, column = task % across * columns;
      body(row, std::min(rows, p.m - row), column, std::min(columns, all_columns - column));
    });
  }
};

// Rows of A that several tasks take are packed once for them.
void multiply(const Round& r) {
  const Cut cut(r.p, r.columns, r.table.lanes);
  float* all = nullptr;
  const int64_t block = PackedRows(r, cut.rows).words;
  if (cut.across > 1) {
    all = scratch_all_a.words(cut.down * block);
    constexpr int64_t kPieces = 4;  // of a block
    run_tasks(r.p.small(), cut.down * kPieces, [&](int64_t i) {
      const int64_t row = i / kPieces * cut.rows, rows = std::min(cut.rows, r.p.m - row), piece = i % kPieces;
      const PackedRows form(r, rows);
      const int64_t panels = ceil_div(rows, form.tile_rows), first = panels * piece / kPieces, begin = first * form.tile_rows;
      const int64_t end = std::min(rows, panels * (piece + 1) / kPieces * form.tile_rows);
      if (begin < end) form.pack(r, row + begin, end - begin, all + i / kPieces * block + first * form.panel);
    });
  }
  cut.each(r.p, r.columns, [&](int64_t row, int64_t rows, int64_t column, int64_t columns) {
    multiply_task(r, row, rows, column, columns, all ? all + row / cut.rows * block : nullptr);
  });
}

void many_rows(const Product& p) {
  const kernels::GemmTable& table = kernels::gemm();
  // Rounds of what is decoded begin where its pieces do.
  const int64_t step = p.decoded ? std::max<int64_t>(4 * table.lanes, piece_columns(p)) : 4 * table.lanes;
  const int64_t all_units = units_of(p.k, p.group, p.tile), units = even_piece(all_units, kRoundUnits, p.decoded ? piece_depth(p) / p.group : p.tile);
  const int64_t columns = even_piece(p.n, std::max(step, kRoundWords / units / step * step), step);
  float* packed_b = scratch_b.words(units * std::min(columns, round_up(p.n, table.lanes)));
  for (int64_t j = 0; j < p.n; j += columns)
    for (int64_t u = 0; u < all_units; u += units) {
      const Round round{p, table, j, std::min(columns, p.n - j), u, std::min(units, all_units - u), packed_b};
      pack_b(round, packed_b);
      multiply(round);
    }
}

// A sum over no k at all.
void no_products(const Product& p) {
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      float& c = p.c[i * p.ldc + j];
      c = (p.accumulate ? c : 0.0f) + (p.bias ? p.bias[j] : 0.0f);
    }
}

}  // namespace

ProductScope::ProductScope(bool bf16) : before_(in_bf16) { in_bf16 = bf16; }
ProductScope::~ProductScope() { in_bf16 = before_; }
bool ProductScope::is_bf16() { return in_bf16; }

void gemm(int64_t m, int64_t n, int64_t k, const MatrixView& a, const MatrixView& b, float* c, int64_t ldc,
          bool accumulate, const float* bias) {
  require(m >= 0 && n >= 0 && k >= 0, "gemm: sizes {} x {} x {}, expected none below 0", m, n, k);
  if (m == 0 || n == 0) return;
  const GemmSource rows{a.data, element_of(a.dtype, "A"), m, a.row_stride, a.column_stride};
  const GemmSource columns{b.data, element_of(b.dtype, "B"), n, b.column_stride, b.row_stride};
  const bool rounded = in_bf16 && columns.element == Element::f32;
  const Arithmetic arithmetic = rounded || columns.element == Element::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  const int64_t group = arithmetic == Arithmetic::bf16 ? kernels::gemm().bf16_group : 1, tile = tile_of(kernels::gemm(), arithmetic);
  const Product p{m, n, k, rows, columns, arithmetic, group, tile, c, ldc, accumulate, bias};
  if (k == 0)
    no_products(p);
  else if (m <= kFewRows && !rounded && tile == 1 && (columns.k_stride == 1 || columns.lane_stride == 1))
    few_rows(p);
  else
    many_rows(p);
}

namespace {

void multiply_decoded(const DecodedMatrix& w, bool by_rows, int64_t m, const float* a, float* c) {
  const int64_t n = by_rows ? w.rows : w.columns, k = by_rows ? w.columns : w.rows;
  if (m == 0 || n == 0) return;
  const Arithmetic arithmetic = in_bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  const int64_t group = in_bf16 ? kernels::gemm().bf16_group : 1;
  const GemmSource rows{a, Element::f32, m, k, 1};
  const Product p{m, n, k, rows, {}, arithmetic, group, tile_of(kernels::gemm(), arithmetic), c, n, false, nullptr, &w, by_rows};
  if (k == 0) no_products(p);
  else many_rows(p);
}

}  // namespace

void multiply_decoded(const DecodedMatrix& w, int64_t m, const float* x, float* y) { multiply_decoded(w, true, m, x, y); }
void multiply_decoded_transposed(const DecodedMatrix& w, int64_t m, const float* dy, float* dx) { multiply_decoded(w, false, m, dy, dx); }

// ---- B packed once

std::shared_ptr<const PackedB> PackedB::pack(int64_t k, std::span<const MatrixView> parts, std::span<const int64_t> columns, bool rounded) {
  const kernels::GemmTable& table = kernels::gemm();
  const Element element = element_of(parts[0].dtype, "B");
  const Arithmetic arithmetic = element == Element::bf16 || (rounded && element == Element::f32) ? Arithmetic::bf16 : Arithmetic::f32;
  if (k == 0 || element == Element::f16 || (arithmetic == Arithmetic::bf16 && table.bf16_group == 1)) return nullptr;
  int64_t n = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (n % table.lanes != 0 || parts[i].dtype != parts[0].dtype || columns[i] == 0) return nullptr;
    n += columns[i];
  }
  std::shared_ptr<PackedB> packed(new PackedB);
  PackedB& to = *packed;
  to.n_ = n;
  to.k_ = k;
  to.dtype_ = arithmetic == Arithmetic::bf16 ? DType::bf16 : parts[0].dtype;
  to.group_ = arithmetic == Arithmetic::bf16 ? table.bf16_group : 1;
  to.table_ = &table;
  to.padded_columns_ = round_up(n, table.lanes);
  to.tile_ = tile_of(table, arithmetic);
  const int64_t all_units = units_of(k, to.group_, to.tile_);
  to.units_ = even_piece(all_units, kRoundUnits, to.tile_);
  to.memory_ = allocate_huge(to.bytes());
  int64_t first = 0;
  for (size_t i = 0; i < parts.size(); first += columns[i++]) {
    const GemmSource b{parts[i].data, element, columns[i], parts[i].column_stride, parts[i].row_stride};
    const Product p{0, columns[i], k, {}, b, arithmetic, to.group_, to.tile_, nullptr, 0, false, nullptr};
    for (int64_t u = 0; u < all_units; u += to.units_) {
      const Round round{p, table, 0, columns[i], u, std::min(to.units_, all_units - u), nullptr};
      pack_b(round, const_cast<float*>(to.words(u, first)));
    }
  }
  return packed;
}

size_t PackedB::bytes() const { return static_cast<size_t>(units_of(k_, group_, tile_) * padded_columns_) * sizeof(float); }

// Where the round that starts at `unit` has the panel of `column`.
const float* PackedB::words(int64_t unit, int64_t column) const {
  const int64_t units = std::min(units_, units_of(k_, group_, tile_) - unit);
  return reinterpret_cast<const float*>(memory_.get()) + unit * padded_columns_ + column * units;
}

void PackedB::multiply(int64_t m, const float* a, int64_t lda, float* c, int64_t ldc, const float* bias, bool accumulate) const {
  if (m == 0) return;
  const kernels::GemmTable& table = *static_cast<const kernels::GemmTable*>(table_);
  const Arithmetic arithmetic = dtype_ == DType::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  const GemmSource rows{a, Element::f32, m, lda, 1};
  const Product p{m, n_, k_, rows, {}, arithmetic, group_, tile_, c, ldc, accumulate, bias};
  const int64_t all_units = units_of(k_, group_, tile_);
  const auto round_at = [&](int64_t u) { return Round{p, table, 0, n_, u, std::min(units_, all_units - u), words(u, 0)}; };
  const Cut cut(p, n_, table.lanes);
  if (cut.across > 1) {
    for (int64_t u = 0; u < all_units; u += units_) ops::multiply(round_at(u));
    return;
  }
  // A task goes through all of k: what it adds to stays in the cache, and the threads meet once.
  cut.each(p, n_, [&](int64_t row, int64_t row_count, int64_t column, int64_t columns) {
    for (int64_t u = 0; u < all_units; u += units_) multiply_task(round_at(u), row, row_count, column, columns);
  });
}

void PackedB::column(int64_t j, float* out) const {
  const int64_t lanes = static_cast<const kernels::GemmTable*>(table_)->lanes, all_units = ceil_div(k_, group_);
  for (int64_t u = 0; u < all_units; u += units_) {
    const int64_t units = std::min(units_, all_units - u);  // without those that fill a tile
    const float* from = words(u, j / lanes * lanes) + j % lanes;
    for (int64_t i = 0; i < units; ++i) {
      const uint32_t word = std::bit_cast<uint32_t>(from[i * lanes]);
      if (group_ == 1) {
        *out++ = from[i * lanes];
        continue;
      }
      *out++ = std::bit_cast<float>(word << 16);
      if ((u + i) * 2 + 1 < k_) *out++ = std::bit_cast<float>(word & 0xffff0000u);
    }
  }
}

static_assert(kFewRows <= kernels::kGemvRows);

}  // namespace mynah::ops
