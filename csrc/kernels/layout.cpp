// Copies of arrays of any strides. Dense matrices are transposed (NCHW -> NHWC and back) in blocks
// of 64 x 64 elements, which fit L1 with both of their images and cover whole cache lines of both;
// inside, tiles of 4 x 4 are transposed in registers. Everything else goes along the innermost
// dimension of y. Parallel over blocks and over pieces of that dimension. No arithmetic; reads and
// writes each element once.
#include "channels.h"
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

// Matrices of rows x cols, x_step and y_step apart, and their transposes.
struct Matrices {
  int64_t batch = 0, rows = 0, cols = 0, x_step = 0, y_step = 0;
  constexpr int64_t size() const { return rows * cols; }
  constexpr bool dense() const { return x_step == size() && y_step == size(); }
};

template <class T>
void transpose_blocks(const Exec& exec, const Matrices& m, const T* x, T* y) {
  const int64_t rows = m.rows, cols = m.cols;
  const int64_t row_blocks = ceil_div(rows, block), col_blocks = ceil_div(cols, block);
  if (row_blocks * col_blocks == 1) {  // without divisions, which took longer than a small matrix
    parallel_for(exec, m.batch, ceil_div(16 * block * block, m.size()),
                 [=](int64_t begin, int64_t end, int) {
                   for (int64_t i = begin; i < end; ++i) {
                     transpose_block(rows, cols, 0, rows, 0, cols, x + i * m.x_step,
                                     y + i * m.y_step);
                   }
                 });
    return;
  }
  const int64_t blocks = m.batch * row_blocks * col_blocks;
  parallel_for(exec, blocks, 16, [=](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item % row_blocks, col = item / row_blocks % col_blocks;
      const int64_t matrix = item / row_blocks / col_blocks;
      transpose_block(rows, cols, part_begin(rows, row_blocks, row),
                      part_begin(rows, row_blocks, row + 1), part_begin(cols, col_blocks, col),
                      part_begin(cols, col_blocks, col + 1), x + matrix * m.x_step,
                      y + matrix * m.y_step);
    }
  });
}

