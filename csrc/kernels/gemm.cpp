// c (+)= a b + bias, row-major by strides. Blocks of b (KC x some panels) are packed into panels of
// panel_width columns, blocks of a (rows of some tiles x KC) copied where their own layout would
// miss the cache. Parallel over blocks of c; every thread packs what it needs, so that none waits
// for another or reads from another's cache. 2 M N K operations; reads a once for each 256 columns,
// b about once, c once for each KC of the reduction. Few rows and long reductions have forms of
// their own.
#include "epilogue.h"
#include "pack.h"
#include "row_sums.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t kc_max = 512;  // a panel of KC x 32 floats takes 64 KB, rows of 14 x KC 28 KB
constexpr int64_t panels_per_block =
    vector_registers == 32 ? 8 : 16;  // of b, packed together: 512 KB of L2 (float, AVX)
constexpr int64_t tiles_per_block = vector_registers == 32 ? 8 : 16;  // of a: at most
constexpr int64_t wanted_blocks = 8;  // of rows: cut at least so many
constexpr int64_t rows_ahead = 4;     // of b, fetched while it is packed

// Whether blocks of a are copied: where its rows or columns lie so far apart that they compete for
// the same cache sets (and are used by many panels), or neither of them lies in one piece.
bool copies_a(const GemmShape& s, size_t item) {
  const auto bytes = [&](int64_t n) { return n * static_cast<int64_t>(item); };
  if (s.a_col == 1) return s.N >= 256 && bytes(s.a_row) % 2048 == 0;
  return s.a_row != 1 || bytes(s.a_col) % 512 == 0;
}

// Whether c is better written with stream() (4096 x 25088 gradients of 8 samples take 5.4 ms so,
// 14.9 through the caches; 64 -> 64 channels of 16 x 56 x 56 pixels 1.95 and 2.6).
template <class T>
bool streams(const GemmShape& s, const T* c) {
  return s.c_row % lanes<T> == 0 && outgrows_caches(c, s.M * s.N);
}

// Addresses of a block of a.
template <class T>
struct Rows {
  const T* a;
  int64_t a_row, a_col;
};

template <class T>
struct Blocked {
  static constexpr int64_t W = panel_width<T>, L = lanes<T>;
  static constexpr int64_t block_rows = tiles_per_block * tile_rows;
  const GemmShape& s;
  int64_t kc, panels, panel_blocks, tiles, row_blocks;
  bool copying_a;
  int64_t b_size, a_size;  // of a thread's packed block of b and its copied block of a

  explicit Blocked(const GemmShape& shape)
      : s(shape),
        kc(ceil_div(s.K, max_of(1, ceil_div(s.K, kc_max)))),
        panels(ceil_div(s.N, W)),
        panel_blocks(ceil_div(panels, panels_per_block)),
        tiles(ceil_div(s.M, tile_rows)),
        row_blocks(max_of(ceil_div(tiles, tiles_per_block), min_of(tiles, wanted_blocks))),
        copying_a(copies_a(s, sizeof(T))),
        b_size(min_of(panels, panels_per_block) * kc * W),
        a_size(copying_a ? round_up(block_rows, L) * (round_up(kc, L) + L) : 0) {}

  size_t bytes(int threads) const {
    return static_cast<size_t>(threads * (b_size + a_size)) * sizeof(T);
  }

  // The first row of tile t.
  int64_t row(int64_t t) const { return tile_begin(s.M, tiles, t); }

