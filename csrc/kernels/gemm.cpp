// c (+)= a b + bias, row-major by strides. Blocks of b (KC x NC) are packed into panels of
// panel_width columns, blocks of a (rows of some tiles x KC) into slivers of tile_rows rows where
// its own layout would miss the cache; parallel over blocks of c. 2 M N K operations; reads a once
// for each 256 columns, b once, c once for each KC of the reduction.
#include "gemm.h"

#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t kc_max = 384;  // a panel of KC x 32 floats takes 48 KB, a sliver of 14 x KC 21 KB
constexpr int64_t nc_max = 4096;         // KC x NC floats take 6 MB of the shared cache
constexpr int64_t tiles_per_block = 8;   // of a, packed together
constexpr int64_t panels_per_block = 8;  // of b, for which the packed a is used
constexpr int64_t dot_rows = 6;          // up to that many rows of a, b transposed is read in place

struct Blocks {
  int64_t kc, nc, tiles, tile_blocks;
  explicit Blocks(const GemmShape& s, int64_t width)
      : kc(min_of(s.K, kc_max)),
        nc(min_of(round_up(s.N, width), nc_max)),
        tiles(ceil_div(s.M, tile_rows)),
        tile_blocks(ceil_div(tiles, tiles_per_block)) {}
  int64_t b_size() const { return kc * nc; }
  int64_t a_size() const { return tiles_per_block * tile_rows * kc; }
};

// Rows that lie a multiple of this many bytes apart compete for the same cache sets.
bool pack_a(const GemmShape& s, size_t item) {
  return s.a_col != 1 || s.N >= 256 || (s.a_row * static_cast<int64_t>(item)) % 1024 == 0;
}

bool use_dot(const GemmShape& s) { return s.M <= dot_rows && s.a_col == 1 && s.b_row == 1; }

// One panel: b[k][j] for k < K, j < columns, zero up to the width.
template <class T>
void pack_panel(const T* b, int64_t b_row, int64_t b_col, int64_t K, int64_t columns, T* panel) {
  constexpr int64_t W = panel_width<T>;
  if (columns < W) {
    for (int64_t i = 0; i < K * W; ++i) panel[i] = 0;
  }
  if (b_col == 1) {
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t j = 0; j < columns; ++j) panel[k * W + j] = b[k * b_row + j];
    }
  } else {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t k = 0; k < K; ++k) panel[k * W + j] = b[j * b_col + k * b_row];
    }
  }
}

// MR rows side by side: sliver[k][i] = a[i][k].
template <class T>
void pack_sliver(const T* a, int64_t a_row, int64_t a_col, int64_t rows, int64_t K, T* sliver) {
  if (a_col == 1) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = 0; k < K; ++k) sliver[k * rows + i] = a[i * a_row + k];
    }
  } else {
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t i = 0; i < rows; ++i) sliver[k * rows + i] = a[i * a_row + k * a_col];
    }
  }
}

// c for few rows of a and b transposed (each column contiguous): dot products along k, four columns
// at a time, bound by reading b.
template <class T, int MR>
void dot_tile(const GemmShape& s, const T* a, const T* b, const T* bias, T* c, int64_t j0,
              int64_t columns, bool accumulate) {
  using V = Vec<T>;
  constexpr int NC = 4;
  constexpr int64_t L = lanes<T>;
  V acc[MR][NC];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < NC; ++j) acc[i][j] = V{};
  }
  const T* columns_of_b[NC];
  for (int j = 0; j < NC; ++j) columns_of_b[j] = b + (j0 + min_of(j, columns - 1)) * s.b_col;
  int64_t k = 0;
  for (; k + L <= s.K; k += L) {
#pragma GCC unroll 4
    for (int j = 0; j < NC; ++j) {
      const V bv = load(columns_of_b[j] + k);
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) acc[i][j] = fma(load(a + i * s.a_row + k), bv, acc[i][j]);
    }
  }
  if (k < s.K) {
    for (int j = 0; j < NC; ++j) {
      const V bv = load(columns_of_b[j] + k, s.K - k);
      for (int i = 0; i < MR; ++i)
        acc[i][j] = fma(load(a + i * s.a_row + k, s.K - k), bv, acc[i][j]);
    }
  }
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < columns; ++j) {
      T& out = c[i * s.c_row + j0 + j];
      const T sum = reduce_add<T>(acc[i][j]) + (bias ? bias[j0 + j] : T{0});
      out = accumulate ? out + sum : sum;
    }
  }
}

