// y[n,p,q,c] = sum of a[p,h] b[q,w] x[n,h,w,c] over the two rows h and the two columns w (nearest:
// the one) that the taps of p and q name, a and b being their weights. Backward: dx[n,h,w,c] = sum
// of a[p,h] b[q,w] dy[n,p,q,c] in order of p and q. Channels-last; vectors over channels. Parallel
// over the rows of y and of dx. Forward: 4 multiplications an element of y (nearest: none), x is
// read from L1/L2; backward twice as many, 4 times dy from L1/L2.
#include "channels.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// One dimension: `size` elements of x, of which the taps of `count` elements of y name one or two.
template <class T>
struct Axis {
  int64_t size, count;
  ResizeTaps<T> taps;

  FASTNN_INLINE int64_t low(int64_t i) const { return taps.low[i]; }
  FASTNN_INLINE int64_t high(int64_t i) const { return low(i) + (low(i) < size - 1 ? 1 : 0); }
  FASTNN_INLINE T high_weight(int64_t i) const { return taps.weight[i]; }
  FASTNN_INLINE T low_weight(int64_t i) const { return T{1} - taps.weight[i]; }

  // How much of element `at` of x there is in element i of y.
  template <bool linear>
  FASTNN_INLINE T weight(int64_t i, int64_t at) const {
    if (!linear) return T{1};
    return (low(i) == at ? low_weight(i) : T{0}) + (high(i) == at ? high_weight(i) : T{0});
  }
};

// The elements of y that element `at` of x is in: begin <= i < end. `at` only ever grows.
template <class T, bool linear>
struct Copies {
  int64_t begin = 0, end = 0;

  FASTNN_INLINE void move_to(int64_t at, const Axis<T>& axis) {
    while (end < axis.count && axis.low(end) <= at) ++end;
    while (begin < end && axis.low(begin) < at - (linear ? 1 : 0)) ++begin;
  }
};

// Rows that are some tens of microseconds of work.
template <class T>
int64_t rows_grain(int64_t width, int64_t C) {
  return ceil_div(int64_t{1} << 15, max_of(1, width * round_up(C, lanes<T>)));
}

template <bool linear, class T>
void forward(const Exec& exec, const Resize2dShape& shape, const Axis<T>& row_taps,
             const Axis<T>& col_taps, const T* x, T* y) {
  const bool streaming = streams(y, shape.N * shape.P * shape.Q, shape.C);
  const int64_t grain = rows_grain<T>(shape.Q, shape.C);
  parallel_for(exec, shape.N * shape.P, grain, [&](int64_t begin, int64_t end, int) {
    const Resize2dShape s = shape;
    const Axis<T> rows = row_taps, cols = col_taps;
    const int64_t x_end = s.N * s.H * s.W * s.C, y_end = end * s.Q * s.C;
    int64_t y_at = begin * s.Q * s.C;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / s.P * s.H, p = row % s.P;
      const int64_t top = (image + rows.low(p)) * s.W;
      const int64_t bottom = linear ? (image + rows.high(p)) * s.W : top;
      for (int64_t q = 0; q < s.Q; ++q, y_at += s.C) {
        const int64_t left = cols.low(q), right = linear ? cols.high(q) : left;
        const T* const x00 = x + (top + left) * s.C;
        const int64_t room = min_of(x_end - (bottom + right) * s.C, y_end - y_at);
        if constexpr (linear) {
          const T* const x01 = x + (top + right) * s.C;
          const T* const x10 = x + (bottom + left) * s.C;
          const T* const x11 = x + (bottom + right) * s.C;
          const T a0 = rows.low_weight(p), a1 = rows.high_weight(p);
          const T b0 = cols.low_weight(q), b1 = cols.high_weight(q);
          const Vec<T> w00 = splat(a0 * b0), w01 = splat(a0 * b1);
          const Vec<T> w10 = splat(a1 * b0), w11 = splat(a1 * b1);
          for_each_vector<T, 4>(s.C, room, [&](auto channels, int64_t c) {
            for (int u = 0; u < decltype(channels)::count; ++u, c += lanes<T>) {
              Vec<T> sum = w00 * load(x00 + c, channels);
              sum = fma(w01, load(x01 + c, channels), sum);
              sum = fma(w10, load(x10 + c, channels), sum);
              put(streaming, y + y_at + c, fma(w11, load(x11 + c, channels), sum), channels);
            }
          });
        } else {
          for_each_vector<T, 4>(s.C, room, [&](auto channels, int64_t c) {
            for (int u = 0; u < decltype(channels)::count; ++u, c += lanes<T>)
              put(streaming, y + y_at + c, load(x00 + c, channels), channels);
          });
        }
      }
    }
    if (streaming) fence();
  });
}

