// Backward of max and average pooling: dx[n,h,w,c] = sum over the windows that cover the pixel, in
// order of p and q, of dy (max: where argmax names this pixel; average: times 1 / divisor).
// Channels-last; vectors over channels. Parallel over the N * H rows of dx, each element written
// once; argmax is only compared with, never an index. Reads dy (and argmax) ceil(R / stride_h) *
// ceil(S / stride_w) times from L1/L2, with 1 compare and 1 addition (average: a multiplication and
// an addition) each.
#include "pool2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

// What dx gets of windows. load: what a window has to give, which stands at `at`. of: what depends
// on the window and the pixel at its position (r, i) alone. apply: the pixel's share.
template <class T, class Position>
struct MaxShare {
  const T* dy;
  const Position* argmax;
  int64_t S;

  struct Loaded {
    Vec<T> dy;
    IntVec<T> winner;
  };
  template <class Channels>
  FASTNN_INLINE Loaded load(Channels channels, int64_t at) const {
    return {FASTNN_ISA::load(dy + at, channels), load_positions<T>(argmax + at, channels)};
  }
  FASTNN_INLINE IntVec<T> of(int64_t, int64_t, int64_t r, int64_t i) const {
    return splat_index<T>(r * S + i);
  }
  FASTNN_INLINE Vec<T> apply(const Loaded& window, const IntVec<T>& position) const {
    const IntVec<T> won = window.winner == position;
    return won ? window.dy : Vec<T>{};
  }
};
template <class T, bool alike>
struct AverageShare {
  const T* dy;
  AverageFactor<T> factor;

  template <class Channels>
  FASTNN_INLINE Vec<T> load(Channels channels, int64_t at) const {
    return FASTNN_ISA::load(dy + at, channels);
  }
  FASTNN_INLINE Vec<T> of(int64_t p, int64_t q, int64_t, int64_t) const {
    return splat(alike ? factor.common : factor(p, q));
  }
  FASTNN_INLINE Vec<T> apply(const Vec<T>& window, const Vec<T>& share) const {
    return window * share;
  }
};

// The windows that reach over element `at` of a dimension: begin <= i < end. `at` only ever grows.
class Cover {
 public:
  FASTNN_INLINE explicit Cover(const Axis& axis) : opens_(axis.first(0)), closes_(axis.behind(0)) {}
  FASTNN_INLINE void move_to(int64_t at, const Axis& axis) {
    while (opens_ <= at) opens_ = ++end < axis.count ? axis.first(end) : INT64_MAX;
    while (closes_ <= at) closes_ = axis.behind(++begin);  // window `count` would end outside
  }
  FASTNN_INLINE int64_t count() const { return end - begin; }

  int64_t begin = 0, end = 0;

 private:
  int64_t opens_, closes_;  // where window `end` starts, and behind the last element of `begin`
};

// Row h of image n and the windows over it.
struct Row {
  int64_t n, h;
  Cover windows;
};

