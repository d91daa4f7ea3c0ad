// c (+)= a b + bias, row-major by strides. Blocks of b (KC x NC) are packed into panels of
// panel_width columns, blocks of a (rows of some tiles x KC) into slivers of tile_rows rows where
// its own layout would miss the cache; parallel over blocks of c. 2 M N K operations; reads a once
// for each 256 columns, b once, c once for each KC of the reduction.
#include "gemm.h"

#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t kc_max = 512;  // a panel of KC x 32 floats takes 64 KB, a sliver of 14 x KC 28 KB
constexpr int64_t nc_max = 4096;         // KC x NC floats take 6 MB of the shared cache
constexpr int64_t tiles_per_block = 8;   // of a, packed together: at most
constexpr int64_t wanted_blocks = 8;     // cut at least so many pieces of work for the threads
constexpr int64_t panels_per_block = 8;  // of b, for which the packed a is used
constexpr int64_t dot_rows = 6;          // up to that many rows of a, b transposed is read in place

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
struct Blocked {
  static constexpr int64_t W = panel_width<T>;
  const GemmShape& s;
  int64_t kc, nc, tiles, row_blocks;
  bool packing_a;
  int64_t b_size, a_size;  // of a packed block of b, and of the slivers of a thread

  explicit Blocked(const GemmShape& shape)
      : s(shape),
        kc(ceil_div(s.K, max_of(1, ceil_div(s.K, kc_max)))),
        nc(min_of(round_up(s.N, W), nc_max)),
        tiles(ceil_div(s.M, tile_rows)),
        row_blocks(max_of(ceil_div(tiles, tiles_per_block), min_of(tiles, wanted_blocks))),
        packing_a(pack_a(s, sizeof(T))),
        b_size(kc * nc),
        a_size(packing_a ? tiles_per_block * tile_rows * kc : 0) {}

  size_t bytes(int threads) const {
    return static_cast<size_t>(b_size + threads * a_size) * sizeof(T);
  }

  // The first row of tile t.
  int64_t row(int64_t t) const { return tile_begin(s.M, tiles, t); }

  // Slivers of a for the tiles begin to end, from column k0 on.
  void pack_rows(int64_t begin, int64_t end, const T* a, int64_t K, T* slivers) const {
    for (int64_t t = begin; t < end; ++t) {
      pack_sliver(a + row(t) * s.a_row, s.a_row, s.a_col, row(t + 1) - row(t), K,
                  slivers + (row(t) - row(begin)) * K);
    }
  }

  // Adds (or writes) the product of the tiles begin to end of a with the packed panels of b.
  void multiply(int64_t begin, int64_t end, const T* a, const T* panels, int64_t columns, int64_t K,
                const T* bias, T* c, bool accumulate, const T* slivers) const {
    const Term all{0, 0, K};
    for (int64_t j = 0; j < columns; j += W) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t rows = row(t + 1) - row(t);
        run_tile<T>(rows,
                    {.a = packing_a ? slivers + (row(t) - row(begin)) * K : a + row(t) * s.a_row,
                     .a_row = packing_a ? 1 : s.a_row,
                     .a_col = packing_a ? rows : s.a_col,
                     .b = panels + j * K,
                     .b_row = W,
                     .terms = &all,
                     .n_terms = 1,
                     .c = c + row(t) * s.c_row + j,
                     .c_row = s.c_row,
                     .bias = bias ? bias + j : nullptr,
                     .columns = min_of(W, columns - j),
                     .accumulate = accumulate});
      }
    }
  }

  void run(const Exec& exec, const T* a, const T* b, const T* bias, T* c, bool accumulate) const {
    T* const packed_b = static_cast<T*>(exec.scratch);
    for (int64_t j0 = 0; j0 < s.N; j0 += nc) {
      const int64_t columns = min_of(nc, s.N - j0), panels = ceil_div(columns, W);
      const int64_t panel_blocks = ceil_div(panels, panels_per_block);
      int64_t k0 = 0;
      do {  // once also for an empty reduction
        const int64_t K = min_of(kc, s.K - k0), items = row_blocks * panel_blocks;
        const T *const a_block = a + k0 * s.a_col, *const b_block = b + k0 * s.b_row + j0 * s.b_col;
        parallel_for(exec, panels, 1 + 60000 / (K * W + 1), [&](int64_t begin, int64_t end, int) {
          for (int64_t p = begin; p < end; ++p) {
            pack_panel(b_block + p * W * s.b_col, s.b_row, s.b_col, K, min_of(W, columns - p * W),
                       packed_b + p * W * K);
          }
        });
        const int64_t grain = 1 + 1000000 / (s.M * panels * W * (K + 1) / items + 1);
        parallel_for(exec, items, grain, [&](int64_t begin, int64_t end, int thread) {
          T* const slivers = packed_b + b_size + thread * a_size;
          int64_t packed_block = -1;
          for (int64_t item = begin; item < end; ++item) {
            const int64_t block = item / panel_blocks, p0 = item % panel_blocks * panels_per_block;
            const int64_t tile0 = tiles * block / row_blocks,
                          tile1 = tiles * (block + 1) / row_blocks;
            if (packing_a && packed_block != block) pack_rows(tile0, tile1, a_block, K, slivers);
            packed_block = block;
            const int64_t j = p0 * W, end_column = min_of(j + panels_per_block * W, columns);
            multiply(tile0, tile1, a_block, packed_b + j * K, end_column - j, K,
                     bias && k0 == 0 ? bias + j0 + j : nullptr, c + j0 + j, accumulate || k0 > 0,
                     slivers);
          }
        });
        k0 += K;
      } while (k0 < s.K);
    }
  }
};

template <class T>
void gemm_of(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
             bool accumulate) {
  if (s.M == 0 || s.N == 0) return;
  if (use_dot(s)) return gemm_dot(exec, s, a, b, bias, c, accumulate);
  Blocked<T>(s).run(exec, a, b, bias, c, accumulate);
}

template <class T>
size_t scratch_bytes(const GemmShape& s, int threads) {
  return gemm_scratch_bytes(s, threads, sizeof(T));
}

// Rows are summed in blocks whose number depends on the shape alone. Eight rows that are shorter
// than a vector pass for one, whose eight parts are summed at the end.
constexpr int64_t sum_blocks(int64_t rows) { return min_of(64, ceil_div(rows, 256)); }
constexpr int64_t rows_at_once(int64_t rows, int64_t cols, int64_t vector) {
  return cols < vector && rows % 8 == 0 ? 8 : 1;
}

template <class T>
void column_sums_of(const Exec& exec, int64_t all_rows, int64_t all_cols, const T* x, T* out,
                    bool accumulate) {
  constexpr int64_t L = lanes<T>;
  const int64_t at_once = rows_at_once(all_rows, all_cols, L);
  const int64_t rows = all_rows / at_once, cols = all_cols * at_once, blocks = sum_blocks(rows);
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
  parallel_for(exec, all_cols, all_cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      T sum = 0;
      for (int64_t part = 0; part < blocks * at_once; ++part) sum += partial[part * all_cols + j];
      out[j] = accumulate ? out[j] + sum : sum;
    }
  });
}

}  // namespace

size_t gemm_scratch_bytes(const GemmShape& s, int threads, size_t item) {
  if (use_dot(s)) return 0;
  return item == sizeof(float) ? Blocked<float>(s).bytes(threads)
                               : Blocked<double>(s).bytes(threads);
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
  const int64_t at_once = rows_at_once(rows, cols, vector_bytes / static_cast<int64_t>(item));
  return static_cast<size_t>(sum_blocks(rows / at_once) * cols * at_once) * item;
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
