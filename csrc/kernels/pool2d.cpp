// Max and average pooling over R x S windows, channels-last; a vector holds neighbouring channels.
//
// max_pool2d_forward: y[n,p,q,c] = max over the window, argmax[n,p,q,c] = the position r * S + s
// that won: the first NaN, else the first maximum. Padding never wins; a window of nothing but
// padding has y = -inf, argmax = 0. 2 compares an element of the window.
// avg_pool2d_forward: y[n,p,q,c] = sum over the window / divisor. 1 addition an element.
// Parallel over the N * P rows of y; reads x R * S / stride^2 times from L1/L2, writes y (and 1
// byte of argmax an element) once.
//
// The backward passes gather: dx[n,h,w,c] = sum over the windows that cover the pixel, in order of
// p and q, of dy (max: where argmax names this pixel; average: divided by the divisor). Parallel
// over the N * H rows of dx, each element written once. argmax is only compared with, never an
// index.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Which lanes of a vector take part.
struct AllLanes {};
struct FirstLanes {
  int64_t n;
};

template <class T>
FASTNN_INLINE Vec<T> load(const T* p, AllLanes) {
  return load(p);
}
template <class T>
FASTNN_INLINE Vec<T> load(const T* p, FirstLanes first) {
  return load(p, first.n);
}
template <class T>
FASTNN_INLINE void store(T* p, const Vec<T>& v, AllLanes) {
  store(p, v);
}
template <class T>
FASTNN_INLINE void store(T* p, const Vec<T>& v, FirstLanes first) {
  store(p, v, first.n);
}

// Window positions, one byte or four of them each.
template <class T>
FASTNN_INLINE IntVec<T> load_positions(const uint8_t* p, AllLanes) {
  return load_bytes<T>(p);
}
template <class T>
FASTNN_INLINE IntVec<T> load_positions(const int32_t* p, AllLanes) {
  int32_t position[lanes<T>];
  std::memcpy(position, p, sizeof position);
  IntVec<T> v;
  for (int64_t i = 0; i < lanes<T>; ++i) v[i] = position[i];
  return v;
}
template <class T, class Position>
FASTNN_INLINE IntVec<T> load_positions(const Position* p, FirstLanes first) {
  Position position[lanes<T>] = {};
  for (int64_t i = 0; i < first.n; ++i) position[i] = p[i];
  return load_positions<T>(position, AllLanes{});
}
template <class V>
FASTNN_INLINE void store_positions(uint8_t* p, const V& v, AllLanes) {
  store_bytes(p, v);
}
template <class V>
FASTNN_INLINE void store_positions(int32_t* p, const V& v, AllLanes) {
  for (size_t i = 0; i < sizeof v / sizeof v[0]; ++i) p[i] = static_cast<int32_t>(v[i]);
}
template <class Position, class V>
FASTNN_INLINE void store_positions(Position* p, const V& v, FirstLanes first) {
  Position position[sizeof v / sizeof v[0]];
  store_positions(position, v, AllLanes{});
  for (int64_t i = 0; i < first.n; ++i) p[i] = position[i];
}

template <class T>
FASTNN_INLINE IntVec<T> splat_index(int64_t value) {
  return static_cast<typename VecTypes<T>::IntLane>(value) - IntVec<T>{};
}

// The window positions of one dimension that lie in the input: begin <= i < end, and where in the
// input the first of them is. All 0 where there are none.
struct Span {
  int64_t begin, end, at;
};

FASTNN_INLINE Span inside(int64_t start, int64_t count, int64_t dilation, int64_t size) {
  if (start >= 0 && start + (count - 1) * dilation < size) return {0, count, start};
  const int64_t begin = start < 0 ? ceil_div(-start, dilation) : 0;
  const int64_t end = start < size ? min_of(ceil_div(size - start, dilation), count) : 0;
  if (begin >= end) return {0, 0, 0};
  return {begin, end, start + begin * dilation};
}

// Window p along a dimension of `size` elements that P adaptive windows cover.
FASTNN_INLINE Span adaptive_span(int64_t p, int64_t P, int64_t size) {
  const int64_t begin = p * size / P;
  return {0, ceil_div((p + 1) * size, P) - begin, begin};
}

FASTNN_INLINE Span window_rows(const Pool2dShape& s, int64_t p) {
  if (s.adaptive) return adaptive_span(p, s.P, s.H);
  return inside(p * s.stride_h - s.pad_h, s.R, s.dilation_h, s.H);
}
FASTNN_INLINE Span window_cols(const Pool2dShape& s, int64_t q) {
  if (s.adaptive) return adaptive_span(q, s.Q, s.W);
  return inside(q * s.stride_w - s.pad_w, s.S, s.dilation_w, s.W);
}

// Window (p, q), as far as it lies in the input.
struct Window {
  int64_t p, q;
  Span rows, cols;
};

