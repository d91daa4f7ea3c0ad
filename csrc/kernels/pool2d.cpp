// Forward of max and average pooling over R x S windows, channels-last; vectors over channels.
//
// max_pool2d_forward: y[n,p,q,c] = max over the window, argmax[n,p,q,c] = the position r * S + s
// that won: the last NaN, else the first maximum. Padding never wins; a window of nothing but
// padding has y = -inf, argmax = 0. 2 compares an element of the window.
// avg_pool2d_forward: y[n,p,q,c] = sum over the window * (1 / divisor). 1 addition an element.
// Parallel over the N * P rows of y; reads x R * S / stride^2 times from L1/L2, writes y (and 1
// byte of argmax an element) once.
#include "pool2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Window (p, q), as far as it lies in the input.
struct Window {
  int64_t p, q;
  Span rows, cols;
};

// Calls reduce(channels, window, x_at, y_at) for each output pixel and `block` vectors of channels,
// with the offsets of the window's first element and of its output. It works on copies of the shape
// and of the function: a compiler that sees their addresses escape loads them anew after every
// store.
template <class T, int block, class Reduce>
void for_each_window(const Exec& exec, const Pool2dShape& shape, const Reduce& reduce_window) {
  const int64_t grain = rows_grain<T>(shape, shape.Q, shape.R * shape.S);
  parallel_for(exec, shape.N * shape.P, grain, [&](int64_t row_begin, int64_t row_end, int) {
    const Pool2dShape s = shape;
    const Reduce reduce = reduce_window;
    const Axis row_windows = row_axis(s), col_windows = col_axis(s);
    const Span whole = col_windows.whole();
    const int64_t x_end = s.N * s.H * s.W * s.C, y_end = row_end * s.Q * s.C;
    int64_t y_at = row_begin * s.Q * s.C;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t n = row / s.P, p = row % s.P;
      const Span rows = row_windows.inside(p);
      for (int64_t q = 0; q < s.Q; ++q, y_at += s.C) {
        if (s.C <= lanes<T> && q == whole.begin) {
          // A pixel is one vector, and each window one step behind the last: 2 x 2 windows of 6
          // channels take 12 cycles in this loop and 24 without it.
          const Span all{0, s.S, whole.at};
          int64_t x_at = ((n * s.H + rows.at) * s.W + all.at) * s.C;
          const int64_t last =
              ((rows.end - rows.begin - 1) * s.dilation_h * s.W + (s.S - 1) * s.dilation_w) * s.C;
          const int64_t x_stop = x_end - last - lanes<T>, y_stop = y_end - lanes<T>;
          for (; q < whole.end && x_at <= x_stop && y_at <= y_stop; ++q) {
            reduce(Vectors<1>{}, Window{p, q, rows, all}, x_at, y_at);
            x_at += s.stride_w * s.C;
            y_at += s.C;
          }
          if (q == s.Q) break;
        }
        const Span cols = col_windows.inside(q);
        const int64_t x_at = ((n * s.H + rows.at) * s.W + cols.at) * s.C;
        const int64_t x_last = x_at + ((rows.end - rows.begin - 1) * s.dilation_h * s.W +
                                       (cols.end - cols.begin - 1) * s.dilation_w) *
                                          s.C;
        const int64_t room = min_of(x_end - x_last, y_end - y_at);
        for_each_vector<T, block>(s.C, room, [&](auto channels, int64_t c) {
          reduce(channels, Window{p, q, rows, cols}, x_at + c, y_at + c);
        });
      }
    }
    fence();  // reduce may stream
  });
}

