// y[n][d] = w[x[n]][d]; backward dw[v][d] = sum of dy[n][d] over the n with x[n] == v, in the order
// of n, and 0 for v == padding_idx. x (N,), w and dw (V, D), y and dy (N, D), dense. Forward is
// parallel over rows, backward over blocks of columns: one thread makes each sum. Forward reads and
// writes N D elements; backward sets V D elements to 0, reads N D and adds them.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The bindings refuse other indices; but indices belong to the caller, whose other threads may
// write to them meanwhile, and no address may depend on that.
constexpr bool is_row(int64_t index, int64_t V) { return index >= 0 && index < V; }

template <class T>
void forward(const Exec& exec, const EmbeddingShape& s, const int64_t* x, const T* w, T* y) {
  using V = Vec<T>;
  constexpr int64_t grain = 16384;  // elements
  parallel_for(exec, s.N, ceil_div(grain, s.D + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t v = x[n];
      T* yn = y + n * s.D;
      if (!is_row(v, s.V)) {
        map(0, s.D, [] { return V{}; }, yn);
      } else {
        map(0, s.D, [](V value) { return value; }, yn, w + v * s.D);
      }
    }
  });
}

template <class T>
void backward(const Exec& exec, const EmbeddingShape& s, const T* dy, const int64_t* x,
              int64_t padding_idx, T* dw, bool accumulate) {
  using V = Vec<T>;
  if (!accumulate) {
    parallel_elements(exec, s.V * s.D,
                      [=](int64_t begin, int64_t end) { map(begin, end, [] { return V{}; }, dw); });
  }
  constexpr int64_t block = 64 / static_cast<int64_t>(sizeof(T)), grain = 16384;  // elements
  parallel_for(
      exec, ceil_div(s.D, block), ceil_div(grain, s.N * block + 1),
      [&](int64_t first, int64_t last, int) {
        const int64_t begin = first * block, end = min_of(last * block, s.D);
        for (int64_t n = 0; n < s.N; ++n) {
          const int64_t v = x[n];
          if (!is_row(v, s.V) || v == padding_idx) continue;
          T* dwv = dw + v * s.D;
          map(begin, end, [](V sum, V value) { return sum + value; }, dwv, dwv, dy + n * s.D);
        }
      });
}

template <class T>
void fill(Ops<T>& t) {
  t.embedding_forward = forward<T>;
  t.embedding_backward = backward<T>;
}

}  // namespace

void fill_embedding(Ops<float>& t) { fill(t); }
void fill_embedding(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