  // The block of `rows` by K at a: itself, or its copy in `buffer`, which lies as a does but with
  // an odd number of vectors from row to row.
  Rows<T> rows_of(const T* a, int64_t rows, int64_t K, T* buffer) const {
    if (!copying_a) return {a, s.a_row, s.a_col};
    if (s.a_row == 1) {
      const int64_t stride = round_up(rows, L);
      copy_block(a, s.a_col, K, rows, buffer, stride);
      return {buffer, 1, stride};
    }
    const int64_t stride = round_up(K, L) + (K / L % 2 == 0 ? L : 0);
    if (s.a_col == 1) {
      copy_block(a, s.a_row, rows, K, buffer, stride);
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t k = 0; k < K; ++k) buffer[i * stride + k] = a[i * s.a_row + k * s.a_col];
      }
    }
    return {buffer, stride, 1};
  }

  // What the tile `call` of `calls` fetches of the rows by K at a: a share of the rows, or a line
  // of each column.
  Ahead<T> ahead(const T* a, int64_t rows, int64_t K, int64_t call, int64_t calls) const {
    if (s.a_col == 1) return Ahead<T>::share(a, rows, K, s.a_row, call, calls, max_of(1, K));
    if (s.a_row != 1) return {nullptr, 0};
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
    const int64_t lines = ceil_div(rows, line), mine = call * lines / calls;
    if (call > 0 && mine == (call - 1) * lines / calls) return {nullptr, 0};
    return {a + mine * line, s.a_col};
  }

  // Adds (or writes) the product of the tiles begin to end, whose rows are `block`, with the packed
  // panels of b. The rows of the next block, at `next`, are fetched meanwhile.
  void multiply(int64_t begin, int64_t end, const Rows<T>& block, const T* next, const T* packed,
                int64_t columns, int64_t K, const Epilogue<T>& end_of_c, T* c, bool accumulate,
                bool streaming) const {
    const Term all{0, 0, K};
    const int64_t count = ceil_div(columns, W), calls = (end - begin) * count;
    int64_t call = 0;
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t p = 0; p < count; ++p, ++call) {
        const int64_t j = p * W;
        const auto [fetched, step] = ahead(next, row(end) - row(begin), K, call, calls);
        run_tile<T>(row(t + 1) - row(t), {.a = block.a + (row(t) - row(begin)) * block.a_row,
                                          .a_row = block.a_row,
                                          .a_col = block.a_col,
                                          .b = packed + j * K,
                                          .b_row = W,
                                          .terms = &all,
                                          .n_terms = 1,
                                          .c = c + row(t) * s.c_row + j,
                                          .c_row = s.c_row,
                                          .columns = min_of(W, columns - j),
                                          .accumulate = accumulate,
                                          .end = part_of(end_of_c, j, row(t) * s.c_row + j),
                                          .streaming = streaming,
                                          .ahead = fetched,
                                          .ahead_step = step});
      }
    }
  }

  // The panels of b from column j on, rows k0 to k0 + K. Rows that lie in one piece are packed one
  // by one into all whole panels: panel by panel the memory would be read in short pieces, far
  // apart (1024^3 10.3 -> 10.0 ms, 1536^3 35.2 -> 33.9).
  void pack(const T* b, int64_t j, int64_t columns, int64_t k0, int64_t K, T* packed) const {
    const T* const from = b + k0 * s.b_row + j * s.b_col;
    const int64_t whole = s.b_col == 1 ? columns / W : 0;
    for (int64_t k = 0; whole > 0 && k < K; ++k) {
      const T* const row = from + k * s.b_row;
      const T* const ahead = from + min_of(k + rows_ahead, K - 1) * s.b_row;
      for (int64_t p = 0; p < whole; ++p) {
        prefetch_to_l1(ahead + p * W, W);
        for (int64_t i = 0; i < W; i += L)
          store(packed + (p * K + k) * W + i, load(row + p * W + i));
      }
    }
    for (int64_t p = whole; p * W < columns; ++p) {
      pack_panel(from + p * W * s.b_col, s.b_row, s.b_col, K, min_of(W, columns - p * W),
                 packed + p * W * K);
    }
  }

  // The row blocks begin to end of a panel block.
  void compute(int64_t panel_block, int64_t begin, int64_t end, const T* a, const T* b,
               const Epilogue<T>& epilogue, T* c, bool accumulate, T* scratch) const {
    const bool streaming = !accumulate && kc >= s.K && streams(s, c);
    const int64_t j = tile_begin(panels, panel_blocks, panel_block) * W;
    const int64_t columns = min_of(tile_begin(panels, panel_blocks, panel_block + 1) * W, s.N) - j;
    int64_t k0 = 0;
    do {  // once also for an empty reduction
      const int64_t K = min_of(kc, s.K - k0);
      pack(b, j, columns, k0, K, scratch);
      for (int64_t block = begin; block < end; ++block) {
        const int64_t tile0 = tiles * block / row_blocks, tile1 = tiles * (block + 1) / row_blocks;
        const Rows<T> rows = rows_of(a + row(tile0) * s.a_row + k0 * s.a_col,
                                     row(tile1) - row(tile0), K, scratch + b_size);
        multiply(tile0, tile1, rows, a + row(tile1) * s.a_row + k0 * s.a_col, scratch, columns, K,
                 k0 + K == s.K ? part_of(epilogue, j, j) : Epilogue<T>{}, c + j,
                 accumulate || k0 > 0, streaming);
      }
      k0 += K;
    } while (k0 < s.K);
    if (streaming) fence();
  }

  void run(const Exec& exec, const T* a, const T* b, const Epilogue<T>& epilogue, T* c,
           bool accumulate) const {
    const int64_t items = panel_blocks * row_blocks;
    const int64_t grain = 1 + 1000000 / (s.M * panels * W * (s.K + 1) / items + 1);
    parallel_for(exec, items, grain, [&](int64_t begin, int64_t end, int thread) {
      T* const scratch = static_cast<T*>(exec.scratch) + thread * (b_size + a_size);
      for (int64_t item = begin; item < end;) {
        const int64_t panel_block = item / row_blocks, first = panel_block * row_blocks;
        const int64_t stop = min_of(end, first + row_blocks);
        compute(panel_block, item - first, stop - first, a, b, epilogue, c, accumulate, scratch);
        item = stop;
      }
    });
  }
};

