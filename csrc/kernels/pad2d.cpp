// y[n,p,q,c] = x[n,h(p),w(q),c], where h(p) is p - top, brought into the image as `padding` says,
// and w(q) is q - left likewise; `value` where constant padding leaves one of them outside.
// Backward: dx[n,h,w,c] = sum of dy[n,p,q,c] over the p and q with h(p) = h and w(q) = w, in their
// order. Channels-last. Parallel over the rows of y and of dx. Reads and writes each element once;
// forward without arithmetic, backward with an addition an element of the border.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// One dimension: `size` elements of x, `count` of y, of which `before` precede element 0 of x.
struct Axis {
  int64_t size, count, before;
  Padding padding;

  // Where element i of y comes from; -1 for nowhere.
  int64_t source(int64_t i) const {
    const int64_t at = i - before;
    if (at >= 0 && at < size) return at;
    switch (padding) {
      case Padding::constant:
        break;
      case Padding::reflect:
        return at < 0 ? -at : 2 * (size - 1) - at;
      case Padding::replicate:
        return at < 0 ? 0 : size - 1;
      case Padding::circular:
        return at < 0 ? at + size : at - size;
    }
    return -1;
  }

  // The elements of y that are those of x, begin <= i < end.
  int64_t inside_begin() const { return min_of(max_of(before, 0), count); }
  int64_t inside_end() const { return max_of(min_of(before + size, count), inside_begin()); }

  // Calls f(i) for each element i of y that comes from element `at` of x, in their order.
  template <class F>
  void for_each_copy(int64_t at, const F& f) const {
    const auto call = [&](int64_t i) {
      if (i >= 0 && i < count) f(i);
    };
    const bool first = at == 0, last = at == size - 1;
    if (padding == Padding::reflect && !first) call(before - at);
    if (padding == Padding::circular) call(before + at - size);
    if (padding == Padding::replicate && first) {
      for (int64_t i = 0; i < min_of(before, count); ++i) f(i);
    }
    call(before + at);
    if (padding == Padding::reflect && !last) call(before + 2 * (size - 1) - at);
    if (padding == Padding::circular) call(before + at + size);
    if (padding == Padding::replicate && last) {
      for (int64_t i = max_of(before + size, 0); i < count; ++i) f(i);
    }
  }
};

Axis row_axis(const Pad2dShape& s) { return {s.H, s.P, s.top, s.padding}; }
Axis col_axis(const Pad2dShape& s) { return {s.W, s.Q, s.left, s.padding}; }

// Rows that are some tens of microseconds of work.
int64_t rows_grain(int64_t width, int64_t C) {
  return ceil_div(int64_t{1} << 16, max_of(1, width * C));
}

template <class T>
void forward(const Exec& exec, const Pad2dShape& shape, double value, const T* x, T* y) {
  using V = Vec<T>;
  const int64_t grain = rows_grain(shape.Q, shape.C);
  parallel_for(exec, shape.N * shape.P, grain, [&](int64_t begin, int64_t end, int) {
    const Pad2dShape s = shape;
    const Axis rows = row_axis(s), cols = col_axis(s);
    const int64_t inside = cols.inside_begin(), behind = cols.inside_end();
    const V fill = splat(static_cast<T>(value));
    for (int64_t row = begin; row < end; ++row) {
      T* const to = y + row * s.Q * s.C;
      const int64_t h = rows.source(row % s.P);
      if (h < 0) {
        map(0, s.Q * s.C, [=] { return fill; }, to);
        continue;
      }
      const T* const from = x + (row / s.P * s.H + h) * s.W * s.C;
      const auto border = [&](int64_t q_begin, int64_t q_end) {
        if (s.padding == Padding::constant) {
          map(q_begin * s.C, q_end * s.C, [=] { return fill; }, to);
          return;
        }
        for (int64_t q = q_begin; q < q_end; ++q)
          map(0, s.C, [](V v) { return v; }, to + q * s.C, from + cols.source(q) * s.C);
      };
      border(0, inside);
      if (behind > inside) {
        std::memcpy(to + inside * s.C, from + (inside - s.left) * s.C,
                    static_cast<size_t>((behind - inside) * s.C) * sizeof *to);
      }
      border(behind, s.Q);
    }
  });
}

template <class T>
void backward(const Exec& exec, const Pad2dShape& shape, const T* dy, T* dx) {
  using V = Vec<T>;
  const auto add = [](V v, V w) { return v + w; };
  const int64_t grain = rows_grain(shape.W, shape.C);
  parallel_for(exec, shape.N * shape.H, grain, [&](int64_t begin, int64_t end, int) {
    const Pad2dShape s = shape;
    const Axis rows = row_axis(s), cols = col_axis(s);
    const int64_t inside = cols.inside_begin(), behind = cols.inside_end();
    const int64_t n_inside = (behind - inside) * s.C;
    for (int64_t row = begin; row < end; ++row) {
      T* const to = dx + row * s.W * s.C;
      T* const to_inside = to + (n_inside ? (inside - s.left) * s.C : 0);
      bool written = false;
      rows.for_each_copy(row % s.H, [&](int64_t p) {
        const T* const from = dy + (row / s.H * s.P + p) * s.Q * s.C;
        if (written) {
          map(0, n_inside, add, to_inside, to_inside, from + inside * s.C);
        } else {
          map(0, to_inside - to, [] { return V{}; }, to);
          map(0, n_inside, [](V v) { return v; }, to_inside, from + inside * s.C);
          map(to_inside - to + n_inside, s.W * s.C, [] { return V{}; }, to);
          written = true;
        }
        if (s.padding == Padding::constant) return;
        const auto border = [&](int64_t q_begin, int64_t q_end) {
          for (int64_t q = q_begin; q < q_end; ++q) {
            T* const pixel = to + cols.source(q) * s.C;
            map(0, s.C, add, pixel, pixel, from + q * s.C);
          }
        };
        border(0, inside);
        border(behind, s.Q);
      });
      if (!written) map(0, s.W * s.C, [] { return V{}; }, to);
    }
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.pad2d_forward = forward<T>;
  t.pad2d_backward = backward<T>;
}

}  // namespace

void fill_pad2d(Ops<float>& t) { fill(t); }
void fill_pad2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
