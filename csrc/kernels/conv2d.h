// Direct convolution on the tile of tile.h. Both of its engines read images through strips: the
// input rows that some output rows need, with the padding made real, so that every tap of every
// pixel is one address.
#pragma once

#include "gemm.h"

namespace fastnn::FASTNN_ISA {

// The taps of one dimension. Tap i < count of grid point p reads input position p * step + offset +
// i * spacing and uses weight index weight + i * weight_step.
struct Taps {
  int64_t count, offset, spacing, weight, weight_step;
  constexpr int64_t span() const { return count > 0 ? (count - 1) * spacing + 1 : 0; }
};

// From `begin` up to `end`, not including it.
struct Range {
  int64_t begin, end;
};

// Which of the `count` positions at, at + spacing, ... lie in [0, size).
constexpr Range inside(int64_t at, int64_t spacing, int64_t count, int64_t size) {
  const int64_t end = at < size ? min_of(count, ceil_div(size - at, spacing)) : 0;
  return {at < 0 ? min_of(end, ceil_div(-at, spacing)) : 0, end};
}

// A grid of output pixels, each a sum over taps of input pixels times weights: the forward
// convolution, or the part of backward-input that falls on the input pixels of one residue class of
// the stride.
struct TapGrid {
  int64_t N, groups;
  int64_t H, W, C;  // input image; C channels in each group
  int64_t P, Q, K;  // grid; K output channels in each group
  int64_t step_h, step_w;
  Taps taps_h, taps_w;
  int64_t out_image, out_row, out_col;  // strides of the grid in the output, in elements
  int64_t w_group, w_k, w_c, w_r, w_s;  // strides of the weights
  // For gathered_grid: each pixel stands at the corner of zeros_h x zeros_w pixels of an output of
  // zeros_H x zeros_W; the sums of the others are zero.
  int64_t zeros_h = 1, zeros_w = 1, zeros_H = 0, zeros_W = 0;
};

size_t tap_grid_scratch_bytes(const TapGrid&, int threads, size_t item);
// y points at the first pixel of the grid. Overwrites y.
void tap_grid(const Exec&, const TapGrid&, const float* x, const float* w, const Epilogue<float>&,
              float* y);
void tap_grid(const Exec&, const TapGrid&, const double* x, const double* w,
              const Epilogue<double>&, double* y);

// The same without groups, over blocks of pixels of all images.
size_t gathered_grid_scratch_bytes(const TapGrid&, int threads, size_t item);
void gathered_grid(const Exec&, const TapGrid&, const float* x, const float* w,
                   const Epilogue<float>&, float* y);
void gathered_grid(const Exec&, const TapGrid&, const double* x, const double* w,
                   const Epilogue<double>&, double* y);

// Depthwise convolution, with one or some filters a channel, and groups of 2, 4 or 8 input and as
// many output channels.
bool is_depthwise(const Conv2dShape&, size_t item);
size_t depthwise_grid_scratch_bytes(const TapGrid&, size_t item);
void depthwise_grid(const Exec&, const TapGrid&, const float* x, const float* w,
                    const Epilogue<float>&, float* y);
void depthwise_grid(const Exec&, const TapGrid&, const double* x, const double* w,
                    const Epilogue<double>&, double* y);
size_t depthwise_backward_weight_scratch_bytes(const Conv2dShape&, size_t item);
void depthwise_backward_weight(const Exec&, const Conv2dShape&, const float* dy, const float* x,
                               float* dw, float* db, bool accumulate);
void depthwise_backward_weight(const Exec&, const Conv2dShape&, const double* dy, const double* x,
                               double* dw, double* db, bool accumulate);

// Backward-input for at most lanes<T> input channels, without groups and dilation.
size_t columns_backward_input_scratch_bytes(const Conv2dShape&, int threads, size_t item);
void columns_backward_input(const Exec&, const Conv2dShape&, const float* dy, const float* w,
                            const Epilogue<float>&, float* dx);
void columns_backward_input(const Exec&, const Conv2dShape&, const double* dy, const double* w,
                            const Epilogue<double>&, double* dx);

size_t direct_backward_weight_scratch_bytes(const Conv2dShape&, int threads, size_t item);
void direct_backward_weight(const Exec&, const Conv2dShape&, const float* dy, const float* x,
                            float* dw, float* db, bool accumulate);
void direct_backward_weight(const Exec&, const Conv2dShape&, const double* dy, const double* x,
                            double* dw, double* db, bool accumulate);

// The same for strides and many channels.
size_t gathered_backward_weight_scratch_bytes(const Conv2dShape&, int threads, size_t item);
void gathered_backward_weight(const Exec&, const Conv2dShape&, const float* dy, const float* x,
                              float* dw, float* db, bool accumulate);
void gathered_backward_weight(const Exec&, const Conv2dShape&, const double* dy, const double* x,
                              double* dw, double* db, bool accumulate);

// Winograd's algorithm, for shapes that winograd_can() takes.
size_t winograd_forward_scratch_bytes(const Conv2dShape&, int threads);
void winograd_forward(const Exec&, const Conv2dShape&, const float* x, const float* w,
                      const Epilogue<float>&, float* y);
size_t winograd_backward_input_scratch_bytes(const Conv2dShape&, int threads);
void winograd_backward_input(const Exec&, const Conv2dShape&, const float* dy, const float* w,
                             const Epilogue<float>&, float* dx);
size_t winograd_backward_weight_scratch_bytes(const Conv2dShape&, int threads);
void winograd_backward_weight(const Exec&, const Conv2dShape&, const float* dy, const float* x,
                              float* dw, float* db, bool accumulate);

namespace {

// For narrower groups it would leave most of each vector empty.
constexpr int64_t winograd_least_group = 9;

constexpr bool winograd_can(const Conv2dShape& s) {
  return s.R == s.S && (s.R == 3 || s.R == 5) && s.stride_h == 1 && s.stride_w == 1 &&
         s.dilation_h == 1 && s.dilation_w == 1 &&
         (s.groups == 1 || min_of(s.C, s.K) / s.groups >= winograd_least_group);
}

// Of input for one strip, and of weights for one panel: they share L2.
constexpr int64_t strip_bytes = 256 << 10, weight_panel_bytes = 384 << 10;
// Of input for the strips of all groups, which follow each other, so that the weights of a group
// serve some rows.
constexpr int64_t group_strips_bytes = 2 << 20;
constexpr int64_t wanted_items = 16;  // cut at least so many pieces of work for the threads

// Input rows for `rows` grid rows, and their columns, of the channels of a group: side by side, as
// in a convolution without groups. Where `copied` is false the image itself serves.
struct Strip {
  int64_t H, W;                // image
  int64_t pixel, image_pixel;  // elements of a pixel: of a group, of all groups
  // Grid row p reads `span` input rows from p * row_step + first_row on.
  int64_t row_step, first_row, span;
  int64_t first_col, cols;
  bool copied;

