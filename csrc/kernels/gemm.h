// The micro-kernel that everything dense is built on, and the matrix product made of it.
//
// A tile holds MR rows (pixels, samples) by NV vectors (output channels) of c in registers over its
// whole reduction. The reduction is a list of terms, so that a convolution walks its taps without
// im2col:
//   c[i][j] = bias[j] + sum over terms t and k < t.k of
//             a[t.a + i * a_row + k * a_col] * b[t.b + k * b_row + j],
// added to c if `accumulate`. Every element sums its products in the order of the terms, one fma
// after the other, in any tile: results do not depend on how the rows and columns were cut into
// tiles.
#pragma once

#include "parallel.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {

// The matrix product as in fastnn.h.
size_t gemm_scratch_bytes(const GemmShape& s, int threads, size_t item);
void gemm(const Exec&, const GemmShape&, const float* a, const float* b, const Epilogue<float>&,
          float* c, bool accumulate);
void gemm(const Exec&, const GemmShape&, const double* a, const double* b, const Epilogue<double>&,
          double* c, bool accumulate);

// Its forms for two kinds of shapes; gemm() takes them where they apply. Few rows of a, for which
// packing b would cost as much as the product:
bool has_few_rows(const GemmShape&);
void gemm_few_rows(const Exec&, const GemmShape&, const float* a, const float* b, const float* bias,
                   float* c, bool accumulate);
void gemm_few_rows(const Exec&, const GemmShape&, const double* a, const double* b,
                   const double* bias, double* c, bool accumulate);
// and a long reduction into a small c, which is split. Without a bias.
bool has_long_reduction(const GemmShape&);
size_t gemm_long_reduction_scratch_bytes(const GemmShape&, int threads, size_t item);
void gemm_long_reduction(const Exec&, const GemmShape&, const float* a, const float* b, float* c,
                         bool accumulate);
void gemm_long_reduction(const Exec&, const GemmShape&, const double* a, const double* b, double* c,
                         bool accumulate);

// out[j] (+)= sum over i < rows of x[i * cols + j], in fixed blocks of rows.
size_t column_sums_scratch_bytes(int64_t rows, int64_t cols, size_t item);
void column_sums(const Exec&, int64_t rows, int64_t cols, const float* x, float* out,
                 bool accumulate);
void column_sums(const Exec&, int64_t rows, int64_t cols, const double* x, double* out,
                 bool accumulate);

namespace {

// 32 registers hold 14 x 2 accumulators, 2 vectors of b and a broadcast element of a; 16 hold
// 6 x 2.
constexpr int tile_rows = vector_registers == 32 ? 14 : 6;
constexpr int tile_vectors = 2;
template <class T>
constexpr int64_t panel_width = tile_vectors * lanes<T>;  // columns of a packed panel of b

struct Term {
  int64_t a, b, k;
};

template <class T>
struct TileArgs {
  const T* a;
  int64_t a_row, a_col;
  const T* b;
  int64_t b_row;
  const Term* terms;
  int64_t n_terms;
  T* c;
  int64_t c_row;
  int64_t columns;  // 1 to NV * lanes
  bool accumulate;
  Epilogue<T> end = {};    // of this tile's columns and elements
  bool streaming = false;  // whole vectors of c bypass the caches; c is aligned then
  // Memory that comes next is fetched into L2 meanwhile, spread over the steps of the reduction:
  // step k touches the line of ahead[k * ahead_step]. Measured for 256 -> 64 channels of 56 x 56
  // pixels: 545 GFLOP/s with it, 464 to 405 without.
  const T* ahead = nullptr;
  int64_t ahead_step = 0;
};

// Cuts the fetching of `count` pieces of `size` elements, `pitch` apart, into the shares of `calls`
// tiles of `steps` steps each.
template <class T>
struct Ahead {
  const T* from;
  int64_t step;

