// y[b][j][i] = x[b][i][j], runs of n elements: NCHW -> NHWC and back with n = 1. Dense arrays;
// parallel over blocks of 64 x 64 elements, which fit L1 with both of their images and cover whole
// cache lines of both. Inside, tiles of 4 x 4 are transposed in registers. No arithmetic; reads and
// writes each element once.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t block = 64;
constexpr int64_t tile = transpose_tile_size;

// The i-th of `count` about equal parts of [0, n) begins here; no part is shorter than a tile where
// n is not.
FASTNN_INLINE int64_t part_begin(int64_t n, int64_t count, int64_t i) { return n * i / count; }

// Rows i_begin <= i < i_end and columns j_begin <= j < j_end, at least one tile in both dimensions.
// The last tiles overlap those before them instead of leaving a rest.
template <class T>
FASTNN_INLINE void transpose_block(int64_t rows, int64_t cols, int64_t i_begin, int64_t i_end,
                                   int64_t j_begin, int64_t j_end, const T* x, T* y) {
  for (int64_t jj = j_begin; jj < j_end; jj += tile) {
    const int64_t j = min_of(jj, j_end - tile);
    for (int64_t ii = i_begin; ii < i_end; ii += tile) {
      const int64_t i = min_of(ii, i_end - tile);
      transpose_tile(x + i * cols + j, cols, y + j * rows + i, rows);
    }
  }
}

template <class T>
void transpose_blocks(const Exec& exec, int64_t batch, int64_t rows, int64_t cols, const T* x,
                      T* y) {
  const int64_t row_blocks = ceil_div(rows, block), col_blocks = ceil_div(cols, block);
  if (row_blocks * col_blocks == 1) {  // without divisions, which took longer than a small matrix
    const int64_t size = rows * cols;
    parallel_for(exec, batch, ceil_div(16 * block * block, size),
                 [=](int64_t begin, int64_t end, int) {
                   for (int64_t at = begin * size; at < end * size; at += size)
                     transpose_block(rows, cols, 0, rows, 0, cols, x + at, y + at);
                 });
    return;
  }
  const int64_t blocks = batch * row_blocks * col_blocks;
  parallel_for(exec, blocks, 16, [=](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item % row_blocks, col = item / row_blocks % col_blocks;
      const int64_t matrix = item / row_blocks / col_blocks * rows * cols;
      transpose_block(rows, cols, part_begin(rows, row_blocks, row),
                      part_begin(rows, row_blocks, row + 1), part_begin(cols, col_blocks, col),
                      part_begin(cols, col_blocks, col + 1), x + matrix, y + matrix);
    }
  });
}

// Matrices that a vector has room for, as many at once as fit.
template <class T>
void transpose_in_vectors(const Exec& exec, int64_t batch, int64_t rows, int64_t cols, const T* x,
                          T* y) {
  const int64_t size = rows * cols, step = lanes<T> / size * size;
  IntVec<T> from{};
  for (int64_t k = 0; k < step; ++k) {
    from[k] = static_cast<typename VecTypes<T>::IntLane>(k / size * size + k % rows * cols +
                                                         k % size / rows);
  }
  parallel_for(exec, batch, ceil_div(8 * element_block, size),
               [=](int64_t begin, int64_t end, int) {
                 const int64_t stop = end * size;
                 int64_t at = begin * size;
                 // What is stored behind the last matrix of a vector is overwritten by the next.
                 for (; at + lanes<T> <= stop; at += step)
                   store(y + at, permute(load(x + at), from));
                 for (; at < stop; at += step) {
                   const int64_t n = min_of(step, stop - at);
                   store(y + at, permute(load(x + at, n), from), n);
                 }
               });
}

// Fewer than `tile` rows or columns, a constant number of them: the compiler makes vectors of it.
template <int rows, class T>
void interleave(const T* __restrict x, int64_t x_row, int64_t n, T* __restrict y) {
  for (int64_t j = 0; j < n; ++j) {
    for (int i = 0; i < rows; ++i) y[j * rows + i] = x[i * x_row + j];
  }
}
template <int cols, class T>
void deinterleave(const T* __restrict x, int64_t y_row, int64_t n, T* __restrict y) {
  for (int64_t i = 0; i < n; ++i) {
    for (int j = 0; j < cols; ++j) y[j * y_row + i] = x[i * cols + j];
  }
}