template <bool linear, class T>
void backward(const Exec& exec, const Resize2dShape& shape, const Axis<T>& row_taps,
              const Axis<T>& col_taps, const T* dy, T* dx) {
  const int64_t copies = ceil_div(shape.P, shape.H) * ceil_div(shape.Q, shape.W);
  const int64_t grain = rows_grain<T>(shape.W * min_of(copies, 64), shape.C);
  parallel_for(exec, shape.N * shape.H, grain, [&](int64_t begin, int64_t end, int) {
    const Resize2dShape s = shape;
    const Axis<T> rows = row_taps, cols = col_taps;
    const int64_t dy_end = s.N * s.P * s.Q * s.C, dx_end = end * s.W * s.C;
    int64_t dx_at = begin * s.W * s.C;
    Copies<T, linear> row_copies;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / s.H, h = row % s.H;
      if (h == 0) row_copies = {};
      row_copies.move_to(h, rows);
      const int64_t p_begin = row_copies.begin, p_end = row_copies.end;
      Copies<T, linear> col_copies;
      for (int64_t w = 0; w < s.W; ++w, dx_at += s.C) {
        col_copies.move_to(w, cols);
        const int64_t q_begin = col_copies.begin, q_end = col_copies.end;
        const int64_t last = ((n * s.P + p_end - 1) * s.Q + q_end - 1) * s.C;
        const int64_t room = min_of(dy_end - last, dx_end - dx_at);
        for_each_vector<T, 4>(s.C, room, [&](auto channels, int64_t c) {
          constexpr int count = decltype(channels)::count;
          Vec<T> sum[count] = {};
          for (int64_t p = p_begin; p < p_end; ++p) {
            const T a = rows.template weight<linear>(p, h);
            const T* from = dy + ((n * s.P + p) * s.Q + q_begin) * s.C + c;
            for (int64_t q = q_begin; q < q_end; ++q, from += s.C) {
              if constexpr (linear) {
                const Vec<T> share = splat(a * cols.template weight<linear>(q, w));
                for (int u = 0; u < count; ++u)
                  sum[u] = fma(share, load(from + u * lanes<T>, channels), sum[u]);
              } else {
                for (int u = 0; u < count; ++u) sum[u] += load(from + u * lanes<T>, channels);
              }
            }
          }
          for (int u = 0; u < count; ++u) store(dx + dx_at + c + u * lanes<T>, sum[u], channels);
        });
      }
    }
  });
}

template <class T>
void upsample2d_forward(const Exec& exec, const Resize2dShape& s, const ResizeTaps<T>& rows,
                        const ResizeTaps<T>& cols, const T* x, T* y) {
  const Axis<T> row_taps{s.H, s.P, rows}, col_taps{s.W, s.Q, cols};
  if (rows.weight) {
    forward<true>(exec, s, row_taps, col_taps, x, y);
  } else {
    forward<false>(exec, s, row_taps, col_taps, x, y);
  }
}

template <class T>
void upsample2d_backward(const Exec& exec, const Resize2dShape& s, const ResizeTaps<T>& rows,
                         const ResizeTaps<T>& cols, const T* dy, T* dx) {
  const Axis<T> row_taps{s.H, s.P, rows}, col_taps{s.W, s.Q, cols};
  if (rows.weight) {
    backward<true>(exec, s, row_taps, col_taps, dy, dx);
  } else {
    backward<false>(exec, s, row_taps, col_taps, dy, dx);
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.upsample2d_forward = upsample2d_forward<T>;
  t.upsample2d_backward = upsample2d_backward<T>;
}

}  // namespace

void fill_upsample2d(Ops<float>& t) { fill(t); }
void fill_upsample2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