  static Ahead share(const T* from, int64_t count, int64_t size, int64_t pitch, int64_t call,
                     int64_t calls, int64_t steps) {
    if (count == 0) return {from, 0};
    if (count == 1 || pitch == size) {  // nothing is left out
      const int64_t mine = count * size / calls;
      return {from + call * mine, ceil_div(mine, steps)};
    }
    const int64_t piece = call * count / calls;
    const int64_t first = ceil_div(piece * calls, count),
                  last = ceil_div((piece + 1) * calls, count);
    const int64_t mine = size / max_of(1, last - first);  // of a piece that some calls share
    return {from + piece * pitch + (call - first) * mine, ceil_div(mine, steps)};
  }
};

// The epilogue of the columns from k and the elements from `at` on.
template <class T>
Epilogue<T> part_of(const Epilogue<T>& e, int64_t k, int64_t at) {
  return {e.scale ? e.scale + k : nullptr, e.bias ? e.bias + k : nullptr,
          e.residual ? e.residual + at : nullptr, e.relu};
}

// The epilogue of a vector of columns from k on; n says how many, where they are not whole.
template <class T>
struct EpilogueColumns {
  Vec<T> scale, bias;
  const T* residual;
  bool relu;

  template <class... Part>
  FASTNN_INLINE EpilogueColumns(const Epilogue<T>& e, int64_t k, Part... n)
      : scale(splat(T(1))), bias{}, residual(e.residual), relu(e.relu) {
    if (e.scale) scale = load(e.scale + k, n...);
    if (e.bias) bias = load(e.bias + k, n...);
  }
  // Of the sums v at element `at`.
  template <class... Part>
  FASTNN_INLINE Vec<T> operator()(Vec<T> v, int64_t at, Part... n) const {
    v = fma(v, scale, bias);
    if (residual) v += load(residual + at, n...);
    if (relu) v = v <= Vec<T>{} ? Vec<T>{} : v;
    return v;
  }
};

// PartialB: rows of b end with the last valid column (b is not a zero-padded panel). LongRows:
// a_row is not known where the tile is compiled, and the reduction is long.
template <class T, int MR, int NV, bool PartialB, bool LongRows>
void tile(const TileArgs<T>& t) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  // With a single vector of columns loads are the limit. Then every third row has a pointer of its
  // own, hidden from the compiler, which would make it one pointer and more offsets than there are
  // registers. (32 groups of 16 channels, 14 x 14: 1.02 ms instead of 1.14.)
  constexpr int step = LongRows && NV == 1 ? 3 : MR;
  const int64_t last = t.columns - (NV - 1) * L;  // valid lanes of the last vector
  // A prefetch of an unmapped address walks the page tables each time.
  const T* ahead = t.ahead ? t.ahead : t.a;
  if (t.accumulate) {  // c arrives during the reduction
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) prefetch(t.c + i * t.c_row + j * L);
    }
  }
  if (!PartialB && t.end.residual) {
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) prefetch(t.end.residual + i * t.c_row + j * L);
    }
  }
  V acc[MR][NV];
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) acc[i][j] = V{};
  }
  for (const Term *term = t.terms, *end = t.terms + t.n_terms; term != end; ++term) {
    const T* a[(MR + step - 1) / step];
    for (int i = 0; i < MR; i += step) a[i / step] = t.a + term->a + i * t.a_row;
    const T* b = t.b + term->b;
    for (int64_t k = term->k; k > 0; --k) {
      if constexpr (step < MR) {
#pragma GCC unroll 5
        for (int i = 0; i < MR; i += step) asm("" : "+r"(a[i / step]));
      }
      prefetch(ahead);
      ahead += t.ahead_step;
      V bv[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        bv[j] = PartialB && j == NV - 1 ? load(b + j * L, last) : load(b + j * L);
      }
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const V av = splat(a[i / step][i % step * t.a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
#pragma GCC unroll 5
      for (int i = 0; i < MR; i += step) a[i / step] += t.a_col;
      b += t.b_row;
    }
  }
  const bool whole = last == L;
  // Apart from each other, since most tiles end with their sums, or a bias: with all in one, 16
  // channels of 32 x 32 pixels take 6 % longer.
  if (!PartialB && t.end.more()) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const EpilogueColumns<T> finish = j < NV - 1 || whole
                                            ? EpilogueColumns<T>(t.end, j * L)
                                            : EpilogueColumns<T>(t.end, j * L, last);
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const int64_t at = i * t.c_row + j * L;
        T* const c = t.c + at;
        if (j == NV - 1 && !whole) {
          const V v = t.accumulate ? load(c, last) + acc[i][j] : acc[i][j];
          store(c, finish(v, at, last), last);
          continue;
        }
        const V v = finish(t.accumulate ? load(c) + acc[i][j] : acc[i][j], at);
        if (t.streaming) {
          stream(c, v);
        } else {
          store(c, v);
        }
      }
    }
    return;
  }
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    const bool full = j < NV - 1 || whole;
    V bias{};
    if (t.end.bias) bias = full ? load(t.end.bias + j * L) : load(t.end.bias + j * L, last);
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
      T* c = t.c + i * t.c_row + j * L;
      if (full) {
        const V v = (t.accumulate ? load(c) + acc[i][j] : acc[i][j]) + bias;
        if (t.streaming) {
          stream(c, v);
        } else {
          store(c, v);
        }
      } else {
        store(c, (t.accumulate ? load(c, last) + acc[i][j] : acc[i][j]) + bias, last);
      }
    }
  }
}