// Rows that are some tens of microseconds of work, at this number of elements and of windows a row.
template <class T>
int64_t rows_grain(const Pool2dShape& s, int64_t width, int64_t windows) {
  const int64_t row = max_of(1, width * round_up(s.C, lanes<T>)) * min_of(windows, 64);
  return ceil_div(int64_t{1} << 16, row);
}

// Calls run(part, c) for each vector of the C channels of a pixel, of which the last may be a part.
// All lanes run nevertheless where `room` elements may be read and written from the pixel's first
// one on: what is stored too much belongs to the next pixels, which the same thread writes later.
template <class T, class Run>
FASTNN_INLINE void for_each_vector(int64_t C, int64_t room, const Run& run) {
  for (int64_t c = 0; c < C; c += lanes<T>) {
    if (c + lanes<T> <= max_of(C, room)) {
      run(AllLanes{}, c);
    } else {
      run(FirstLanes{C - c}, c);
    }
  }
}

// The traversals below work on copies of the shape and of the function that they are given: a
// compiler that sees their addresses escape loads them anew after every store.

// Calls reduce(part, window, x_at, y_at) for each output pixel and vector of channels, with the
// offsets of the window's first element and of its output.
template <class T, class Reduce>
void for_each_window(const Exec& exec, const Pool2dShape& shape, const Reduce& reduce_window) {
  const int64_t grain = rows_grain<T>(shape, shape.Q, shape.R * shape.S);
  parallel_for(exec, shape.N * shape.P, grain, [&](int64_t row_begin, int64_t row_end, int) {
    const Pool2dShape s = shape;
    const Reduce reduce = reduce_window;
    const int64_t x_end = s.N * s.H * s.W * s.C, y_end = row_end * s.Q * s.C;
    int64_t y_at = row_begin * s.Q * s.C;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t n = row / s.P, p = row % s.P;
      const Span rows = window_rows(s, p);
      for (int64_t q = 0; q < s.Q; ++q, y_at += s.C) {
        const Span cols = window_cols(s, q);
        const int64_t x_at = ((n * s.H + rows.at) * s.W + cols.at) * s.C;
        const int64_t x_last = x_at + ((rows.end - rows.begin - 1) * s.dilation_h * s.W +
                                       (cols.end - cols.begin - 1) * s.dilation_w) *
                                          s.C;
        for_each_vector<T>(s.C, min_of(x_end - x_last, y_end - y_at), [&](auto part, int64_t c) {
          reduce(part, Window{p, q, rows, cols}, x_at + c, y_at + c);
        });
      }
    }
  });
}

template <class T, class Position>
void max_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y, Position* argmax) {
  const int64_t row_step = s.dilation_h * s.W * s.C, col_step = s.dilation_w * s.C;
  const Vec<T> lowest = splat(static_cast<T>(-__builtin_inf()));
  for_each_window<T>(exec, s, [=](auto part, const Window& at, int64_t x_at, int64_t y_at) {
    Vec<T> best = lowest;
    const bool any = at.rows.end > 0 && at.cols.end > 0;
    IntVec<T> index = splat_index<T>(any ? at.rows.begin * s.S + at.cols.begin : 0);
    const T* row = x + x_at;
    for (int64_t r = at.rows.begin; r < at.rows.end; ++r, row += row_step) {
      const T* element = row;
      for (int64_t i = at.cols.begin; i < at.cols.end; ++i, element += col_step) {
        const Vec<T> v = load(element, part);
        const IntVec<T> wins = (v <= best ? IntVec<T>{} : best == best);
        best = wins ? v : best;
        index = wins ? splat_index<T>(r * s.S + i) : index;
      }
    }
    store(y + y_at, best, part);
    if (argmax) store_positions(argmax + y_at, index, part);
  });
}

// What the sum over window (p, q) is divided by, as in PyTorch: the input counts always, padding as
// count_include_pad says, what lies beyond the padding (ceil_mode) never.
int64_t divisor(const Pool2dShape& s, int64_t p, int64_t q) {
  if (s.adaptive) return window_rows(s, p).end * window_cols(s, q).end;
  if (s.divisor != 0) return s.divisor;
  const int64_t h = p * s.stride_h - s.pad_h, w = q * s.stride_w - s.pad_w;
  const int64_t pad_h = s.count_include_pad ? s.pad_h : 0;
  const int64_t pad_w = s.count_include_pad ? s.pad_w : 0;
  return (min_of(h + s.R, s.H + pad_h) - max_of(h, -pad_h)) *
         (min_of(w + s.S, s.W + pad_w) - max_of(w, -pad_w));
}

template <class T>
void max_pool2d_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y, void* argmax) {
  if (argmax_bytes(s) == 1) {
    max_forward(exec, s, x, y, static_cast<uint8_t*>(argmax));
  } else {
    max_forward(exec, s, x, y, static_cast<int32_t*>(argmax));
  }
}