// Dense matrices that a vector has room for, as many at once as fit.
template <class T>
void transpose_in_vectors(const Exec& exec, const Matrices& m, const T* x, T* y) {
  const int64_t rows = m.rows, cols = m.cols, size = m.size(), step = lanes<T> / size * size;
  IntVec<T> from{};
  for (int64_t k = 0; k < step; ++k) {
    from[k] = static_cast<typename VecTypes<T>::IntLane>(k / size * size + k % rows * cols +
                                                         k % size / rows);
  }
  parallel_for(exec, m.batch, ceil_div(8 * element_block, size),
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
void transpose_few(const Exec& exec, const Matrices& m, const T* x, T* y) {
  const int64_t rows = m.rows, cols = m.cols;
  const int64_t many = rows == few ? cols : rows;
  const int64_t parts = ceil_div(many, element_block);
  const int64_t grain = ceil_div(4 * element_block, min_of(many, element_block));
  parallel_for(exec, m.batch * parts, grain, [=](int64_t begin, int64_t end, int) {
    int64_t part = begin % parts;
    const T* matrix = x + begin / parts * m.x_step;
    T* result = y + begin / parts * m.y_step;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t from = part * element_block;
      const int64_t n = min_of(element_block, many - from);
      if (rows == few) {
        interleave<few>(matrix + from, many, n, result + from * few);
      } else {
        deinterleave<few>(matrix + from * few, many, n, result + from);
      }
      if (++part == parts) part = 0, matrix += m.x_step, result += m.y_step;
    }
  });
}

template <class T>
void transpose(const Exec& exec, const Matrices& m, const T* x, T* y) {
  const int64_t few = min_of(m.rows, m.cols);
  if (m.size() <= lanes<T> && m.dense()) return transpose_in_vectors(exec, m, x, y);
  if (few == 2) return transpose_few<2>(exec, m, x, y);
  if (few == 3) return transpose_few<3>(exec, m, x, y);
  transpose_blocks(exec, m, x, y);
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

// Rows of n elements: `count` of them, x_row and y_row apart.
template <class T>
void copy_rows(int64_t count, int64_t n, const T* x, int64_t x_row, int64_t x_step, T* y,
               int64_t y_row, int64_t y_step) {
  if (x_step == 1 && y_step == 1) {
    for (int64_t i = 0; i < count; ++i) copy_run(n, x + i * x_row, y + i * y_row);
  } else if (x_step == 0 && y_step == 1) {
    for (int64_t i = 0; i < count; ++i) {
      const Vec<T> value = splat(x[i * x_row]);
      for_each_vector<T, 1>(n, n,
                            [&](auto part, int64_t j) { store(y + i * y_row + j, value, part); });
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < n; ++j) y[i * y_row + j * y_step] = x[i * x_row + j * x_step];
    }
  }
}

// Row by row, or where they are long by pieces of them.
template <class T>
void copy_strided(const Exec& exec, const CopyShape& s, const T* x, T* y) {
  const int last = s.dims - 1, row_dim = s.dims - 2;  // row_dim: the rows that follow each other
  const int64_t n = s.size[last], x_step = s.x_step[last], y_step = s.y_step[last];
  const int64_t pieces = ceil_div(n, element_block);
  int64_t rows = 1;
  for (int d = 0; d < last; ++d) rows *= s.size[d];
  const int64_t grain = ceil_div(8 * element_block, min_of(n, element_block));
  parallel_for(exec, rows * pieces, grain, [=](int64_t begin, int64_t end, int) {
    int64_t at[CopyShape::most_dims] = {}, row = begin / pieces, piece = begin % pieces;
    const T* from = x;
    T* to = y;
    for (int d = row_dim; d >= 0; --d) {
      at[d] = row % s.size[d];
      row /= s.size[d];
      from += at[d] * s.x_step[d];
      to += at[d] * s.y_step[d];
    }
    for (int64_t item = begin; item < end;) {
      const int64_t first = piece * element_block;
      const bool several = pieces == 1 && row_dim >= 0;
      const int64_t count = several ? min_of(end - item, s.size[row_dim] - at[row_dim]) : 1;
      copy_rows(count, min_of(element_block, n - first), from + first * x_step,
                several ? s.x_step[row_dim] : 0, x_step, to + first * y_step,
                several ? s.y_step[row_dim] : 0, y_step);
      item += count;
      if (++piece < pieces) continue;
      piece = 0;
      int64_t done = count;  // of the dimension d
      for (int d = row_dim; d >= 0; --d, done = 1) {
        at[d] += done;
        from += done * s.x_step[d];
        to += done * s.y_step[d];
        if (at[d] < s.size[d]) break;
        at[d] = 0;
        from -= s.size[d] * s.x_step[d];
        to -= s.size[d] * s.y_step[d];
      }
    }
  });
}

// The matrices that a copy transposes; none where it does something else.
constexpr Matrices transposed(const CopyShape& s) {
  constexpr Matrices none{};
  if (s.dims != 2 && s.dims != 3) return none;
  const int column = s.dims - 2, row = s.dims - 1;
  const int64_t cols = s.size[column], rows = s.size[row];
  if (s.x_step[column] != 1 || s.x_step[row] != cols) return none;
  if (s.y_step[column] != rows || s.y_step[row] != 1) return none;
  if (s.dims == 2) return {1, rows, cols, rows * cols, rows * cols};
  return {s.size[0], rows, cols, s.x_step[0], s.y_step[0]};
}

template <class T>
void copy(const Exec& exec, const CopyShape& s, const T* x, T* y) {
  for (int d = 0; d < s.dims; ++d) {
    if (s.size[d] == 0) return;
  }
  const Matrices matrices = transposed(s);
  if (s.dims == 0) {
    *y = *x;
  } else if (matrices.batch > 0) {
    transpose(exec, matrices, x, y);
  } else {
    copy_strided(exec, s, x, y);
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.copy = copy<T>;
}

}  // namespace

void fill_layout(Ops<float>& t) { fill(t); }
void fill_layout(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
