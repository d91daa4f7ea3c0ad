// y[i] = a[i] op b[i] or a[i] op b[0] for + - * /, as IEEE 754 rounds them. Dense arrays of n
// elements; parallel over blocks of elements. Reads 2 (or 1) arrays, writes 1; 1 operation an
// element.
// By row, y[g][r][i] = a[g][r][i] op b[g][i] or op b[g]: parallel over all rows, b is read from L1.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Calls run(f) with the operation as a function of vectors.
template <class T, class Run>
void with_operation(Arithmetic op, const Run& run) {
  using V = Vec<T>;
  switch (op) {
    case Arithmetic::add:
      return run([](V v, V w) { return v + w; });
    case Arithmetic::subtract:
      return run([](V v, V w) { return v - w; });
    case Arithmetic::multiply:
      return run([](V v, V w) { return v * w; });
    case Arithmetic::divide:
      return run([](V v, V w) { return v / w; });
  }
}

template <class T>
void arithmetic(const Exec& exec, Arithmetic op, int64_t n, const T* a, const T* b, bool one_b,
                T* y) {
  using V = Vec<T>;
  with_operation<T>(op, [&](auto f) {
    if (one_b) {
      const V scalar = n > 0 ? splat(*b) : V{};
      parallel_map(exec, n, [=](V v) { return f(v, scalar); }, y, a);
    } else {
      parallel_map(exec, n, f, y, a, b);
    }
  });
}

// Many short rows: several pass for one, so that vectors are full.
constexpr int64_t short_n = 64, wide = 256;
template <class T, class F>
void short_rows(const Exec& exec, const F& f, int64_t groups, int64_t rows, int64_t n, const T* a,
                const T* b, T* y) {
  const int64_t repeats = wide / n, blocks = ceil_div(rows, repeats);
  const int64_t grain = ceil_div(8 * element_block, repeats * n);
  parallel_for(exec, groups * blocks, grain, [=](int64_t begin, int64_t end, int) {
    T wide_b[wide];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t group = item / blocks, row = item % blocks * repeats;
      if (item == begin || row == 0) {
        for (int64_t i = 0; i < repeats; ++i) {
          for (int64_t c = 0; c < n; ++c) wide_b[i * n + c] = b[group * n + c];
        }
      }
      const int64_t at = (group * rows + row) * n;
      map(0, min_of(repeats, rows - row) * n, f, y + at, a + at, static_cast<const T*>(wide_b));
    }
  });
}

template <class T>
void arithmetic_by_row(const Exec& exec, Arithmetic op, int64_t groups, int64_t rows, int64_t n,
                       const T* a, const T* b, bool one_b, T* y) {
  using V = Vec<T>;
  constexpr int64_t grain = 8 * element_block;  // elements
  with_operation<T>(op, [&](auto f) {
    if (!one_b && n > 0 && n < short_n && rows >= 8 * wide / n)
      return short_rows(exec, f, groups, rows, n, a, b, y);
    parallel_for(exec, groups * rows, ceil_div(grain, n + 1), [=](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        if (one_b) {
          const V scalar = splat(b[row / rows]);
          map(0, n, [=](V v) { return f(v, scalar); }, y + row * n, a + row * n);
        } else {
          map(0, n, f, y + row * n, a + row * n, b + row / rows * n);
        }
      }
    });
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.arithmetic = arithmetic<T>;
  t.arithmetic_by_row = arithmetic_by_row<T>;
}

}  // namespace

void fill_arithmetic(Ops<float>& t) { fill(t); }
void fill_arithmetic(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
