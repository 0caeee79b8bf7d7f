#include "ops/packed_matrix.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"
#include "ops/gemm.h"
#include "ops/huge_memory.h"

namespace mynah::ops {
namespace {

using kernels::ActivationBlock;
using kernels::kPanelRows;

// Work is cut into pieces of at most about this many bytes of the matrix (some microseconds of reading), and a matrix
// into at least kPieces, so that threads end together.
constexpr int64_t kPieceBytes = 64 << 10, kPieces = 8;
// Products of fewer bytes times rows of x than this stay on the calling thread.
constexpr int64_t kSmallWork = 48 << 10;
// Rows of x that are multiplied with a piece at once: with 2 K bytes each they stay in the second-level cache.
constexpr int64_t kRowsAtOnce = 128;

kernels::BlockFormat format_of(DType dtype) {
  return static_cast<kernels::BlockFormat>(static_cast<int>(dtype) - static_cast<int>(DType::q4_0));
}

int64_t panels_of(const Tensor& t) { return (t.size(0) + kPanelRows - 1) / kPanelRows; }

void check(std::span<const Tensor> rows) {
  require(!rows.empty(), "pack: got no tensors, expected at least one");
  for (const Tensor& t : rows) {
    require(t.defined() && t.rank() == 2 && is_quantized(t.dtype()),
            "pack: got {} {}, expected a block-quantised matrix", t.defined() ? name(t.dtype()) : "undefined",
            t.shape().str());
    require(t.size(0) > 0 && t.size(1) > 0 && t.size(1) == rows[0].size(1),
            "pack: got shape {}, expected [N,{}] with N > 0", t.shape().str(), rows[0].size(1));
    const auto block = static_cast<int64_t>(block_elements(t.dtype()));
    require(t.size(1) % block == 0, "pack: got {} columns of {}, expected a multiple of {}", t.size(1), name(t.dtype()),
            block);
  }
}

}  // namespace

void QuantizedRows::assign(const float* x, int64_t m, int64_t k, int64_t ldx) {
  const int64_t blocks = kernels::activation_blocks(k / 32);
  if (blocks_.size() < static_cast<size_t>(m * blocks)) blocks_.resize(static_cast<size_t>(m * blocks));
  rows_ = m;
  columns_ = k;
  const auto& kernel = kernels::quant();
  ActivationBlock* out = blocks_.data();
  parallel_for(m, std::max<int64_t>(1, 16384 / k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) kernel.quantize(x + i * ldx, k, out + i * blocks);
  });
}

std::shared_ptr<const PackedMatrix> PackedMatrix::pack(std::span<const Tensor> rows,
                                                       const std::function<void(const Tensor&)>& packed) {
  check(rows);
  std::shared_ptr<PackedMatrix> matrix(new PackedMatrix);
  matrix->columns_ = rows[0].size(1);
  const int64_t k = matrix->columns_;
  for (const Tensor& t : rows) matrix->bytes_ += kernels::packed_bytes(format_of(t.dtype()), t.size(0), k);
  matrix->memory_ = allocate_huge(matrix->bytes_);

  int64_t all_panels = 0;
  for (const Tensor& t : rows) all_panels += panels_of(t);

  uint8_t* to = matrix->memory_.get();
  matrix->segments_.reserve(rows.size());
  for (const Tensor& t : rows) {
    const kernels::BlockFormat format = format_of(t.dtype());
    const auto panel = static_cast<int64_t>(kernels::panel_bytes(format, k));
    matrix->segments_.push_back({format, t.size(0), matrix->rows_, to, panel});
    const Segment& segment = matrix->segments_.back();
    const auto row_bytes = static_cast<int64_t>(t.nbytes()) / t.size(0);
    const auto* from = t.data<uint8_t>();
    const int64_t panels = panels_of(t);
    parallel_for(panels, std::max<int64_t>(1, (256 << 10) / panel), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        kernels::pack_panel(format, from + p * kPanelRows * row_bytes, std::min(kPanelRows, t.size(0) - p * kPanelRows),
                            k, to + p * panel);
    });
    // Two panels at least: the kernel for many rows of x takes them in pairs.
    const int64_t piece =
        std::max<int64_t>(2, std::min(kPieceBytes / panel, all_panels / kPieces) / 2 * 2) * kPanelRows;
    for (int64_t r = 0; r < segment.rows; r += piece)
      matrix->pieces_.push_back({&segment, r, std::min(piece, segment.rows - r)});
    to += panels * panel;
    matrix->rows_ += segment.rows;
    if (packed) packed(t);
  }
  return matrix;
}

