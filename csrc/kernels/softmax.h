// Rows of C logits, of which one thread does a whole one: what softmax and the losses share.
#pragma once

#include <math.h>

#include "elementwise.h"
#include "parallel.h"

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

// y[c] = log softmax of x[c].
template <class T>
FASTNN_INLINE void log_softmax_row(int64_t C, LogSumExp<T> l, const T* x, T* y) {
  map(0, C, [l](Vec<T> v) { return (v - l.max) - l.log_sum; }, y, x);
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

}  // namespace
}  // namespace fastnn::FASTNN_ISA