// Works on copies of the shape and of the share, as for_each_window does. `few` is the number of
// windows over each pixel of the row where it is known to be 1 or 2 in either direction and there
// is no dilation; 0 for any.
template <int few, class T, class Share>
void gather_row(const Pool2dShape& shape, const Row& row, const Share& share_of, int64_t dx_end,
                bool streaming, T* dx, int64_t dx_at) {
  const Pool2dShape s = shape;
  const Share share = share_of;
  const Axis row_windows = row_axis(s), col_windows = col_axis(s);
  const int64_t p_begin = row.windows.begin, p_end = row.windows.end, h = row.h;
  const int64_t y_row = s.Q * s.C, first_row = (row.n * s.P + p_begin) * y_row;
  const int64_t dy_end = s.N * s.P * y_row, last_row = (row.n * s.P + p_end - 1) * y_row;

  Cover cols(col_windows);
  for (int64_t w = 0; w < s.W; ++w, dx_at += s.C) {
    cols.move_to(w, col_windows);
    const int64_t q_begin = cols.begin, q_end = cols.end, dy_at = first_row + q_begin * s.C;
    const int64_t room = min_of(dy_end - (last_row + (q_end - 1) * s.C), dx_end - dx_at);

    const auto from_few = [&]<int count>() {
      decltype(share.of(0, 0, 0, 0)) parts[few + 1][count];
      for (int a = 0; a < few; ++a) {
        const int64_t r = row_windows.position(p_begin + a, h);
        for (int b = 0; b < count; ++b) {
          const int64_t i = col_windows.position(q_begin + b, w);
          parts[a][b] = share.of(p_begin + a, q_begin + b, r, i);
        }
      }
      for_each_vector<T, 4>(s.C, room, [&](auto channels, int64_t c) {
        for (int u = 0; u < decltype(channels)::count; ++u, c += lanes<T>) {
          Vec<T> sum{};
          for (int a = 0; a < few; ++a) {
            for (int b = 0; b < count; ++b) {
              const auto window = share.load(channels, dy_at + a * y_row + b * s.C + c);
              sum += share.apply(window, parts[a][b]);
            }
          }
          put(streaming, dx + dx_at + c, sum, channels);
        }
      });
    };
    const auto from_any = [&] {
      for_each_vector<T, 1>(s.C, room, [&](auto channels, int64_t c) {
        Vec<T> sum{};
        for (int64_t p = p_begin; p < p_end; ++p) {
          const int64_t r = row_windows.position(p, h);
          if (r < 0) continue;
          int64_t at = dy_at + (p - p_begin) * y_row + c;
          for (int64_t q = q_begin; q < q_end; ++q, at += s.C) {
            const int64_t i = col_windows.position(q, w);
            if (i >= 0) sum += share.apply(share.load(channels, at), share.of(p, q, r, i));
          }
        }
        put(streaming, dx + dx_at + c, sum, channels);
      });
    };
    if (few && q_end - q_begin == 1) {
      from_few.template operator()<1>();
    } else if (few && q_end - q_begin == 2) {
      from_few.template operator()<2>();
    } else {
      from_any();
    }
  }
}

template <class T, class Share>
void gather(const Exec& exec, const Pool2dShape& s, T* dx, const Share& share) {
  const int64_t windows = ceil_div(s.R, s.stride_h) * ceil_div(s.S, s.stride_w);
  const int64_t grain = rows_grain<T>(s, s.W, windows);
  const bool gaps = s.dilation_h > 1 || s.dilation_w > 1,
             streaming = streams(dx, s.N * s.H * s.W, s.C);
  parallel_for(exec, s.N * s.H, grain, [&](int64_t row_begin, int64_t row_end, int) {
    const Axis row_windows = row_axis(s);
    const int64_t x_row = s.W * s.C, dx_end = row_end * x_row;
    Cover rows(row_windows);
    for (int64_t i = row_begin; i < row_end; ++i) {
      const int64_t n = i / s.H, h = i % s.H;
      if (h == 0) rows = Cover(row_windows);
      rows.move_to(h, row_windows);
      const Row row{n, h, rows};
      if (rows.count() == 1 && !gaps) {
        gather_row<1>(s, row, share, dx_end, streaming, dx, i * x_row);
      } else if (rows.count() == 2 && !gaps) {
        gather_row<2>(s, row, share, dx_end, streaming, dx, i * x_row);
      } else {
        gather_row<0>(s, row, share, dx_end, streaming, dx, i * x_row);
      }
    }
    if (streaming) fence();
  });
}