void PackedMatrix::multiply_part(const Segment& segment, int64_t first_row, int64_t rows, const ActivationBlock* x,
                                 int64_t m, float* y, int64_t ldy) const {
  const uint8_t* panels = segment.panels + first_row / kPanelRows * segment.panel_bytes;
  kernels::quant().multiply[static_cast<int>(segment.format)](panels, rows, columns_ / 32, x, m, y, ldy);
}

template <class Body>
void PackedMatrix::for_each_piece(int64_t pieces, int64_t m, Body&& body) const {
  const int64_t chunks = pieces * ((m + kRowsAtOnce - 1) / kRowsAtOnce);
  auto run = [&](int64_t chunk) {
    const int64_t first = chunk / pieces * kRowsAtOnce;
    body(pieces_[static_cast<size_t>(chunk % pieces)], first, std::min(kRowsAtOnce, m - first));
  };
  if (static_cast<int64_t>(bytes_) * m < kSmallWork) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) run(chunk);
  } else {
    thread_pool().run(chunks, run);
  }
}

void PackedMatrix::multiply(const QuantizedRows& x, float* y, int64_t ldy) const {
  MYNAH_CHECK(x.columns() == columns_);
  for_each_piece(static_cast<int64_t>(pieces_.size()), x.rows(), [&](const Piece& piece, int64_t first, int64_t m) {
    multiply_part(*piece.segment, piece.first_row, piece.rows, x.data() + first * kernels::activation_blocks(columns_ / 32), m,
                  y + first * ldy + piece.segment->first_row + piece.first_row, ldy);
  });
}

void PackedMatrix::multiply_swiglu(const QuantizedRows& x, float* y, int64_t ldy) const {
  MYNAH_CHECK(x.columns() == columns_ && has_halves());
  // The pieces of the first segment, each with the same rows of the second.
  const auto pieces =
      std::count_if(pieces_.begin(), pieces_.end(), [&](const Piece& p) { return p.segment == segments_.data(); });
  for_each_piece(pieces, x.rows(), [&](const Piece& piece, int64_t first, int64_t m) {
    static thread_local std::vector<float> buffer;
    if (buffer.size() < static_cast<size_t>(2 * m * piece.rows)) buffer.resize(static_cast<size_t>(2 * m * piece.rows));
    float *gate = buffer.data(), *up = gate + m * piece.rows;
    const ActivationBlock* a = x.data() + first * kernels::activation_blocks(columns_ / 32);
    multiply_part(segments_[0], piece.first_row, piece.rows, a, m, gate, piece.rows);
    multiply_part(segments_[1], piece.first_row, piece.rows, a, m, up, piece.rows);
    kernels::rows().glu(kernels::Unary::silu, gate, piece.rows, up, piece.rows, y + first * ldy + piece.first_row, ldy,
                        m, piece.rows);
  });
}

namespace {

// Kept per calling thread: no allocation once it has grown. No body of the pool's work comes back here while it is in
// use.
const QuantizedRows& quantized(const float* x, int64_t m, int64_t k, int64_t ldx) {
  static thread_local QuantizedRows rows;
  rows.assign(x, m, k, ldx);
  return rows;
}

}  // namespace

void PackedMatrix::multiply(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy) const {
  multiply(quantized(x, m, columns_, ldx), y, ldy);
}

void PackedMatrix::multiply_swiglu(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy) const {
  multiply_swiglu(quantized(x, m, columns_, ldx), y, ldy);
}

void PackedMatrix::dequantize(int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) const {
  for (const Segment& s : segments_) {
    const int64_t begin = std::max(row, s.first_row) - s.first_row, end = std::min(row + rows, s.first_row + s.rows) - s.first_row;
    for (int64_t from = begin, to; from < end; from = to) {
      const int64_t panel = from / kPanelRows;
      to = std::min(end, (panel + 1) * kPanelRows);
      kernels::quant().dequantize[static_cast<int>(s.format)](s.panels + panel * s.panel_bytes, columns_ / 32, column / 32, (column + columns) / 32,
                                                              from % kPanelRows, to - from, out + (s.first_row + from - row) * columns, columns);
    }
  }
}

void PackedMatrix::dequantize_rows(int64_t first, int64_t count, float* out) const {
  MYNAH_CHECK(first >= 0 && first + count <= rows_);
  parallel_for(count, kPanelRows, [&](int64_t begin, int64_t end) { dequantize(first + begin, end - begin, 0, columns_, out + begin * columns_); });
}

void PackedMatrix::multiply_transposed(const float* dy, int64_t m, float* dx) const {
  const auto decode = [this](int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) { dequantize(row, rows, column, columns, out); };
  multiply_decoded_transposed({rows_, columns_, decode}, m, dy, dx);
}

}  // namespace mynah::ops