// The epilogue of few rows, which are still in the cache.
template <class T>
void finish(const Exec& exec, const GemmShape& s, const Epilogue<T>& epilogue, T* c) {
  parallel_for(exec, 1, 1, [&](int64_t, int64_t, int) {
    for (int64_t i = 0; i < s.M; ++i) {
      for (int64_t j = 0; j < s.N; j += lanes<T>) {
        const int64_t at = i * s.c_row + j, n = min_of(lanes<T>, s.N - j);
        store(c + at, EpilogueColumns<T>(epilogue, j, n)(load(c + at, n), at, n), n);
      }
    }
  });
}

template <class T>
void gemm_of(const Exec& exec, const GemmShape& s, const T* a, const T* b,
             const Epilogue<T>& epilogue, T* c, bool accumulate) {
  if (s.M == 0 || s.N == 0) return;
  if (!epilogue.more() && !epilogue.bias && has_long_reduction(s))
    return gemm_long_reduction(exec, s, a, b, c, static_cast<T*>(nullptr), accumulate);
  if (has_few_rows(s)) {
    gemm_few_rows(exec, s, a, b, epilogue.more() ? nullptr : epilogue.bias, c, accumulate);
    if (epilogue.more()) finish(exec, s, epilogue, c);
    return;
  }
  Blocked<T>(s).run(exec, a, b, epilogue, c, accumulate);
}

template <class T>
void gemm_with_bias(const Exec& exec, const GemmShape& s, const T* a, const T* b, const T* bias,
                    T* c, bool accumulate) {
  gemm_of(exec, s, a, b, {.bias = bias}, c, accumulate);
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
  const int64_t at_once = rows_at_once(all_rows, all_cols, lanes<T>);
  const int64_t rows = all_rows / at_once, cols = all_cols * at_once, blocks = sum_blocks(rows);
  T* const partial = static_cast<T*>(exec.scratch);
  parallel_for(
      exec, blocks, 1 + 50000 * blocks / (rows * cols + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t block = begin; block < end; ++block) {
          const int64_t row0 = rows * block / blocks, row1 = rows * (block + 1) / blocks;
          sum_rows(x + row0 * cols, row1 - row0, cols, cols, partial + block * cols, false);
        }
      });
  add_up(exec, partial, blocks * at_once, all_cols, out, accumulate);
}

}  // namespace

size_t gemm_scratch_bytes(const GemmShape& s, int threads, size_t item) {
  const size_t split =
      has_long_reduction(s) ? gemm_long_reduction_scratch_bytes(s, threads, item) : 0;
  if (has_few_rows(s)) return split;
  const size_t blocked =
      item == sizeof(float) ? Blocked<float>(s).bytes(threads) : Blocked<double>(s).bytes(threads);
  return blocked > split ? blocked : split;  // a product with a bias is not split
}

void gemm(const Exec& exec, const GemmShape& s, const float* a, const float* b,
          const Epilogue<float>& epilogue, float* c, bool accumulate) {
  gemm_of(exec, s, a, b, epilogue, c, accumulate);
}
void gemm(const Exec& exec, const GemmShape& s, const double* a, const double* b,
          const Epilogue<double>& epilogue, double* c, bool accumulate) {
  gemm_of(exec, s, a, b, epilogue, c, accumulate);
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
  t.gemm = gemm_with_bias<float>;
}
void fill_gemm(Ops<double>& t) {
  t.gemm_scratch_bytes = scratch_bytes<double>;
  t.gemm = gemm_with_bias<double>;
}

}  // namespace fastnn::FASTNN_ISA
