// What the pooling kernels share: where windows lie.
#pragma once

#include "channels.h"
#include "parallel.h"
#include "positions.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The window positions of one dimension that lie in the input: begin <= i < end, and where in the
// input the first of them is. All 0 where there are none.
struct Span {
  int64_t begin, end, at;
};

// How windows lie along one dimension.
struct Axis {
  int64_t size, count, window, stride, pad, dilation;
  bool adaptive;

  // The element that window i starts at, and the one behind its last; both may lie outside.
  FASTNN_INLINE int64_t first(int64_t i) const {
    return adaptive ? i * size / count : i * stride - pad;
  }
  FASTNN_INLINE int64_t behind(int64_t i) const {
    return adaptive ? ceil_div((i + 1) * size, count) : first(i) + (window - 1) * dilation + 1;
  }

  // What of window i lies in the input.
  FASTNN_INLINE Span inside(int64_t i) const {
    const int64_t start = first(i), stop = behind(i);
    if (adaptive) return {0, stop - start, start};
    if (start >= 0 && stop <= size) return {0, window, start};
    const int64_t begin = start < 0 ? ceil_div(-start, dilation) : 0;
    const int64_t end = start < size ? min_of(ceil_div(size - start, dilation), window) : 0;
    if (begin >= end) return {0, 0, 0};
    return {begin, end, start + begin * dilation};
  }

  // The windows begin <= i < end lie in the input with all of their positions.
  FASTNN_INLINE Span whole() const {
    if (adaptive) return {0, 0, 0};
    const int64_t begin = min_of(ceil_div(pad, stride), count);
    const int64_t room = size + pad - (window - 1) * dilation - 1;  // for the first element
    return {begin, room < 0 ? begin : max_of(begin, min_of(room / stride + 1, count)),
            begin * stride - pad};
  }

  // Which position of window i, one of those around it, element `at` is; -1 for none.
  FASTNN_INLINE int64_t position(int64_t i, int64_t at) const {
    const int64_t distance = at - first(i);
    if (dilation == 1) return distance;  // spares the division
    return distance % dilation == 0 ? distance / dilation : -1;
  }
};

FASTNN_INLINE Axis row_axis(const Pool2dShape& s) {
  return {s.H, s.P, s.R, s.stride_h, s.pad_h, s.dilation_h, s.adaptive};
}
FASTNN_INLINE Axis col_axis(const Pool2dShape& s) {
  return {s.W, s.Q, s.S, s.stride_w, s.pad_w, s.dilation_w, s.adaptive};
}

// 1 / the divisor of window (p, q), as in PyTorch: the input counts always, padding as
// count_include_pad says, what lies beyond the padding (ceil_mode) never.
template <class T>
struct AverageFactor {
  explicit AverageFactor(const Pool2dShape& shape) : s(shape) {
    // Only windows at the borders can differ from the others.
    alike = !s.adaptive && (s.divisor != 0 ||
                            (divisor(0, 0) == s.R * s.S && divisor(s.P - 1, s.Q - 1) == s.R * s.S));
    common = T{1} / static_cast<T>(divisor(0, 0));
  }
  FASTNN_INLINE T operator()(int64_t p, int64_t q) const {
    return alike ? common : T{1} / static_cast<T>(divisor(p, q));
  }
  int64_t divisor(int64_t p, int64_t q) const {
    if (s.divisor != 0) return s.divisor;
    return counted(row_axis(s), p) * counted(col_axis(s), q);
  }
  int64_t counted(const Axis& axis, int64_t i) const {
    const int64_t pad = s.count_include_pad && !s.adaptive ? axis.pad : 0;
    return min_of(axis.behind(i), axis.size + pad) - max_of(axis.first(i), -pad);
  }

  Pool2dShape s;
  T common;
  bool alike;
};

// Rows that are some tens of microseconds of work, at this number of elements and of windows a row.
template <class T>
int64_t rows_grain(const Pool2dShape& s, int64_t width, int64_t windows) {
  constexpr int64_t work = 1 << 16;
  return ceil_div(work, max_of(1, width * round_up(s.C, lanes<T>)) * min_of(windows, work));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
