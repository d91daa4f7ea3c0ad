// y[n][c] = exp(x[n][c] - m) / sum_c exp(x[n][c] - m) with m = max_c x[n][c], or its logarithm;
// backward from y: softmax dx = y (dy - sum_c dy y), log softmax dx = dy - exp(y) sum_c dy.
// Dense rows of C; parallel over rows, each summed lane by lane and then over the lanes, in the
// same order always. Reads x 2 (log softmax 3) times, from the cache after the first.
#include "softmax.h"

#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
void softmax_forward(const Exec& exec, const SoftmaxShape& s, const T* x, T* y) {
  using V = Vec<T>;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  parallel_rows(exec, s, [&](int64_t n) {
    const T* xn = x + n * s.C;
    T* yn = y + n * s.C;
    const T m = row_max(s.C, xn);
    if (s.C <= lanes<T>) {  // in registers: a partial store stalls the load that follows it
      const V e = exp<T>(load(xn, s.C, lowest) - m);
      return store(yn, e * (1 / reduce_add<T>(e)), s.C);
    }
    V sum{};
    int64_t c = 0;
    for (; c + lanes<T> <= s.C; c += lanes<T>) {
      const V e = exp<T>(load(xn + c) - m);
      sum += e;
      store(yn + c, e);
    }
    if (c < s.C) {
      const V e = exp<T>(load(xn + c, s.C - c, lowest) - m);
      sum += e;
      store(yn + c, e, s.C - c);
    }
    const T scale = 1 / reduce_add<T>(sum);
    map(0, s.C, [scale](V e) { return e * scale; }, yn, static_cast<const T*>(yn));
  });
}

template <class T>
void softmax_backward(const Exec& exec, const SoftmaxShape& s, const T* dy, const T* y, T* dx) {
  using V = Vec<T>;
  parallel_rows(exec, s, [&](int64_t n) {
    const T *dyn = dy + n * s.C, *yn = y + n * s.C;
    const T dot = reduce_add<T>(
        fold(s.C, V{}, T(0), [](V sum, V g, V v) { return fma(g, v, sum); }, plus<T>, dyn, yn));
    map(0, s.C, [dot](V g, V v) { return v * (g - dot); }, dx + n * s.C, dyn, yn);
  });
}

template <class T>
void log_softmax_forward(const Exec& exec, const SoftmaxShape& s, const T* x, T* y) {
  parallel_rows(exec, s, [&](int64_t n) {
    const T* xn = x + n * s.C;
    log_softmax_row(s.C, log_sum_exp(s.C, xn), xn, y + n * s.C);
  });
}

template <class T>
void log_softmax_backward(const Exec& exec, const SoftmaxShape& s, const T* dy, const T* y, T* dx) {
  using V = Vec<T>;
  parallel_rows(exec, s, [&](int64_t n) {
    const T *dyn = dy + n * s.C, *yn = y + n * s.C;
    const T total = reduce_add<T>(fold(s.C, V{}, T(0), plus<T>, plus<T>, dyn));
    map(0, s.C, [total](V g, V v) { return g - exp<T>(v) * total; }, dx + n * s.C, dyn, yn);
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.softmax_forward = softmax_forward<T>;
  t.softmax_backward = softmax_backward<T>;
  t.log_softmax_forward = log_softmax_forward<T>;
  t.log_softmax_backward = log_softmax_backward<T>;
}

}  // namespace

void fill_softmax(Ops<float>& t) { fill(t); }
void fill_softmax(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