template <class T, int MR>
void run_dot_tile(const GemmShape& s, const T* a, const T* b, const T* bias, T* c, int64_t j0,
                  int64_t columns, bool accumulate) {
  if constexpr (MR > 1) {
    if (s.M < MR) return run_dot_tile<T, MR - 1>(s, a, b, bias, c, j0, columns, accumulate);
  }
  dot_tile<T, MR>(s, a, b, bias, c, j0, columns, accumulate);
}

template <class T>
void gemm_dot(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
              bool accumulate) {
  const int64_t grain = 1 + 100000 / (s.M * s.K + 1);
  parallel_for(exec, ceil_div(s.N, 4), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin * 4; j < min_of(end * 4, s.N); j += 4) {
      run_dot_tile<T, dot_rows>(s, a, b, bias, c, j, min_of(4, s.N - j), accumulate);
    }
  });
}

template <class T>
void gemm_blocked(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
                  bool accumulate) {
  constexpr int64_t W = panel_width<T>;
  const Blocks blocks(s, W);
  const bool packing_a = pack_a(s, sizeof(T));
  T* const packed_b = static_cast<T*>(exec.scratch);
  T* const packed_a = packed_b + blocks.b_size();
  for (int64_t j0 = 0; j0 < s.N; j0 += blocks.nc) {
    const int64_t columns = min_of(blocks.nc, s.N - j0), panels = ceil_div(columns, W);
    int64_t k0 = 0;
    do {  // once also for an empty reduction
      const int64_t K = min_of(blocks.kc, s.K - k0);
      const bool adding = accumulate || k0 > 0;
      parallel_for(exec, panels, 1 + 60000 / (K * W + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t p = begin; p < end; ++p) {
          pack_panel(b + k0 * s.b_row + (j0 + p * W) * s.b_col, s.b_row, s.b_col, K,
                     min_of(W, columns - p * W), packed_b + p * W * K);
        }
      });
      const int64_t panel_blocks = ceil_div(panels, panels_per_block);
      const int64_t block_work = min_of(tiles_per_block, blocks.tiles) * tile_rows *
                                 min_of(panels_per_block, panels) * W * (K + 1);
      const int64_t grain = 1 + 1000000 / block_work;
      parallel_for(exec, blocks.tile_blocks * panel_blocks, grain,
                   [&](int64_t begin, int64_t end, int thread) {
                     T* const slivers = packed_a + thread * blocks.a_size();
                     int64_t packed_block = -1;
                     for (int64_t item = begin; item < end; ++item) {
                       const int64_t block = item / panel_blocks, panel_block = item % panel_blocks;
                       const int64_t tile0 = block * tiles_per_block,
                                     tile1 = min_of(tile0 + tiles_per_block, blocks.tiles);
                       const int64_t row0 = tile_begin(s.M, blocks.tiles, tile0);
                       if (packing_a && packed_block != block) {
                         for (int64_t t = tile0; t < tile1; ++t) {
                           const int64_t row = tile_begin(s.M, blocks.tiles, t);
                           const int64_t rows = tile_begin(s.M, blocks.tiles, t + 1) - row;
                           pack_sliver(a + row * s.a_row + k0 * s.a_col, s.a_row, s.a_col, rows, K,
                                       slivers + (row - row0) * K);
                         }
                         packed_block = block;
                       }
                       const Term all{0, 0, K};
                       for (int64_t p = panel_block * panels_per_block;
                            p < min_of((panel_block + 1) * panels_per_block, panels); ++p) {
                         const int64_t j = j0 + p * W;
                         for (int64_t t = tile0; t < tile1; ++t) {
                           const int64_t row = tile_begin(s.M, blocks.tiles, t);
                           const int64_t rows = tile_begin(s.M, blocks.tiles, t + 1) - row;
                           run_tile<T>(rows, {.a = packing_a ? slivers + (row - row0) * K
                                                             : a + row * s.a_row + k0 * s.a_col,
                                              .a_row = packing_a ? 1 : s.a_row,
                                              .a_col = packing_a ? rows : s.a_col,
                                              .b = packed_b + p * W * K,
                                              .b_row = W,
                                              .terms = &all,
                                              .n_terms = 1,
                                              .c = c + row * s.c_row + j,
                                              .c_row = s.c_row,
                                              .bias = bias && k0 == 0 ? bias + j : nullptr,
                                              .columns = min_of(W, columns - p * W),
                                              .accumulate = adding});
                         }
                       }
                     }
                   });
      k0 += K;
    } while (k0 < s.K);
  }
}

