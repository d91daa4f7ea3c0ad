// y[i] = f(x[i]) for ReLU, sigmoid and tanh, and dx[i] = dy[i] f'(x[i]) written in terms of y[i]:
// relu dx = y <= 0 ? 0 : dy;  sigmoid dx = dy y (1 - y);  tanh dx = dy (1 - y^2).
// Dense arrays of n elements; parallel over blocks of elements. Reads 1 (backward 2) arrays,
// writes 1.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T, class F>
void map(const Exec& exec, int64_t n, const T* x, T* y, const F& f) {
  parallel_elements(exec, n, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + lanes<T> <= end; i += lanes<T>) store(y + i, f(load(x + i)));
    if (i < end) store(y + i, f(load(x + i, end - i)), end - i);
  });
}

template <class T>
void activation_forward(const Exec& exec, Activation activation, int64_t n, const T* x, T* y) {
  using V = Vec<T>;
  switch (activation) {
    case Activation::relu:  // a NaN is not <= 0 and passes
      return map(exec, n, x, y, [](V v) { return v <= V{} ? V{} : v; });
    case Activation::sigmoid:
    case Activation::tanh:
      return;
  }
}

}  // namespace

void fill_activation(Ops<float>& t) { t.activation_forward = activation_forward<float>; }
void fill_activation(Ops<double>& t) { t.activation_forward = activation_forward<double>; }

}  // namespace fastnn::FASTNN_ISA
