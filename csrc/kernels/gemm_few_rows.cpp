// The matrix product for few rows of a, bound by reading b once, where it lies: packing it would
// cost about as much as the product. Parallel over blocks of columns. 2 M N K operations.
#include "gemm.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t few_rows = 4 * tile_rows;
constexpr int64_t wanted_blocks = 8;  // cut at least so many pieces of work for the threads

// A tile of dot products: so many rows of a by columns of b, and a block of both that stays in L2.
constexpr int dot_rows = vector_registers == 32 ? 6 : 2, dot_columns = 4;
constexpr int64_t dot_block_columns = 32, dot_block_k = 1024;

// Elements of a strip: rows of b that are read in place, so many for one tile of rows of a or more.
constexpr int64_t strip_size = 32768, strip_k_single = 32, strip_k = 64;

// b transposed: its columns lie in one piece, and so do the rows of a.
bool is_dot(const GemmShape& s) { return s.a_col == 1 && s.b_row == 1; }

template <class T>
struct DotArgs {
  const T* a;
  int64_t a_row;
  const T* b;
  int64_t b_col, columns;  // columns: 1 to dot_columns
  int64_t K;
  const T* bias;  // null: none
  T* c;
  int64_t c_row;
  bool accumulate;
  const T* ahead;  // what comes next, a line a vector
};

template <class T, int MR>
void dot_tile(const DotArgs<T>& t) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  V acc[MR][dot_columns];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < dot_columns; ++j) acc[i][j] = V{};
  }
  const T* b[dot_columns];
  for (int j = 0; j < dot_columns; ++j) b[j] = t.b + min_of(j, t.columns - 1) * t.b_col;
  int64_t k = 0;
  for (; k + L <= t.K; k += L) {
    prefetch(t.ahead + k);
    V bv[dot_columns];
#pragma GCC unroll 4
    for (int j = 0; j < dot_columns; ++j) bv[j] = load(b[j] + k);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const V av = load(t.a + i * t.a_row + k);
#pragma GCC unroll 4
      for (int j = 0; j < dot_columns; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
  }
  if (k < t.K) {
    for (int i = 0; i < MR; ++i) {
      const V av = load(t.a + i * t.a_row + k, t.K - k);
      for (int j = 0; j < dot_columns; ++j) acc[i][j] = fma(av, load(b[j] + k, t.K - k), acc[i][j]);
    }
  }
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < t.columns; ++j) {
      T& out = t.c[i * t.c_row + j];
      const T sum = reduce_add<T>(acc[i][j]) + (t.bias ? t.bias[j] : T{0});
      out = t.accumulate ? out + sum : sum;
    }
  }
}

template <class T, int MR = dot_rows>
void run_dot_tile(int64_t rows, const DotArgs<T>& t) {
  if constexpr (MR > 1) {
    if (rows < MR) return run_dot_tile<T, MR - 1>(rows, t);
  }
  dot_tile<T, MR>(t);
}

// Dot products along k. The columns of b that a block of rows of a meets are read again by the
// next block of rows, from L2.
template <class T>
void dot(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
         bool accumulate) {
  const int64_t chunks = ceil_div(s.M, dot_rows), blocks = ceil_div(s.N, dot_block_columns);
  const int64_t grain = 1 + 1600000 / (dot_block_columns * (s.M + 3) * (s.K + 1));
  parallel_for(exec, blocks, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t j0 = block * dot_block_columns, j1 = min_of(s.N, j0 + dot_block_columns);
      int64_t k0 = 0;
      do {  // once also for an empty reduction
        const int64_t K = min_of(dot_block_k, s.K - k0);
        const bool last = k0 + K == s.K;
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          const int64_t row = tile_begin(s.M, chunks, chunk);
          for (int64_t j = j0; j < j1; j += dot_columns) {
            const T* const column = b + j * s.b_col + k0;
            const int64_t next = last ? dot_block_columns * s.b_col - k0 : K;
            run_dot_tile<T>(tile_begin(s.M, chunks, chunk + 1) - row,
                            {.a = a + row * s.a_row + k0,
                             .a_row = s.a_row,
                             .b = column,
                             .b_col = s.b_col,
                             .columns = min_of(dot_columns, j1 - j),
                             .K = K,
                             .bias = bias && k0 == 0 ? bias + j : nullptr,
                             .c = c + row * s.c_row + j,
                             .c_row = s.c_row,
                             .accumulate = accumulate || k0 > 0,
                             .ahead = column + next + chunk % dot_columns * s.b_col});
          }
        }
        k0 += K;
      } while (k0 < s.K);
    }
  });
}