  Strip(int64_t H_, int64_t W_, int64_t pixel_, int64_t groups, int64_t P, int64_t Q,
        int64_t step_h, int64_t step_w, const Taps& h, const Taps& w)
      : H(H_),
        W(W_),
        pixel(pixel_),
        image_pixel(groups * pixel_),
        row_step(step_h),
        first_row(h.offset),
        span(h.span()),
        first_col(w.offset),
        cols(max_of(0, (Q - 1) * step_w + w.span())) {
    const int64_t end_row = (P - 1) * step_h + first_row + span;
    copied = groups > 1 || first_row < 0 || first_col < 0 || end_row > H || first_col + cols > W;
    if (!copied) cols = W;
  }

  int64_t row_stride() const { return cols * pixel; }
  int64_t rows(int64_t grid_rows) const { return (grid_rows - 1) * row_step + span; }
  int64_t image_stride(int64_t grid_rows) const {
    return (copied ? rows(grid_rows) : H) * row_stride();
  }

  // Of the input of a strip, in bytes.
  int64_t budget() const {
    return pixel == image_pixel ? strip_bytes
                                : min_of(strip_bytes, group_strips_bytes / (image_pixel / pixel));
  }

  // How many grid rows fit into the budget, at least one.
  int64_t grid_rows(int64_t P, size_t item) const {
    const int64_t fit = budget() / max_of(1, row_stride() * static_cast<int64_t>(item));
    return max_of(1, min_of(P, (fit - span) / row_step + 1));
  }

