// y[i] = f(x[i]) for ReLU, sigmoid and tanh, and dx[i] = dy[i] f'(x[i]) written in terms of y[i]:
// relu dx = y <= 0 ? 0 : dy; sigmoid y = 1 / (1 + e^-x), dx = dy y (1 - y); tanh dx = dy (1 - y^2).
// Dense arrays of n elements; parallel over blocks of elements. Reads 1 (backward 2) arrays,
// writes 1.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T, class F, class... X>
void parallel_map(const Exec& exec, int64_t n, const F& f, T* y, const X*... x) {
  parallel_elements(exec, n, [&](int64_t begin, int64_t end) { map(begin, end, f, y, x...); });
}

template <class T>
void activation_forward(const Exec& exec, Activation activation, int64_t n, const T* x, T* y) {
  using V = Vec<T>;
  switch (activation) {
    case Activation::relu:  // a NaN is not <= 0 and passes
      return parallel_map(exec, n, [](V v) { return v <= V{} ? V{} : v; }, y, x);
    case Activation::sigmoid:  // within 2.5 ulp, also at the ends: 1 / (1 + infinity) = 0
      return parallel_map(exec, n, [](V v) { return 1 / (1 + exp<T>(-v)); }, y, x);
    case Activation::tanh:
      return parallel_map(exec, n, [](V v) { return tanh<T>(v); }, y, x);
  }
}

template <class T>
void activation_backward(const Exec& exec, Activation activation, int64_t n, const T* dy,
                         const T* y, T* dx) {
  using V = Vec<T>;
  switch (activation) {
    case Activation::relu:
      return parallel_map(exec, n, [](V g, V v) { return v <= V{} ? V{} : g; }, dx, dy, y);
    case Activation::sigmoid:
      return parallel_map(exec, n, [](V g, V v) { return g * v * (1 - v); }, dx, dy, y);
    case Activation::tanh:  // 1 - y^2 would lose the digits of y near 1
      return parallel_map(exec, n, [](V g, V v) { return g * ((1 - v) * (1 + v)); }, dx, dy, y);
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.activation_forward = activation_forward<T>;
  t.activation_backward = activation_backward<T>;
}

}  // namespace

void fill_activation(Ops<float>& t) { fill(t); }
void fill_activation(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