template <int few, class T>
void transpose_few(const Exec& exec, int64_t batch, int64_t rows, int64_t cols, const T* x, T* y) {
  const int64_t many = rows == few ? cols : rows;
  const int64_t parts = ceil_div(many, element_block);
  const int64_t grain = ceil_div(4 * element_block, min_of(many, element_block));
  parallel_for(exec, batch * parts, grain, [=](int64_t begin, int64_t end, int) {
    int64_t part = begin % parts;
    const T* matrix = x + begin / parts * rows * cols;
    T* result = y + begin / parts * rows * cols;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t from = part * element_block;
      const int64_t n = min_of(element_block, many - from);
      if (rows == few) {
        interleave<few>(matrix + from, many, n, result + from * few);
      } else {
        deinterleave<few>(matrix + from * few, many, n, result + from);
      }
      if (++part == parts) part = 0, matrix += rows * cols, result += rows * cols;
    }
  });
}

// A call of memcpy takes longer than to copy some vectors; the last overlaps the one before.
template <class T>
FASTNN_INLINE void copy_run(int64_t n, const T* x, T* y) {
  if (n < lanes<T>) return store(y, load(x, n), n);
  if (n > 32 * lanes<T>) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof *x);
    return;
  }
  for (int64_t i = 0; i + lanes<T> < n; i += lanes<T>) store(y + i, load(x + i));
  store(y + n - lanes<T>, load(x + n - lanes<T>));
}

// Runs of n elements in the place of one; parallel over them in the order of y.
template <class T>
void transpose_runs(const Exec& exec, int64_t batch, int64_t rows, int64_t cols, int64_t n,
                    const T* x, T* y) {
  if (n == 0) return;
  parallel_for(exec, batch * rows * cols, ceil_div(8 * element_block, n),
               [=](int64_t begin, int64_t end, int) {
                 int64_t i = begin % rows, j = begin / rows % cols;
                 const T* matrix = x + begin / rows / cols * rows * cols * n;
                 for (int64_t at = begin; at < end; ++at) {
                   copy_run(n, matrix + (i * cols + j) * n, y + at * n);
                   if (++i < rows) continue;
                   i = 0;
                   if (++j < cols) continue;
                   j = 0;
                   matrix += rows * cols * n;
                 }
               });
}

template <class T>
void transpose(const Exec& exec, int64_t batch, int64_t rows, int64_t cols, int64_t n, const T* x,
               T* y) {
  const int64_t few = min_of(rows, cols);
  if (few == 0) return;
  if (n != 1) return transpose_runs(exec, batch, rows, cols, n, x, y);
  if (few == 1) {
    return parallel_elements(exec, batch * rows * cols, [&](int64_t begin, int64_t end) {
      std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin) * sizeof *x);
    });
  }
  if (rows * cols <= lanes<T>) return transpose_in_vectors(exec, batch, rows, cols, x, y);
  if (few == 2) return transpose_few<2>(exec, batch, rows, cols, x, y);
  if (few == 3) return transpose_few<3>(exec, batch, rows, cols, x, y);
  transpose_blocks(exec, batch, rows, cols, x, y);
}

// Parallel over pieces of rows.
template <class T>
void copy_rows(const Exec& exec, int64_t rows, int64_t n, const T* x, int64_t x_step, T* y,
               int64_t y_step) {
  if (n == 0) return;
  const int64_t pieces = ceil_div(n, element_block);
  const int64_t grain = ceil_div(8 * element_block, min_of(n, element_block));
  parallel_for(exec, rows * pieces, grain, [=](int64_t begin, int64_t end, int) {
    int64_t row = begin / pieces, piece = begin % pieces;
    for (int64_t at = begin; at < end; ++at) {
      const int64_t from = piece * element_block;
      copy_run(min_of(element_block, n - from), x + row * x_step + from, y + row * y_step + from);
      if (++piece == pieces) piece = 0, ++row;
    }
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.transpose = transpose<T>;
  t.copy_rows = copy_rows<T>;
}

}  // namespace

void fill_layout(Ops<float>& t) { fill(t); }
void fill_layout(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