// The same where no two windows overlap: a pixel has one window at most, and nothing to search.
template <class T, class Share>
void gather_disjoint(const Exec& exec, const Pool2dShape& shape, T* dx, const Share& share_of) {
  const int64_t grain = rows_grain<T>(shape, shape.W, 1);
  const bool streaming = streams(dx, shape.N * shape.H * shape.W, shape.C);
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
      // Whole windows side by side, where a pixel is one vector: 2.4 times as fast for 6 channels.
      const auto whole_windows = [&]<int size>(int64_t w) {
        const int64_t step = size * s.C;
        for (; q < q_end && w + size <= s.W && dy_at + lanes<T> <= dy_end &&
               dx_at + (size - 1) * s.C + lanes<T> <= dx_end;
             w += size, dx_at += step, dy_at += s.C, ++q) {
          const auto window = share.load(Vectors<1>{}, dy_at);
#pragma GCC unroll 4
          for (int k = 0; k < size; ++k)
            store(dx + dx_at + k * s.C, share.apply(window, share.of(p, q, r, k)));
        }
        return w;
      };
      for (int64_t w = 0; w < s.W; w += count, dx_at += count * s.C, dy_at += s.C, ++q, i = 0) {
        if (s.C <= lanes<T> && i == 0 && s.S == s.stride_w) {
          if (s.S == 2) w = whole_windows.template operator()<2>(w);
          if (s.S == 3) w = whole_windows.template operator()<3>(w);
          if (w >= s.W) break;
        }
        count = min_of(s.stride_w - i, s.W - w);  // pixels up to the next window
        const int64_t covered = q < q_end ? min_of(max_of(s.S - i, 0), count) : 0;
        const int64_t dx_room = dx_end - dx_at - (count - 1) * s.C;
        // With several vectors a pixel, what is stored too much would hit the next one too late.
        const int64_t room =
            s.C > lanes<T> ? 0 : min_of(covered ? dy_end - dy_at : dx_end, dx_room);
        for_each_vector<T, 1>(s.C, room, [&](auto channels, int64_t c) {
          T* to = dx + dx_at + c;
          if (covered > 0) {
            const auto window = share.load(channels, dy_at + c);
            for (int64_t k = 0; k < covered; ++k, to += s.C)
              put(streaming, to, share.apply(window, share.of(p, q, r, i + k)), channels);
          }
          for (int64_t k = covered; k < count; ++k, to += s.C)
            put(streaming, to, Vec<T>{}, channels);
        });
      }
    }
    if (streaming) fence();
  });
}

template <class T, class Share>
void share_out(const Exec& exec, const Pool2dShape& s, T* dx, const Share& share) {
  const bool disjoint = !s.adaptive && s.R <= s.stride_h && s.S <= s.stride_w;
  const bool narrow = s.C <= 8 * lanes<T>;  // more vectors a pixel are better stored in one go
  if (disjoint && narrow && s.dilation_h == 1 && s.dilation_w == 1) {
    gather_disjoint(exec, s, dx, share);
  } else {
    gather(exec, s, dx, share);
  }
}

template <class T>
void max_pool2d_backward(const Exec& exec, const Pool2dShape& s, const T* dy, const void* argmax,
                         T* dx) {
  if (argmax_bytes(s) == 1) {
    share_out(exec, s, dx, MaxShare<T, uint8_t>{dy, static_cast<const uint8_t*>(argmax), s.S});
  } else {
    share_out(exec, s, dx, MaxShare<T, int32_t>{dy, static_cast<const int32_t*>(argmax), s.S});
  }
}

template <class T>
void avg_pool2d_backward(const Exec& exec, const Pool2dShape& s, const T* dy, T* dx) {
  const AverageFactor<T> factor(s);
  if (factor.alike) {
    share_out(exec, s, dx, AverageShare<T, true>{dy, factor});
  } else {
    share_out(exec, s, dx, AverageShare<T, false>{dy, factor});
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.max_pool2d_backward = max_pool2d_backward<T>;
  t.avg_pool2d_backward = avg_pool2d_backward<T>;
}

}  // namespace

void fill_pool2d_backward(Ops<float>& t) { fill(t); }
void fill_pool2d_backward(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