// Windows of size x size positions are unrolled where they lie whole in the input; 0 for any.
template <int size, class T, class Position>
void max_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y, Position* argmax) {
  const int64_t row_step = s.dilation_h * s.W * s.C, col_step = s.dilation_w * s.C;
  const bool streaming = streams(y, s.N * s.P * s.Q, s.C);
  for_each_window<T, 4>(exec, s, [=](auto channels, const Window& at, int64_t x_at, int64_t y_at) {
    constexpr int count = decltype(channels)::count;
    const bool any = at.rows.end > 0 && at.cols.end > 0;
    Vec<T> best[count];
    IntVec<T> index[count];
    for (int u = 0; u < count; ++u) {
      best[u] = splat(static_cast<T>(-__builtin_inf()));
      index[u] = splat_index<T>(any ? at.rows.begin * s.S + at.cols.begin : 0);
    }
    const auto compare = [&](const T* element, int64_t place) FASTNN_INLINE_LAMBDA {
      const IntVec<T> position = splat_index<T>(place);
      for (int u = 0; u < count; ++u) {
        const Vec<T> v = load(element + u * lanes<T>, channels);
        // Only the second compare waits for the element before.
        const IntVec<T> stays = (v > best[u] ? IntVec<T>{} : v == v);
        best[u] = stays ? best[u] : v;
        index[u] = stays ? index[u] : position;
      }
    };
    const T* row = x + x_at;
    if (size > 0 && at.rows.end - at.rows.begin == size && at.cols.end - at.cols.begin == size) {
#pragma GCC unroll 4
      for (int r = 0; r < size; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < size; ++i) compare(row + r * row_step + i * col_step, r * size + i);
      }
    } else {
      for (int64_t r = at.rows.begin; r < at.rows.end; ++r, row += row_step) {
        const T* element = row;
        for (int64_t i = at.cols.begin; i < at.cols.end; ++i, element += col_step)
          compare(element, r * s.S + i);
      }
    }
    for (int u = 0; u < count; ++u) {
      put(streaming, y + y_at + u * lanes<T>, best[u], channels);
      if (argmax) store_positions(argmax + y_at + u * lanes<T>, index[u], channels);
    }
  });
}

template <class T>
void max_pool2d_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y, void* argmax) {
  if (argmax_bytes(s) == 4) {
    max_forward<0>(exec, s, x, y, static_cast<int32_t*>(argmax));
  } else if (s.R == 2 && s.S == 2) {
    max_forward<2>(exec, s, x, y, static_cast<uint8_t*>(argmax));
  } else if (s.R == 3 && s.S == 3) {
    max_forward<3>(exec, s, x, y, static_cast<uint8_t*>(argmax));
  } else {
    max_forward<0>(exec, s, x, y, static_cast<uint8_t*>(argmax));
  }
}

template <int block, class T>
void avg_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y) {
  const int64_t row_step = s.W * s.C, col_step = s.C;
  const AverageFactor<T> factor(s);
  const bool streaming = streams(y, s.N * s.P * s.Q, s.C);
  const auto average = [=](auto channels, const Window& at, int64_t x_at, int64_t y_at) {
    constexpr int count = decltype(channels)::count;
    Vec<T> sum[count] = {};
    const T* row = x + x_at;
    for (int64_t r = at.rows.begin; r < at.rows.end; ++r, row += row_step) {
      const T* element = row;
      for (int64_t i = at.cols.begin; i < at.cols.end; ++i, element += col_step) {
        for (int u = 0; u < count; ++u) sum[u] += load(element + u * lanes<T>, channels);
      }
    }
    const T share = factor(at.p, at.q);
    for (int u = 0; u < count; ++u)
      put(streaming, y + y_at + u * lanes<T>, sum[u] * share, channels);
  };
  for_each_window<T, block>(exec, s, average);
}

template <class T>
void avg_pool2d_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y) {
  if (s.C >= 8 * lanes<T>) {
    avg_forward<8>(exec, s, x, y);
  } else {
    avg_forward<4>(exec, s, x, y);  // several sums at once also of 64 channels
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.max_pool2d_forward = max_pool2d_forward<T>;
  t.avg_pool2d_forward = avg_pool2d_forward<T>;
}

}  // namespace

void fill_pool2d(Ops<float>& t) { fill(t); }
void fill_pool2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
