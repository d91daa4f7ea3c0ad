// The micro-kernel that everything dense is built on.
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
  // So many panels of b at once, 1, 2 or 4 and at most panels_at_once(): their distance in b, and
  // in c and the bias. Several are multiplied in the general form, and end with their sums or a
  // bias.
  int64_t panels = 1, b_panel = 0, c_panel = 0;
};

// The ways to make the same sums. partial_b: rows of b end with the last valid column (b is not a
// zero-padded panel); without an epilogue but a bias. long_rows: for long reductions over rows of a
// that lie far apart, as in direct convolution.
enum class TileForm : int { general, partial_b, long_rows };

// Few rows by one panel are fewer sums than there are fmas on their way, so a tile may have several
// panels at once, which fill half of the registers with sums.
constexpr int panel_rows = vector_registers / 2 / tile_vectors;  // those of all panels together
constexpr int64_t panels_at_once(int64_t rows) {
  return rows <= panel_rows / 4 ? 4 : rows <= panel_rows / 2 ? 2 : 1;
}

// The tile of `rows` (1 to tile_rows) by t.columns (1 to panel_width).
template <class T>
void run_tile(int64_t rows, const TileArgs<T>&, TileForm form = TileForm::general);

namespace {

// Cuts n rows into ceil(n / tile_rows) tiles of almost equal height: the first row of tile i.
FASTNN_INLINE int64_t tile_begin(int64_t n, int64_t tiles, int64_t i) { return n * i / tiles; }

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

}  // namespace
}  // namespace fastnn::FASTNN_ISA
