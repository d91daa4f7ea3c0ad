// Rows of few elements, of which vectors would be empty for the most part: some of them side by
// side, lane r of column c being element c of row r.
#pragma once

#include "parallel.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t side_by_side = 16;        // rows
constexpr int64_t most_short_columns = 32;  // about as fast as whole rows from here on

template <class T>
struct ShortRows {
  T column[most_short_columns][side_by_side];

  // Up to 16 rows of C; those that are missing are zeros.
  FASTNN_INLINE void read(int64_t rows, int64_t C, const T* x) {
    if (rows < side_by_side) {
      for (int64_t c = 0; c < C; ++c) {
        for (int64_t r = 0; r < side_by_side; ++r) column[c][r] = r < rows ? x[r * C + c] : T(0);
      }
    } else if (C >= tile) {
      for_each_tile(C, [=, this](int64_t r, int64_t c) FASTNN_INLINE_LAMBDA {
        transpose_tile(x + r * C + c, C, column[c] + r, side_by_side);
      });
    } else if (C == 3) {
      read_few<3>(x);
    } else if (C == 2) {
      read_few<2>(x);
    } else {
      read_few<1>(x);
    }
  }
  FASTNN_INLINE void write(int64_t rows, int64_t C, T* y) const {
    if (rows < side_by_side) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < C; ++c) y[r * C + c] = column[c][r];
      }
    } else if (C >= tile) {
      for_each_tile(C, [=, this](int64_t r, int64_t c) FASTNN_INLINE_LAMBDA {
        transpose_tile(column[c] + r, side_by_side, y + r * C + c, C);
      });
    } else if (C == 3) {
      write_few<3>(y);
    } else if (C == 2) {
      write_few<2>(y);
    } else {
      write_few<1>(y);
    }
  }

 private:
  static constexpr int64_t tile = transpose_tile_size;

  // The last tiles overlap those before them instead of leaving a rest.
  template <class F>
  FASTNN_INLINE static void for_each_tile(int64_t C, const F& f) {
    for (int64_t c = 0; c < C; c += tile) {
      for (int64_t r = 0; r < side_by_side; r += tile) f(r, min_of(c, C - tile));
    }
  }

  // A constant number of columns: the compiler makes vectors of it.
  template <int C>
  FASTNN_INLINE void read_few(const T* __restrict x) {
    for (int64_t r = 0; r < side_by_side; ++r) {
      for (int c = 0; c < C; ++c) column[c][r] = x[r * C + c];
    }
  }
  template <int C>
  FASTNN_INLINE void write_few(T* __restrict y) const {
    for (int64_t r = 0; r < side_by_side; ++r) {
      for (int c = 0; c < C; ++c) y[r * C + c] = column[c][r];
    }
  }
};

// Calls f(n, rows) for the first of each 16 rows of C, all N of them, and how many they are.
template <class F>
void for_some_short_rows(const Exec& exec, int64_t N, int64_t C, const F& f) {
  constexpr int64_t elements_a_thread = 1 << 14;
  parallel_for(
      exec, ceil_div(N, side_by_side), ceil_div(elements_a_thread, side_by_side * max_of(C, 1)),
      [&](int64_t begin, int64_t end, int) {
        for (int64_t n = begin * side_by_side; n < min_of(N, end * side_by_side); n += side_by_side)
          f(n, min_of(side_by_side, N - n));
      });
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
