// Where max pooling found its maxima, as PyTorch tells it, and the way back there.
//
// max_pool2d_indices: the flat index h * W + w in its channel of what argmax, a window position,
// names; 0 where a window is nothing but padding. Parallel over the rows of y; a table of 256
// positions, 8 bytes written an element.
// max_unpool2d_forward: y = 0 but for y[n,indices[n,h,w,c],c] = x[n,h,w,c]; the last of several in
// order of h and w wins. Parallel over images, and blocks of channels where they are few.
// max_unpool2d_backward: dx[n,h,w,c] = dy[n,indices[n,h,w,c],c]. Parallel over rows of dx.
// All channels-last; no arithmetic.
#include "elementwise.h"
#include "pool2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class Position>
void indices_of(const Exec& exec, const Pool2dShape& shape, const Position* argmax,
                int64_t* indices) {
  const int64_t grain = rows_grain<float>(shape, shape.Q, 1);
  parallel_for(exec, shape.N * shape.P, grain, [&](int64_t begin, int64_t end, int) {
    const Pool2dShape s = shape;
    const Axis rows = row_axis(s), cols = col_axis(s);
    const int64_t dilation_h = s.adaptive ? 1 : s.dilation_h;
    const int64_t dilation_w = s.adaptive ? 1 : s.dilation_w;
    const auto offset = [&](int64_t position) {
      return position / s.S * dilation_h * s.W + position % s.S * dilation_w;
    };
    constexpr bool tabled = sizeof(Position) == 1;
    int64_t offsets[tabled ? 256 : 1];
    if constexpr (tabled) {
      for (int64_t i = 0; i < 256; ++i) offsets[i] = offset(i);
    }
    for (int64_t row = begin; row < end; ++row) {
      const int64_t p = row % s.P;
      for (int64_t q = 0; q < s.Q; ++q) {
        const int64_t first = rows.first(p) * s.W + cols.first(q), at = (row * s.Q + q) * s.C;
        if (rows.inside(p).end == 0 || cols.inside(q).end == 0) {  // nothing but padding
          for (int64_t c = 0; c < s.C; ++c) indices[at + c] = 0;
          continue;
        }
        for (int64_t c = 0; c < s.C; ++c) {
          if constexpr (tabled) {
            indices[at + c] = first + offsets[argmax[at + c]];
          } else {
            indices[at + c] = first + offset(argmax[at + c]);
          }
        }
      }
    }
  });
}

void max_pool2d_indices(const Exec& exec, const Pool2dShape& s, const void* argmax,
                        int64_t* indices) {
  if (argmax_bytes(s) == 1) {
    indices_of(exec, s, static_cast<const uint8_t*>(argmax), indices);
  } else {
    indices_of(exec, s, static_cast<const int32_t*>(argmax), indices);
  }
}

constexpr bool is_pixel(int64_t index, int64_t pixels) { return index >= 0 && index < pixels; }

constexpr int64_t grain_elements = 16384;

template <class T>
bool forward(const Exec& exec, const Resize2dShape& s, const T* x, const int64_t* indices, T* y) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T)), wanted_items = 8;
  const int64_t pixels = s.H * s.W, y_pixels = s.P * s.Q;
  // Whole pixels are written in the order of their addresses; their channels are shared out only
  // where there are few images.
  const int64_t parts = max_of(1, min_of(s.C / line, ceil_div(wanted_items, max_of(s.N, 1))));
  const int64_t block = max_of(line, round_up(ceil_div(s.C, parts), line));
  const int64_t blocks = ceil_div(s.C, block);
  const int64_t grain = ceil_div(grain_elements, (pixels + y_pixels) * block + 1);
  bool all_pixels = true;
  parallel_for(exec, s.N * blocks, grain, [=, &all_pixels](int64_t begin, int64_t end, int) {
    bool pixels_alone = true;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t n = item / blocks, c_begin = item % blocks * block;
      const int64_t c_end = min_of(c_begin + block, s.C);
      T* const image = y + n * y_pixels * s.C;
      // Zeros in this block alone: it stays in L2 until its elements are scattered.
      const auto zero = [] { return Vec<T>{}; };
      if (blocks == 1) {
        map(0, y_pixels * s.C, zero, image);
      } else {
        for (int64_t i = 0; i < y_pixels; ++i) map(c_begin, c_end, zero, image + i * s.C);
      }
      for (int64_t i = n * pixels; i < (n + 1) * pixels; ++i) {
        for (int64_t c = c_begin; c < c_end; ++c) {
          const int64_t index = indices[i * s.C + c];
          if (is_pixel(index, y_pixels)) {
            image[index * s.C + c] = x[i * s.C + c];
          } else {
            pixels_alone = false;
          }
        }
      }
    }
    if (!pixels_alone) __atomic_store_n(&all_pixels, false, __ATOMIC_RELAXED);
  });
  return all_pixels;
}

template <class T>
bool backward(const Exec& exec, const Resize2dShape& s, const T* dy, const int64_t* indices,
              T* dx) {
  const int64_t dy_pixels = s.P * s.Q;
  const int64_t grain = ceil_div(grain_elements, s.W * s.C + 1);
  bool all_pixels = true;
  parallel_for(exec, s.N * s.H, grain, [=, &all_pixels](int64_t begin, int64_t end, int) {
    bool pixels_alone = true;
    for (int64_t row = begin; row < end; ++row) {
      const T* const image = dy + row / s.H * dy_pixels * s.C;
      for (int64_t i = row * s.W; i < (row + 1) * s.W; ++i) {
        for (int64_t c = 0; c < s.C; ++c) {
          const int64_t index = indices[i * s.C + c];
          const bool inside = is_pixel(index, dy_pixels);
          pixels_alone &= inside;
          dx[i * s.C + c] = inside ? image[index * s.C + c] : T{0};
        }
      }
    }
    if (!pixels_alone) __atomic_store_n(&all_pixels, false, __ATOMIC_RELAXED);
  });
  return all_pixels;
}

template <class T>
void fill(Ops<T>& t) {
  t.max_pool2d_indices = max_pool2d_indices;
  t.max_unpool2d_forward = forward<T>;
  t.max_unpool2d_backward = backward<T>;
}

}  // namespace

void fill_max_unpool2d(Ops<float>& t) { fill(t); }
void fill_max_unpool2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
