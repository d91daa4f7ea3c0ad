// Loops over dense arrays, a vector at a time and the tail as a partial vector.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// y[i] = f(x[i]...) for begin <= i < end. y may be one of x.
template <class T, class F, class... X>
FASTNN_INLINE void map(int64_t begin, int64_t end, const F& f, T* y, const X*... x) {
  int64_t i = begin;
  for (; i + lanes<T> <= end; i += lanes<T>) store(y + i, f(load(x + i)...));
  if (i < end) store(y + i, f(load(x + i, end - i)...), end - i);
}

// sum = f(sum, x[i]...) over i < n, lane by lane from `sum` on. The lanes behind the end see
// `fill`.
template <class T, class F, class... X>
FASTNN_INLINE Vec<T> fold(int64_t n, Vec<T> sum, T fill, const F& f, const X*... x) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) sum = f(sum, load(x + i)...);
  if (i < n) sum = f(sum, load(x + i, n - i, fill)...);
  return sum;
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