template <class T>
void avg_pool2d_forward(const Exec& exec, const Pool2dShape& s, const T* x, T* y) {
  const int64_t row_step = s.W * s.C;
  for_each_window<T>(exec, s, [=](auto part, const Window& at, int64_t x_at, int64_t y_at) {
    Vec<T> sum{};
    const T* row = x + x_at;
    for (int64_t r = at.rows.begin; r < at.rows.end; ++r, row += row_step) {
      const T* element = row;
      for (int64_t i = at.cols.begin; i < at.cols.end; ++i, element += s.C) {
        sum += load(element, part);
      }
    }
    store(y + y_at, sum / splat(static_cast<T>(divisor(s, at.p, at.q))), part);
  });
}

// The windows of one dimension that reach over an element: begin <= i < end.
struct Windows {
  int64_t begin, end;
};

FASTNN_INLINE Windows windows_over(int64_t at, int64_t stride, int64_t pad, int64_t extent,
                                   int64_t count) {
  at += pad;
  const int64_t end = min_of(count, at / stride + 1);
  return {min_of(at < extent ? 0 : (at - extent) / stride + 1, end), end};
}
// floor(p size / P) <= at < ceil((p + 1) size / P), solved for p.
FASTNN_INLINE Windows adaptive_windows_over(int64_t at, int64_t P, int64_t size) {
  return {at * P / size, ceil_div((at + 1) * P, size)};
}

// Which element of a window lies this far behind its first one, or -1.
FASTNN_INLINE int64_t element_at(int64_t distance, int64_t dilation) {
  if (dilation == 1) return distance;  // spares the division
  return distance % dilation == 0 ? distance / dilation : -1;
}

// The windows over row h, and which of its rows window p has there (-1: none).
FASTNN_INLINE Windows windows_over_row(const Pool2dShape& s, int64_t h) {
  if (s.adaptive) return adaptive_windows_over(h, s.P, s.H);
  return windows_over(h, s.stride_h, s.pad_h, (s.R - 1) * s.dilation_h + 1, s.P);
}
FASTNN_INLINE int64_t row_position(const Pool2dShape& s, int64_t p, int64_t h) {
  if (s.adaptive) return h - p * s.H / s.P;
  return element_at(h + s.pad_h - p * s.stride_h, s.dilation_h);
}
// The same for column w and window q.
FASTNN_INLINE Windows windows_over_col(const Pool2dShape& s, int64_t w) {
  if (s.adaptive) return adaptive_windows_over(w, s.Q, s.W);
  return windows_over(w, s.stride_w, s.pad_w, (s.S - 1) * s.dilation_w + 1, s.Q);
}
FASTNN_INLINE int64_t col_position(const Pool2dShape& s, int64_t q, int64_t w) {
  if (s.adaptive) return w - q * s.W / s.Q;
  return element_at(w + s.pad_w - q * s.stride_w, s.dilation_w);
}

// dx = sum of share(part, p, q, dy_at)(position) over the windows (p, q) that cover the pixel with
// this position, for each pixel and vector of channels.
template <class T, class Share>
void gather(const Exec& exec, const Pool2dShape& shape, T* dx, const Share& share_of) {
  const int64_t windows =
      shape.adaptive ? 1 : ceil_div(shape.R, shape.stride_h) * ceil_div(shape.S, shape.stride_w);
  const int64_t grain = rows_grain<T>(shape, shape.W, windows);
  parallel_for(exec, shape.N * shape.H, grain, [&](int64_t row_begin, int64_t row_end, int) {
    const Pool2dShape s = shape;
    const Share share = share_of;
    const int64_t dy_end = s.N * s.P * s.Q * s.C, dx_end = row_end * s.W * s.C;
    int64_t dx_at = row_begin * s.W * s.C;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t n = row / s.H, h = row % s.H;
      const Windows rows = windows_over_row(s, h);
      for (int64_t w = 0; w < s.W; ++w, dx_at += s.C) {
        const Windows cols = windows_over_col(s, w);
        const int64_t dy_last = ((n * s.P + rows.end - 1) * s.Q + cols.end - 1) * s.C;
        const int64_t room = min_of(dy_end - dy_last, dx_end - dx_at);
        for_each_vector<T>(s.C, room, [&](auto part, int64_t c) {
          Vec<T> sum{};
          for (int64_t p = rows.begin; p < rows.end; ++p) {
            const int64_t r = row_position(s, p, h);
            if (r < 0) continue;
            int64_t dy_at = ((n * s.P + p) * s.Q + cols.begin) * s.C + c;
            for (int64_t q = cols.begin; q < cols.end; ++q, dy_at += s.C) {
              const int64_t i = col_position(s, q, w);
              if (i >= 0) sum += share(part, p, q, dy_at)(r * s.S + i);
            }
          }
          store(dx + dx_at + c, sum, part);
        });
      }
    }
  });
}