template <class T>
void gemm_of(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
             bool accumulate) {
  if (s.M == 0 || s.N == 0) return;
  if (use_dot(s)) return gemm_dot(exec, s, a, b, bias, c, accumulate);
  gemm_blocked(exec, s, a, b, bias, c, accumulate);
}

template <class T>
size_t scratch_bytes(const GemmShape& s, int threads) {
  return gemm_scratch_bytes(s, threads, sizeof(T));
}

// Rows are summed in blocks whose number depends on the shape alone.
constexpr int64_t sum_blocks(int64_t rows) { return min_of(64, ceil_div(rows, 256)); }

template <class T>
void column_sums_of(const Exec& exec, int64_t rows, int64_t cols, const T* x, T* out,
                    bool accumulate) {
  constexpr int64_t L = lanes<T>;
  const int64_t blocks = sum_blocks(rows);
  T* const partial = static_cast<T*>(exec.scratch);
  parallel_for(exec, blocks, 1 + 50000 * blocks / (rows * cols + 1),
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t block = begin; block < end; ++block) {
                   const int64_t row0 = rows * block / blocks, row1 = rows * (block + 1) / blocks;
                   for (int64_t j = 0; j < cols; j += L) {
                     const int64_t n = min_of(L, cols - j);
                     Vec<T> sum{};
                     for (int64_t i = row0; i < row1; ++i)
                       sum += n == L ? load(x + i * cols + j) : load(x + i * cols + j, n);
                     store(partial + block * cols + j, sum, n);
                   }
                 }
               });
  parallel_for(exec, cols, cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      T sum = 0;
      for (int64_t block = 0; block < blocks; ++block) sum += partial[block * cols + j];
      out[j] = accumulate ? out[j] + sum : sum;
    }
  });
}

}  // namespace

size_t gemm_scratch_bytes(const GemmShape& s, int threads, size_t item) {
  if (use_dot(s)) return 0;
  const int64_t width = tile_vectors * vector_bytes / static_cast<int64_t>(item);
  const Blocks blocks(s, width);
  return static_cast<size_t>(blocks.b_size() + (pack_a(s, item) ? threads * blocks.a_size() : 0)) *
         item;
}

void gemm(const Exec& exec, const GemmShape& s, const float* a, const float* b, const float* bias,
          float* c, bool accumulate) {
  gemm_of(exec, s, a, b, bias, c, accumulate);
}
void gemm(const Exec& exec, const GemmShape& s, const double* a, const double* b,
          const double* bias, double* c, bool accumulate) {
  gemm_of(exec, s, a, b, bias, c, accumulate);
}

size_t column_sums_scratch_bytes(int64_t rows, int64_t cols, size_t item) {
  return static_cast<size_t>(sum_blocks(rows) * cols) * item;
}
void column_sums(const Exec& exec, int64_t rows, int64_t cols, const float* x, float* out,
                 bool accumulate) {
  column_sums_of(exec, rows, cols, x, out, accumulate);
}
void column_sums(const Exec& exec, int64_t rows, int64_t cols, const double* x, double* out,
                 bool accumulate) {
  column_sums_of(exec, rows, cols, x, out, accumulate);
}

void fill_gemm(Ops<float>& t) {
  t.gemm_scratch_bytes = scratch_bytes<float>;
  t.gemm = gemm;
}
void fill_gemm(Ops<double>& t) {
  t.gemm_scratch_bytes = scratch_bytes<double>;
  t.gemm = gemm;
}

}  // namespace fastnn::FASTNN_ISA
