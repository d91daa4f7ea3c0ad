// The gated linear unit of rows of two halves a and b of n elements each, x[o] = (a, b):
//   y = a s(b),  da = dy s,  db = dy a s (1 - s),  s the logistic sigmoid of b.
// Dense arrays. Parallel over pieces of rows. Forward reads x once and writes y; backward reads dy
// and x and writes dx; about 20 operations an element of y.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Calls f(row, i, n...) for vectors of the elements i of each row; n... is the number of those that
// exist where that is not all.
template <class T, class F>
void for_each_vector(const Exec& exec, int64_t rows, int64_t n, const F& f) {
  const int64_t pieces = ceil_div(n, element_block);
  const int64_t grain = ceil_div(2 * element_block, max_of(1, min_of(n, element_block)));
  parallel_for(exec, rows * pieces, grain, [&](int64_t begin, int64_t end, int) {
    int64_t row = begin / pieces, piece = begin % pieces;
    for (int64_t at = begin; at < end; ++at) {
      const int64_t stop = min_of(n, (piece + 1) * element_block);
      int64_t i = piece * element_block;
      for (; i + lanes<T> <= stop; i += lanes<T>) f(row, i);
      if (i < stop) f(row, i, stop - i);
      if (++piece == pieces) ++row, piece = 0;
    }
  });
}

template <class T>
void forward(const Exec& exec, int64_t rows, int64_t n, const T* x, T* y) {
  for_each_vector<T>(exec, rows, n, [=](int64_t row, int64_t i, auto... some) {
    const T* const from = x + 2 * row * n + i;
    const Vec<T> a = load(from, some...), b = load(from + n, some...);
    store(y + row * n + i, a / (1 + exp<T>(-b)), some...);
  });
}

template <class T>
void backward(const Exec& exec, int64_t rows, int64_t n, const T* dy, const T* x, T* dx) {
  for_each_vector<T>(exec, rows, n, [=](int64_t row, int64_t i, auto... some) {
    const int64_t at = 2 * row * n + i;
    const Vec<T> a = load(x + at, some...), s = sigmoid<T>(load(x + at + n, some...));
    const Vec<T> da = load(dy + row * n + i, some...) * s;
    store(dx + at, da, some...);
    store(dx + at + n, da * a * (1 - s), some...);
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.glu_forward = forward<T>;
  t.glu_backward = backward<T>;
}

}  // namespace

void fill_glu(Ops<float>& t) { fill(t); }
void fill_glu(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
