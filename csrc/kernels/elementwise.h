// Loops over dense arrays, a vector at a time and the tail as a partial vector.
#pragma once

#include "parallel.h"
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

// The same for i < n on all threads.
template <class T, class F, class... X>
void parallel_map(const Exec& exec, int64_t n, const F& f, T* y, const X*... x) {
  const bool in_place = ((static_cast<const void*>(x) == y) || ...);
  const bool streaming = !in_place && outgrows_caches(y, n);
  parallel_elements(exec, n, [=](int64_t begin, int64_t end) {
    if (streaming) {
      // Several at once: a load may seem to read what was just stored (its address differs in the
      // upper bits alone) and would wait for it, vector by vector. Up to the last block, behind
      // which there may be nothing to fetch.
      constexpr int64_t L = lanes<T>, step = 4 * L;
      for (; begin < end - element_block; begin += step) {
        Vec<T> v[4];
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) {
          (prefetch(x + begin + u * L + element_block), ...);
          v[u] = f(load(x + begin + u * L)...);
        }
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) stream(y + begin + u * L, v[u]);
      }
      fence();
    }
    map(begin, end, f, y, x...);
  });
}

// sum = f(sum, x[i]...) over i < n, lane by lane. The lanes behind the end see `fill`. Where there
// is much to sum, four sums take turns, each from `sum` on, which must change nothing, so that none
// waits for itself; join(a, b) makes one of two.
template <class T, class F, class Join, class... X>
FASTNN_INLINE Vec<T> fold(int64_t n, Vec<T> sum, T fill, const F& f, const Join& join,
                          const X*... x) {
  constexpr int64_t L = lanes<T>;
  Vec<T> sums[] = {sum, sum, sum, sum};
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    for (int u = 0; u < 4; ++u) sums[u] = f(sums[u], load(x + i + u * L)...);
  }
  for (; i + L <= n; i += L) sums[0] = f(sums[0], load(x + i)...);
  if (i < n) sums[0] = f(sums[0], load(x + i, n - i, fill)...);
  return join(join(sums[0], sums[1]), join(sums[2], sums[3]));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
