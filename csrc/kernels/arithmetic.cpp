// y[i] = a[i] op b[i] or a[i] op b[0] for + - * /, as IEEE 754 rounds them. Dense arrays of n
// elements; parallel over blocks of elements. Reads 2 (or 1) arrays, writes 1; 1 operation an
// element.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T, class F>
void apply(const Exec& exec, int64_t n, const T* a, const T* b, bool one_b, T* y, const F& f) {
  using V = Vec<T>;
  parallel_elements(exec, n, [&](int64_t begin, int64_t end) {
    if (one_b) {
      const V scalar = splat(*b);
      map(begin, end, [=](V v) { return f(v, scalar); }, y, a);
    } else {
      map(begin, end, f, y, a, b);
    }
  });
}

template <class T>
void arithmetic(const Exec& exec, Arithmetic op, int64_t n, const T* a, const T* b, bool one_b,
                T* y) {
  using V = Vec<T>;
  switch (op) {
    case Arithmetic::add:
      return apply(exec, n, a, b, one_b, y, [](V v, V w) { return v + w; });
    case Arithmetic::subtract:
      return apply(exec, n, a, b, one_b, y, [](V v, V w) { return v - w; });
    case Arithmetic::multiply:
      return apply(exec, n, a, b, one_b, y, [](V v, V w) { return v * w; });
    case Arithmetic::divide:
      return apply(exec, n, a, b, one_b, y, [](V v, V w) { return v / w; });
  }
}

}  // namespace

void fill_arithmetic(Ops<float>& t) { t.arithmetic = arithmetic<float>; }
void fill_arithmetic(Ops<double>& t) { t.arithmetic = arithmetic<double>; }

}  // namespace fastnn::FASTNN_ISA
