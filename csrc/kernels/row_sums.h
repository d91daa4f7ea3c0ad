// Sums over rows of a matrix, as of a gradient over pixels for that of a bias.
#pragma once

#include "parallel.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// out[j] (+)= sum over i < rows of x[i * stride + j] for j < columns. The sum starts at zero and is
// added as a whole: of many rows in blocks, so that little is lost to rounding.
template <class T>
void sum_rows(const T* x, int64_t rows, int64_t stride, int64_t columns, T* out, bool accumulate) {
  constexpr int64_t L = lanes<T>;
  const auto sum = [&](int64_t j, auto part) {
    constexpr int count = decltype(part)::count;
    Vec<T> sums[count] = {};
    for (int64_t i = 0; i < rows; ++i) {
      for (int u = 0; u < count; ++u) sums[u] += load(x + i * stride + j + u * L, part);
    }
    for (int u = 0; u < count; ++u) {
      T* const to = out + j + u * L;
      store(to, accumulate ? load(to, part) + sums[u] : sums[u], part);
    }
  };
  int64_t j = 0;
  for (; j + 4 * L <= columns; j += 4 * L) sum(j, Vectors<4>{});
  for (; j + L <= columns; j += L) sum(j, Vectors<1>{});
  if (j < columns) sum(j, FirstLanes{columns - j});
}

// out[j] (+)= sum over i < count of x[i * columns + j] for j < columns, one after the other.
template <class T>
void add_up(const Exec& exec, const T* x, int64_t count, int64_t columns, T* out, bool accumulate) {
  parallel_for(exec, 1, 1, [&](int64_t, int64_t, int) {
    for (int64_t j = 0; j < columns; ++j) {
      T sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += x[i * columns + j];
      out[j] = accumulate ? out[j] + sum : sum;
    }
  });
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
