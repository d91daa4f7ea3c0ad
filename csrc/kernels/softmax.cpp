// y[n][c] = exp(x[n][c] - m) / sum_c exp(x[n][c] - m) with m = max_c x[n][c], or its logarithm;
// backward from y: softmax dx = y (dy - sum_c dy y), log softmax dx = dy - exp(y) sum_c dy.
// Dense rows of C; parallel over rows, each summed lane by lane and then over the lanes, or where C
// is small in order of c, 16 rows side by side. Reads x 2 (log softmax 3) times, from the cache
// after the first.
#include "softmax.h"

#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
void softmax_forward_short(const Exec& exec, const SoftmaxShape& s, const T* x, T* y) {
  using V = Vec<T>;
  for_some_short_rows(exec, s.N, s.C, [=](int64_t n, int64_t count) {
    ShortRows<T> rows;
    rows.read(count, s.C, x + n * s.C);
    for (int64_t r = 0; r < side_by_side; r += lanes<T>) {
      V m = splat(-std::numeric_limits<T>::infinity()), sum{};
      for (int64_t c = 0; c < s.C; ++c) m = max(load(rows.column[c] + r), m);
      for (int64_t c = 0; c < s.C; ++c) {
        const V e = exp<T>(load(rows.column[c] + r) - m);
        sum += e;
        store(rows.column[c] + r, e);
      }
      const V scale = 1 / sum;
      for (int64_t c = 0; c < s.C; ++c) store(rows.column[c] + r, load(rows.column[c] + r) * scale);
    }
    rows.write(count, s.C, y + n * s.C);
  });
}

template <class T>
void softmax_forward(const Exec& exec, const SoftmaxShape& s, const T* x, T* y) {
  using V = Vec<T>;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  if (s.C <= most_short_columns) return softmax_forward_short(exec, s, x, y);
  parallel_rows(exec, s, [&](int64_t n) {
    const T* xn = x + n * s.C;
    T* yn = y + n * s.C;
    const T m = row_max(s.C, xn);
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

// dx[c] = f(dy[c], y[c], a sum over c of what add(sum, dy[c], y[c]) adds to it).
template <class T, class Add, class F>
void backward(const Exec& exec, const SoftmaxShape& s, const T* dy, const T* y, T* dx,
              const Add& add, const F& f) {
  using V = Vec<T>;
  if (s.C <= most_short_columns) {
    return for_some_short_rows(exec, s.N, s.C, [=](int64_t n, int64_t count) {
      ShortRows<T> g, v;
      g.read(count, s.C, dy + n * s.C);
      v.read(count, s.C, y + n * s.C);
      for (int64_t r = 0; r < side_by_side; r += lanes<T>) {
        V sum{};
        for (int64_t c = 0; c < s.C; ++c)
          sum = add(sum, load(g.column[c] + r), load(v.column[c] + r));
        for (int64_t c = 0; c < s.C; ++c)
          store(v.column[c] + r, f(load(g.column[c] + r), load(v.column[c] + r), sum));
      }
      v.write(count, s.C, dx + n * s.C);
    });
  }
  parallel_rows(exec, s, [&](int64_t n) {
    const T *dyn = dy + n * s.C, *yn = y + n * s.C;
    const V sum = splat(reduce_add<T>(fold(s.C, V{}, T(0), add, plus<T>, dyn, yn)));
    map(0, s.C, [=](V g, V v) { return f(g, v, sum); }, dx + n * s.C, dyn, yn);
  });
}

template <class T>
void softmax_backward(const Exec& exec, const SoftmaxShape& s, const T* dy, const T* y, T* dx) {
  using V = Vec<T>;
  backward(
      exec, s, dy, y, dx, [](V dot, V g, V v) { return fma(g, v, dot); },
      [](V g, V v, V dot) { return v * (g - dot); });
}

template <class T>
void log_softmax_forward(const Exec& exec, const SoftmaxShape& s, const T* x, T* y) {
  parallel_log_softmax(exec, s, x, y, [](int64_t, LogSumExp<T>) {});
}

template <class T>
void log_softmax_backward(const Exec& exec, const SoftmaxShape& s, const T* dy, const T* y, T* dx) {
  using V = Vec<T>;
  backward(
      exec, s, dy, y, dx, [](V total, V g, V) { return total + g; },
      [](V g, V v, V total) { return g - exp<T>(v) * total; });
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
