// c (+)= a b for a small c and a long reduction, as in the gradient of a 1x1 convolution's weights,
// whose reduction runs over pixels. The reduction is cut into splits, as many as the shape asks
// for, each summed in a copy of c of its own; the copies are added in order at the end. Parallel
// over splits, so that each thread reads its own part of a and b and no other. The larger of a and
// b is read where it lies, the smaller one packed, so that an element is packed for more products:
// where that is a, the transpose of c is computed. Sums over the columns of a are made where its
// blocks are in L2. 2 M N K operations; reads a and b once.
#include "pack.h"
#include "row_sums.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t block_k = 256;  // of the reduction: blocks of a and b that stay in L2
constexpr int64_t most_splits = 16, most_sums = 512 << 10;  // most_sums: elements of all splits
constexpr int64_t most_results = 128 << 10;                 // elements of c
// Of c; fewer leave most lanes of the transposed product empty (512 -> 2 channels of 20 x 20
// pixels, 16 images: 0.6 ms instead of 0.2).
constexpr int64_t least_rows = 8;

constexpr GemmShape transpose(const GemmShape& s) {
  return {.M = s.N,
          .N = s.M,
          .K = s.K,
          .a_row = s.b_col,
          .a_col = s.b_row,
          .b_row = s.a_col,
          .b_col = s.a_row,
          .c_row = s.c_row};
}

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  bool transposed;
  GemmShape s;  // M >= N
  int64_t tiles, panels, splits;
  T* sums = nullptr;    // [split][panel][i][W]
  T* packed = nullptr;  // a panel for each thread
  int64_t a_size;
  T* split_a_sums = nullptr;  // [split][i], of the given a
  size_t bytes;

  Plan(const GemmShape& shape, int threads, void* scratch)
      : transposed(shape.M < shape.N),
        s(transposed ? transpose(shape) : shape),
        tiles(ceil_div(s.M, tile_rows)),
        panels(ceil_div(s.N, W)),
        splits(min_of(min_of(most_splits, max_of(8, most_sums / max_of(1, s.M * s.N))),
                      ceil_div(s.K, block_k))),
        a_size(shape.M) {
    Pieces pieces(scratch);
    sums = pieces.take<T>(splits * panels * s.M * W);
    packed = pieces.take<T>(threads * block_k * W);
    split_a_sums = pieces.take<T>(splits * a_size);
    bytes = pieces.bytes();
  }

  // Rows k0 to k0 + K of the reduction into `split_sums`.
  void multiply(const T* a, const T* b, int64_t K, T* split_sums, T* panel, bool accumulate) const {
    const Term all{0, 0, K};
    // The next blocks of b and a are fetched in the first calls and in the others.
    const int64_t calls = panels * tiles, b_calls = max_of(1, calls * s.N / (s.M + s.N)),
                  a_calls = max_of(1, calls - b_calls);
    int64_t call = 0;
    for (int64_t p = 0; p < panels; ++p) {
      pack_panel(b + p * W * s.b_col, s.b_row, s.b_col, K, min_of(W, s.N - p * W), panel);
      for (int64_t t = 0; t < tiles; ++t, ++call) {
        const int64_t row = tile_begin(s.M, tiles, t);
        const auto [ahead, step] =
            call < b_calls
                ? Ahead<T>::share(b + K * s.b_row, 1, K * s.N, 0, call, b_calls, K)
                : Ahead<T>::share(a + K * s.a_col, 1, K * s.M, 0, call - b_calls, a_calls, K);
        run_tile<T>(tile_begin(s.M, tiles, t + 1) - row, {.a = a + row * s.a_row,
                                                          .a_row = s.a_row,
                                                          .a_col = s.a_col,
                                                          .b = panel,
                                                          .b_row = W,
                                                          .terms = &all,
                                                          .n_terms = 1,
                                                          .c = split_sums + (p * s.M + row) * W,
                                                          .c_row = W,
                                                          .columns = min_of(W, s.N - p * W),
                                                          .accumulate = accumulate,
                                                          .ahead = ahead,
                                                          .ahead_step = step});
      }
    }
  }

  // Adds the copies of c.
  void add_splits(const Exec& exec, T* c, bool accumulate) const {
    const int64_t size = panels * s.M * W;
    parallel_for(exec, s.M, 1 + 50000 / (s.N * splits), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < s.N; j += lanes<T>) {
          const T* const from = sums + (j / W * s.M + i) * W + j % W;
          Vec<T> sum = load(from);
          for (int64_t split = 1; split < splits; ++split) sum += load(from + split * size);
          const int64_t n = min_of(lanes<T>, s.N - j);
          if (transposed) {
            for (int64_t lane = 0; lane < n; ++lane) {
              T& to = c[(j + lane) * s.c_row + i];
              to = accumulate ? to + sum[lane] : sum[lane];
            }
          } else {
            T* const to = c + i * s.c_row + j;
            if (accumulate) sum = load(to, n) + sum;
            store(to, sum, n);
          }
        }
      }
    });
  }

  void run(const Exec& exec, const T* a, const T* b, T* c, T* a_sums, bool accumulate) const {
    const T* const given_a = a;
    const int64_t a_col = transposed ? s.b_row : s.a_col;
    if (transposed) {
      const T* const larger = b;
      b = a;
      a = larger;
    }
    const int64_t size = panels * s.M * W;
    const int64_t grain = 1 + 1000000 * splits / (size * s.K + 1);
    parallel_for(exec, splits, grain, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t split = begin; split < end; ++split) {
        const int64_t first = s.K * split / splits, last = s.K * (split + 1) / splits;
        for (int64_t k = first; k < last; k += block_k) {
          const int64_t K = min_of(block_k, last - k);
          multiply(a + k * s.a_col, b + k * s.b_row, K, sums + split * size,
                   packed + thread * block_k * W, k > first);
          if (a_sums) {
            sum_rows(given_a + k * a_col, K, a_col, a_size, split_a_sums + split * a_size,
                     k > first);
          }
        }
      }
    });
    add_splits(exec, c, accumulate);
    if (a_sums) add_up(exec, split_a_sums, splits, a_size, a_sums, accumulate);
  }
};

