// Rows of C logits, of which one thread does a whole one: what softmax and the losses share.
#pragma once

#include <math.h>

#include "elementwise.h"
#include "log.h"
#include "parallel.h"
#include "short_rows.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
constexpr auto plus = [](Vec<T> a, Vec<T> b) FASTNN_INLINE_LAMBDA { return a + b; };

// The largest x[c], without the NaNs: they show in the sum of the exponentials.
template <class T>
FASTNN_INLINE T row_max(int64_t C, const T* x) {
  using V = Vec<T>;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const auto larger = [](V m, V v) { return max(v, m); };
  return reduce_max<T>(fold(C, splat(lowest), lowest, larger, larger, x));
}

FASTNN_INLINE float log(float x) { return ::logf(x); }
FASTNN_INLINE double log(double x) { return ::log(x); }

// log(sum_c exp(x[c])) in two parts that must not be added: beside a large maximum the logarithm
// would lose its digits.
template <class T>
struct LogSumExp {
  T max, log_sum;
};
template <class T>
FASTNN_INLINE LogSumExp<T> log_sum_exp(int64_t C, const T* x) {
  using V = Vec<T>;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const T m = row_max(C, x);
  const V sum = fold(C, V{}, lowest, [m](V s, V v) { return s + exp<T>(v - m); }, plus<T>, x);
  return {m, log(reduce_add<T>(sum))};
}

// Calls body(row) for every row.
template <class Body>
void parallel_rows(const Exec& exec, const SoftmaxShape& s, const Body& body) {
  constexpr int64_t elements_a_thread = 1 << 14;
  parallel_for(exec, s.N, ceil_div(elements_a_thread, max_of(s.C, 1)),
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t n = begin; n < end; ++n) body(n);
               });
}

// Calls body(row, log_sum_exp of it) for every row; y = log softmax of x unless it is null.
template <class T, class Body>
void parallel_log_softmax(const Exec& exec, const SoftmaxShape& s, const T* x, T* y,
                          const Body& body) {
  using V = Vec<T>;
  if (s.C > most_short_columns) {
    return parallel_rows(exec, s, [&](int64_t n) {
      const T* xn = x + n * s.C;
      const LogSumExp<T> l = log_sum_exp(s.C, xn);
      if (y) map(0, s.C, [l](V v) { return (v - l.max) - l.log_sum; }, y + n * s.C, xn);
      body(n, l);
    });
  }
  for_some_short_rows(exec, s.N, s.C, [&](int64_t n, int64_t count) {
    ShortRows<T> rows;
    T maxima[side_by_side], log_sums[side_by_side];
    rows.read(count, s.C, x + n * s.C);
    for (int64_t r = 0; r < side_by_side; r += lanes<T>) {
      V m = splat(-std::numeric_limits<T>::infinity()), sum{};
      for (int64_t c = 0; c < s.C; ++c) m = max(load(rows.column[c] + r), m);
      for (int64_t c = 0; c < s.C; ++c) sum += exp<T>(load(rows.column[c] + r) - m);
      const V log_sum = log<T>(sum);
      for (int64_t c = 0; c < s.C; ++c)
        store(rows.column[c] + r, (load(rows.column[c] + r) - m) - log_sum);
      store(maxima + r, m);
      store(log_sums + r, log_sum);
    }
    if (y) rows.write(count, s.C, y + n * s.C);
    for (int64_t r = 0; r < count; ++r) body(n + r, LogSumExp<T>{maxima[r], log_sums[r]});
  });
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