template <class T, bool PartialB, bool LongRows, int NV, int MR>
void run_tile_rows(int64_t rows, const TileArgs<T>& t) {
  if constexpr (MR > 1) {
    if (rows < MR) return run_tile_rows<T, PartialB, LongRows, NV, MR - 1>(rows, t);
  }
  tile<T, MR, NV, PartialB, LongRows>(t);
}

// The tile of `rows` (1 to tile_rows) by t.columns (1 to panel_width).
template <class T, bool PartialB = false, bool LongRows = false>
void run_tile(int64_t rows, const TileArgs<T>& t) {
  if (t.columns > lanes<T>) {
    run_tile_rows<T, PartialB, LongRows, 2, tile_rows>(rows, t);
  } else {
    run_tile_rows<T, PartialB, LongRows, 1, tile_rows>(rows, t);
  }
}

// Cuts n rows into ceil(n / tile_rows) tiles of almost equal height: the first row of tile i.
FASTNN_INLINE int64_t tile_begin(int64_t n, int64_t tiles, int64_t i) { return n * i / tiles; }

// Hands out pieces of scratch memory; with a null base it only counts.
class Pieces {
 public:
  explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t n) {
    char* const piece = base_ ? base_ + used_ : nullptr;
    used_ += round_up(max_of(n, 0) * static_cast<int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return static_cast<size_t>(used_); }
  void* rest() const { return base_ + used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

// The matrix products of a linear layer: y = x w^T, dx = dy w, dw = dy^T x.
constexpr GemmShape forward_gemm(const LinearShape& s) {
  return {.M = s.N,
          .N = s.O,
          .K = s.I,
          .a_row = s.I,
          .a_col = 1,
          .b_row = 1,
          .b_col = s.I,
          .c_row = s.O};
}
constexpr GemmShape backward_input_gemm(const LinearShape& s) {
  return {.M = s.N,
          .N = s.I,
          .K = s.O,
          .a_row = s.O,
          .a_col = 1,
          .b_row = s.I,
          .b_col = 1,
          .c_row = s.I};
}
constexpr GemmShape backward_weight_gemm(const LinearShape& s) {
  return {.M = s.O,
          .N = s.I,
          .K = s.N,
          .a_row = 1,
          .a_col = s.O,
          .b_row = s.I,
          .b_col = 1,
          .c_row = s.I};
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