// The form for few rows divides the columns of b among threads, but reads a again for each: it is
// the faster one for few of them. Gradients of 1x1 convolutions, 2 threads: 256 -> 32 channels of
// 100352 pixels 25 and 7.8 ms, 16 -> 56 of 65536 1.4 and 0.71, 64 -> 8 0.41 and 0.66, 128 -> 16 4.0
// and 1.3; rows of 25088 by 1024 dot products 6.0 and 4.9, by 10 0.05 and 0.07.
bool few_rows_are_faster(const GemmShape& s) {
  return has_few_rows(s) && s.N < 128 && (s.M < 16 || s.b_row == 1);
}

}  // namespace

bool has_long_reduction(const GemmShape& s) {
  return s.M >= least_rows && s.N > 0 && s.K >= 16 * block_k && s.K >= 8 * max_of(s.M, s.N) &&
         s.M * s.N <= most_results && !few_rows_are_faster(s);
}

size_t gemm_long_reduction_scratch_bytes(const GemmShape& s, int threads, size_t item) {
  return item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                               : Plan<double>(s, threads, nullptr).bytes;
}
void gemm_long_reduction(const Exec& exec, const GemmShape& s, const float* a, const float* b,
                         float* c, float* a_sums, bool accumulate) {
  Plan<float>(s, exec.threads, exec.scratch).run(exec, a, b, c, a_sums, accumulate);
}
void gemm_long_reduction(const Exec& exec, const GemmShape& s, const double* a, const double* b,
                         double* c, double* a_sums, bool accumulate) {
  Plan<double>(s, exec.threads, exec.scratch).run(exec, a, b, c, a_sums, accumulate);
}

}  // namespace fastnn::FASTNN_ISA