// The same where no two windows overlap: a pixel has one window at most, and nothing to search.
template <class T, class Share>
void gather_disjoint(const Exec& exec, const Pool2dShape& shape, T* dx, const Share& share_of) {
  const int64_t grain = rows_grain<T>(shape, shape.W, 1);
  parallel_for(exec, shape.N * shape.H, grain, [&](int64_t row_begin, int64_t row_end, int) {
    const Pool2dShape s = shape;
    const Share share = share_of;
    const int64_t dy_end = s.N * s.P * s.Q * s.C, dx_end = row_end * s.W * s.C;
    int64_t dx_at = row_begin * s.W * s.C;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t n = row / s.H, h = row % s.H + s.pad_h;
      const int64_t p = h / s.stride_h, r = h % s.stride_h;
      const int64_t q_end = p < s.P && r < s.R ? s.Q : 0;
      int64_t q = s.pad_w / s.stride_w, i = s.pad_w % s.stride_w, count;
      int64_t dy_at = ((n * s.P + p) * s.Q + q) * s.C;
      for (int64_t w = 0; w < s.W; w += count, dx_at += count * s.C, dy_at += s.C, ++q, i = 0) {
        count = min_of(s.stride_w - i, s.W - w);  // pixels up to the next window
        const int64_t covered = q < q_end ? min_of(max_of(s.S - i, 0), count) : 0;
        const int64_t dx_room = dx_end - dx_at - (count - 1) * s.C;
        // With several vectors a pixel, what is stored too much would hit the next one too late.
        const int64_t room =
            s.C > lanes<T> ? 0 : min_of(covered ? dy_end - dy_at : dx_end, dx_room);
        for_each_vector<T>(s.C, room, [&](auto part, int64_t c) {
          T* to = dx + dx_at + c;
          if (covered > 0) {
            const auto share_at = share(part, p, q, dy_at + c);
            for (int64_t k = 0; k < covered; ++k, to += s.C)
              store(to, share_at(r * s.S + i + k), part);
          }
          for (int64_t k = covered; k < count; ++k, to += s.C) store(to, Vec<T>{}, part);
        });
      }
    }
  });
}

template <class T, class Share>
void gather_any(const Exec& exec, const Pool2dShape& s, T* dx, const Share& share) {
  const bool disjoint = !s.adaptive && s.R <= s.stride_h && s.S <= s.stride_w;
  if (disjoint && s.dilation_h == 1 && s.dilation_w == 1) {
    gather_disjoint(exec, s, dx, share);
  } else {
    gather(exec, s, dx, share);
  }
}

template <class T, class Position>
void max_backward(const Exec& exec, const Pool2dShape& s, const T* dy, const Position* argmax,
                  T* dx) {
  gather_any(exec, s, dx, [=](auto part, int64_t, int64_t, int64_t at) {
    const IntVec<T> winner = load_positions<T>(argmax + at, part);
    const Vec<T> v = load(dy + at, part);
    return [=](int64_t position) {
      const IntVec<T> won = winner == splat_index<T>(position);
      return won ? v : Vec<T>{};
    };
  });
}

template <class T>
void max_pool2d_backward(const Exec& exec, const Pool2dShape& s, const T* dy, const void* argmax,
                         T* dx) {
  if (argmax_bytes(s) == 1) {
    max_backward(exec, s, dy, static_cast<const uint8_t*>(argmax), dx);
  } else {
    max_backward(exec, s, dy, static_cast<const int32_t*>(argmax), dx);
  }
}

template <class T>
void avg_pool2d_backward(const Exec& exec, const Pool2dShape& s, const T* dy, T* dx) {
  const auto factor = [=](int64_t p, int64_t q) { return T{1} / static_cast<T>(divisor(s, p, q)); };
  // Only windows at the borders can differ from the others.
  const bool alike = !s.adaptive && (s.divisor != 0 || (divisor(s, 0, 0) == s.R * s.S &&
                                                        divisor(s, s.P - 1, s.Q - 1) == s.R * s.S));
  const T common = factor(0, 0);
  gather_any(exec, s, dx, [=](auto part, int64_t p, int64_t q, int64_t at) {
    const Vec<T> v = load(dy + at, part) * splat(alike ? common : factor(p, q));
    return [=](int64_t) { return v; };
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.max_pool2d_forward = max_pool2d_forward<T>;
  t.max_pool2d_backward = max_pool2d_backward<T>;
  t.avg_pool2d_forward = avg_pool2d_forward<T>;
  t.avg_pool2d_backward = avg_pool2d_backward<T>;
}

}  // namespace

void fill_pool2d(Ops<float>& t) { fill(t); }
void fill_pool2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