// Rows of b in one piece: strips of some of them, some panels wide, are read in place by all
// tiles of rows. Meanwhile lines of the next strip are fetched.
template <class T>
void in_place(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
              bool accumulate) {
  constexpr int64_t W = panel_width<T>, L = lanes<T>;
  const int64_t tiles = ceil_div(s.M, tile_rows), height = tiles > 1 ? strip_k : strip_k_single;
  const int64_t width = min_of(strip_size / height, round_up(ceil_div(s.N, wanted_blocks), W));
  const int64_t grain = 1 + 1600000 / (width * s.M * (s.K + 1));
  parallel_for(exec, ceil_div(s.N, width), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t j0 = block * width, j1 = min_of(s.N, j0 + width);
      int64_t k0 = 0;
      do {  // once also for an empty reduction
        const Term all{0, 0, min_of(height, s.K - k0)};
        const T *const a_strip = a + k0 * s.a_col, *const b_strip = b + k0 * s.b_row;
        const T* ahead = b_strip + all.k * s.b_row + j0;
        const int64_t most = panels_at_once(s.M);
        for (int64_t j = j0, panels; j < j1; j += panels * W) {
          panels = j + most * W <= j1 ? most : 1;
          for (int64_t t = 0; t < tiles; ++t, ahead += L * panels) {
            const int64_t row = tile_begin(s.M, tiles, t);
            const TileArgs<T> args{.a = a_strip + row * s.a_row,
                                   .a_row = s.a_row,
                                   .a_col = s.a_col,
                                   .b = b_strip + j,
                                   .b_row = s.b_row,
                                   .terms = &all,
                                   .n_terms = 1,
                                   .c = c + row * s.c_row + j,
                                   .c_row = s.c_row,
                                   .columns = min_of(W, j1 - j),
                                   .accumulate = accumulate || k0 > 0,
                                   .end = {.bias = bias && k0 == 0 ? bias + j : nullptr},
                                   .ahead = ahead,
                                   .ahead_step = s.b_row,
                                   .panels = panels,
                                   .b_panel = W,
                                   .c_panel = W};
            const int64_t rows = tile_begin(s.M, tiles, t + 1) - row;
            run_tile<T>(rows, args,
                        args.columns % L == 0 ? TileForm::general : TileForm::partial_b);
          }
        }
        k0 += all.k;
      } while (k0 < s.K);
    }
  });
}

template <class T>
void few_rows_of(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias, T* c,
                 bool accumulate) {
  if (is_dot(s)) return dot(exec, s, a, b, bias, c, accumulate);
  in_place(exec, s, a, b, bias, c, accumulate);
}

}  // namespace

bool has_few_rows(const GemmShape& s) { return s.M <= few_rows && (is_dot(s) || s.b_col == 1); }

void gemm_few_rows(const Exec& exec, const GemmShape& s, const float* a, const float* b,
                   const float* bias, float* c, bool accumulate) {
  few_rows_of(exec, s, a, b, bias, c, accumulate);
}
void gemm_few_rows(const Exec& exec, const GemmShape& s, const double* a, const double* b,
                   const double* bias, double* c, bool accumulate) {
  few_rows_of(exec, s, a, b, bias, c, accumulate);
}

}  // namespace fastnn::FASTNN_ISA