  // The strip of grid rows p0 to p0 + grid_rows of an image, from the first channel of a group on:
  // copied into `buffer` or the image's own memory.
  template <class T>
  const T* get(const T* image, int64_t p0, int64_t grid_rows, T* buffer) const {
    const int64_t row0 = p0 * row_step + first_row;
    if (!copied) return image + row0 * row_stride() + first_col * pixel;
    const int64_t begin = max_of(0, first_col), end = min_of(W, first_col + cols);
    for (int64_t i = 0; i < rows(grid_rows); ++i) {
      T* const to = buffer + i * row_stride();
      const int64_t row = row0 + i;
      if (row < 0 || row >= H || begin >= end) {
        zero(to, row_stride());
        continue;
      }
      const int64_t left = (begin - first_col) * pixel, inside = (end - begin) * pixel;
      zero(to, left);
      const T* const from = image + (row * W + begin) * image_pixel;
      if (pixel == image_pixel) {
        copy(to + left, from, inside);
      } else {
        copy_pixels(to + left, from, end - begin);
      }
      zero(to + left + inside, row_stride() - left - inside);
    }
    return buffer;
  }

 private:
  template <class T>
  void copy_pixels(T* to, const T* from, int64_t n) const {
    const int64_t whole = pixel / lanes<T> * lanes<T>, rest = pixel - whole;
    for (; n > 0; --n, to += pixel, from += image_pixel) {
      for (int64_t c = 0; c < whole; c += lanes<T>) {
        prefetch(from + pixel + c);  // the next group's
        store(to + c, load(from + c));
      }
      if (rest > 0) store(to + whole, load(from + whole, rest), rest);
    }
  }
  // Rows are often shorter than a call of memset or memcpy takes.
  template <class T>
  static void zero(T* to, int64_t n) {
    for (; n >= lanes<T>; n -= lanes<T>, to += lanes<T>) store(to, Vec<T>{});
    store(to, Vec<T>{}, n);
  }
  template <class T>
  static void copy(T* to, const T* from, int64_t n) {
    for (; n >= lanes<T>; n -= lanes<T>, to += lanes<T>, from += lanes<T>) store(to, load(from));
    store(to, load(from, n), n);
  }
};

// Where a channel has m filters, m a power of two, a depthwise convolution has sums for all of
// them: m neighbouring lanes take the same channel of the narrow x, or go to the same one of the
// narrow y of backward-input.
enum class Sides { equal, narrow_x, narrow_y };

template <class T, Sides sides>
struct Multiplied {
  using Lane = typename VecTypes<T>::IntLane;
  int64_t shift;  // m = 1 << shift
  IntVec<T> from;

  FASTNN_INLINE explicit Multiplied(int64_t log2_m) : shift(log2_m), from(lane_numbers<T>()) {
    const Lane bits = static_cast<Lane>(shift), last = static_cast<Lane>(lanes<T> - 1);
    from = sides == Sides::narrow_x ? from >> bits : (from << bits) & last;
  }
  // The channels of x and of y for n sums.
  int64_t of_x(int64_t n) const { return sides == Sides::narrow_x ? n >> shift : n; }
  int64_t of_y(int64_t n) const { return sides == Sides::narrow_y ? n >> shift : n; }

  template <class Part>
  FASTNN_INLINE Vec<T> load_x(const T* x, Part part) const {
    if constexpr (sides == Sides::narrow_x) {
      return permute(load(x, of_x(lanes_of<T>(part))), from);
    } else {
      return load(x, part);
    }
  }
  template <class Part>
  FASTNN_INLINE auto y_part(Part part) const {
    if constexpr (sides == Sides::narrow_y) {
      return FirstLanes{of_y(lanes_of<T>(part))};
    } else {
      return part;
    }
  }
  FASTNN_INLINE Vec<T> to_y(Vec<T> sums) const {
    if constexpr (sides != Sides::narrow_y) return sums;
    const Lane m = static_cast<Lane>(Lane{1} << shift);
    for (Lane distance = 1; distance < m; distance = static_cast<Lane>(2 * distance))
      sums += permute(sums, lane_numbers<T>() ^ distance);
    return permute(sums, from);
  }
};

// Calls f.operator()<G>() for depthwise convolution in groups of G channels.
template <class T, class F>
auto for_group(int64_t channels, const F& f) {
  if constexpr (lanes<T> >= 8) {
    if (channels == 8) return f.template operator()<8>();
  }
  if constexpr (lanes<T> >= 4) {
    if (channels == 4) return f.template operator()<4>();
  }
  return channels == 2 ? f.template operator()<2>() : f.template operator()<1>();
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
